#pragma once

// The one truth of the window: what is open, what is selected, how it is drawn, what is flagged. Views read it and
// listen; they never call each other. Flags and notes go through the undo stack, the view has a history of its own.

#include <QElapsedTimer>
#include <QObject>
#include <QString>
#include <QUndoStack>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/analysis/report.h"
#include "core/capture/capture.h"
#include "core/maps/attention_map.h"
#include "core/masks/head_mask.h"
#include "core/model/model_info.h"
#include "core/rope/interventions.h"
#include "core/tokenizer/tokenizer.h"
#include "ui/style/color_map.h"

namespace headscope::ui {

struct HeadId {
  int layer = 0;
  int head = 0;
  auto operator<=>(const HeadId&) const = default;
};

enum class MapValue { Probability, Logit };

/// How maps are drawn. The same for the big map and the thumbnails.
struct MapStyle {
  MapValue value = MapValue::Probability;
  Pool pool = Pool::Max;
  QString colorMap = QStringLiteral("viridis");  ///< viridis, magma, cividis, greys
  ColorScale scale = ColorScale::Log;
  bool operator==(const MapStyle&) const = default;
};

/// Visible rectangle in token coordinates; cell (t, i) covers [i − 0.5, i + 0.5) × [t − 0.5, t + 0.5).
struct MapViewport {
  double keyLow = -0.5, keyHigh = 0.5;
  double queryLow = -0.5, queryHigh = 0.5;
  bool operator==(const MapViewport&) const = default;
};

struct Cursor {
  std::int64_t query = 0;
  std::int64_t key = 0;
  bool operator==(const Cursor&) const = default;
};

class Session : public QObject {
  Q_OBJECT
 public:
  explicit Session(QObject* parent = nullptr);

  // What is open.
  std::shared_ptr<const ModelInfo> model() const { return model_; }
  std::shared_ptr<const Capture> capture() const { return capture_; }
  std::shared_ptr<const Report> report() const { return report_; }  ///< scores; null until the first arrive
  QString prompt() const { return prompt_; }
  void setModel(std::shared_ptr<const ModelInfo> model);
  void setCapture(std::shared_ptr<const Capture> capture);  ///< keeps flags if the shape is the same
  void setReport(std::shared_ptr<const Report> report);     ///< labels follow the thresholds; needle scores are put in
  /// Of needle prompts run with the open model. Forgotten when another model comes.
  void setNeedleScores(std::shared_ptr<const NeedleScores> scores);
  void setPrompt(const QString& prompt);
  /// Whether a run of the prompt begins with the begin-of-sequence token. Auto: as the tokenizer's file says.
  Bos bos() const { return bos_; }
  void setBos(Bos bos);

  /// Of the capture, else of the model; 0 while nothing was open yet.
  int layers() const;
  int heads() const;
  int kvHeads() const;
  bool contains(HeadId head) const;
  std::int64_t tokens() const { return capture_ ? capture_->tokens() : 0; }
  MapViewport wholeMap() const;  ///< shows every token

  // What is selected and how it is drawn.
  HeadId selected() const { return selected_; }
  void select(HeadId head);
  MapStyle style() const { return style_; }
  void setStyle(const MapStyle& style);
  MapViewport viewport() const { return viewport_; }
  void setViewport(const MapViewport& viewport);
  Interventions interventions() const { return interventions_; }
  void setInterventions(const Interventions& interventions);
  /// From which evidence a head counts as which case. The labels and case scores of the report follow.
  CaseThresholds caseThresholds() const { return caseThresholds_; }
  void setCaseThresholds(const CaseThresholds& thresholds);
  std::optional<Cursor> cursor() const { return cursor_; }
  void setCursor(std::optional<Cursor> cursor);
  std::optional<Cursor> pinned() const { return pinned_; }  ///< clicked cell
  void pin(std::optional<Cursor> cursor);

  // View history, apart from undo.
  bool canGoBack() const;
  bool canGoForward() const;
  void goBack();
  void goForward();

  // Flags: query heads proposed for pruning, each with a note. Every change can be undone.
  bool flagged(HeadId head) const { return flags_.contains(head); }
  QString note(HeadId head) const;
  const std::map<HeadId, QString>& flags() const { return flags_; }
  void toggleFlag(HeadId head);
  void setFlag(HeadId head, bool on);
  void setNote(HeadId head, const QString& note);
  void replaceFlags(const std::map<HeadId, QString>& flags, const QString& why);  ///< e.g. an imported mask; undoable
  HeadMask mask() const;  ///< flags as a query-head mask of the model's or capture's shape
  QUndoStack* undoStack() { return &undo_; }

 Q_SIGNALS:
  void modelChanged();
  void captureChanged();
  void layerReady(int layer);  ///< of a capture under construction
  void reportChanged();
  void promptChanged();
  void bosChanged();
  void selectionChanged();
  void styleChanged();
  void viewportChanged();
  void interventionsChanged();
  void caseThresholdsChanged();
  void cursorChanged();
  void pinChanged();
  void flagsChanged();
  void historyChanged();

 private:
  friend class FlagCommand;
  void applyFlags(const std::map<HeadId, QString>& flags);
  void applyShape(int layers, int heads, int kvHeads);
  enum class Move { Selection, Viewport };
  struct Place {
    HeadId head;
    MapViewport viewport;
  };
  void remember(Move move);
  Place here() const { return {selected_, viewport_}; }
  void goTo(const Place& place);

  std::shared_ptr<const ModelInfo> model_;
  std::shared_ptr<const Capture> capture_;
  std::shared_ptr<const Report> report_;
  QString prompt_;
  Bos bos_ = Bos::Auto;
  HeadId selected_;
  MapStyle style_;
  MapViewport viewport_;
  Interventions interventions_;
  CaseThresholds caseThresholds_;
  std::shared_ptr<const NeedleScores> needleScores_;
  std::optional<Cursor> cursor_;
  std::optional<Cursor> pinned_;
  std::map<HeadId, QString> flags_;
  int layers_ = 0, heads_ = 0, kvHeads_ = 0;
  QUndoStack undo_;
  std::vector<Place> past_, future_;
  QElapsedTimer lastMove_;
  Move lastKind_ = Move::Selection;
};

}  // namespace headscope::ui
