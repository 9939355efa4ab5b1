#pragma once

// The only door from the window to the core's work. Two threads: the model thread owns the model (load, run,
// continue), the map threads compute tiles, thumbnails, scores and details. Every call returns at once; answers come
// as signals on the UI thread, stale ones are dropped here. No exception leaves a job: failed() says what, where.

#include <QObject>
#include <QString>
#include <QVector>
#include <memory>

#include "core/analysis/report.h"
#include "core/capture/capture.h"
#include "core/maps/tiles.h"
#include "core/model/model.h"
#include "core/rope/interventions.h"
#include "ui/session/session.h"

namespace headscope::ui {

/// One running or finished piece of work, as the Jobs tab shows it.
struct JobStatus {
  quint64 id = 0;
  QString title;      ///< "Run demo on 512 tokens"
  QString stage;      ///< "prefill, layer 3"
  double fraction = -1;  ///< 0…1; −1 unknown
  double secondsLeft = -1;
  bool cancellable = true;
  enum class State { Waiting, Running, Done, Failed, Cancelled } state = State::Waiting;
  QString message;  ///< of a failure, one line that names the file
};

/// Pooled picture of one head for the wall.
struct Thumbnail {
  HeadId head;
  int size = 0;               ///< cells per side
  bool exact = false;
  std::vector<float> values;  ///< [size, size], NaN = no value
};

class Engine : public QObject {
  Q_OBJECT
 public:
  explicit Engine(QObject* parent = nullptr);
  ~Engine() override;  ///< stops and joins everything

  // Model thread.
  void openModel(const QString& path, const ModelOptions& options = {});
  void openCapture(const QString& path);
  void run(const QString& text, bool parseSpecialTokens = true);  ///< with the open model; a new run replaces a running one
  void continueText(int count);                                   ///< greedy continuation of the last run's text
  void saveCapture(std::shared_ptr<const Capture> capture, const QString& path);
  void cancel(quint64 job);
  void cancelAll();

  // Map threads.
  /// Tiles that the map shows now, most wanted first; everything else of this view is dropped.
  void requestTiles(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions,
                    const QVector<TileKey>& wanted);
  std::shared_ptr<const Tile> cachedTile(const TileKey& key) const;  ///< never computes
  quint64 viewId(const Capture& capture, HeadId head, const Interventions& interventions) const;
  /// Thumbnails of these heads in this order; sampled ones come first, exact ones later.
  void requestThumbnails(std::shared_ptr<const Capture> capture, const QVector<HeadId>& heads, int size, Pool pool);
  void requestScores(std::shared_ptr<const Capture> capture);
  void requestDetail(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions);
  /// One row (attention of a query over all keys) for the text strip, and one column.
  void requestRow(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions, qint64 query);
  void requestColumn(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions, qint64 key);

  bool busy() const;
  QVector<JobStatus> jobs() const;

 Q_SIGNALS:
  void modelOpened(std::shared_ptr<const headscope::ModelInfo> info, QString device, QString arithmetic);
  void captureStarted(std::shared_ptr<const headscope::Capture> capture);  ///< layers follow
  void layerReady(int layer);
  void captureReady(std::shared_ptr<const headscope::Capture> capture, double seconds, double loss);
  void textContinued(QString text);
  void captureSaved(QString path);
  void jobChanged(headscope::ui::JobStatus status);
  void failed(QString what, QString message);  ///< what: "open", "run", "map" …

  void tileReady(std::shared_ptr<const headscope::Tile> tile);
  void viewReady(quint64 view, std::shared_ptr<const headscope::HeadView> head);  ///< for exact values under the cursor
  void thumbnailReady(headscope::ui::Thumbnail thumbnail);
  void scoresReady(std::shared_ptr<const headscope::Report> report, bool complete);
  void detailReady(std::shared_ptr<const headscope::HeadDetail> detail);
  void rowReady(headscope::ui::HeadId head, qint64 query, QVector<float> probabilities);
  void columnReady(headscope::ui::HeadId head, qint64 key, QVector<float> probabilities);

 private:
  struct Private;
  std::unique_ptr<Private> d;
};

}  // namespace headscope::ui
