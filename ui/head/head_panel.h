#pragma once

// The right dock: everything about the selected head. Asks the engine for its detail and shows the parts as they come.

#include <QTimer>
#include <QWidget>
#include <memory>

#include "ui/engine/engine.h"
#include "ui/heads/metrics.h"
#include "ui/session/session.h"

class QLabel;
class QScrollArea;
class QToolButton;
class QVBoxLayout;

namespace headscope::ui {

class BoundPlot;
class ChannelPlot;
class DistancePlot;
class FigureRows;
class HeadHeader;
class InterventionsPanel;
class MessageBar;
class ReplayPanel;
class Section;
class ThresholdPanel;

class HeadPanel : public QWidget {
  Q_OBJECT
 public:
  HeadPanel(Engine* engine, Session* session, QWidget* parent = nullptr);

  void setScores(const ScoreTable& scores);
  HeadHeader* header() const { return header_; }
  InterventionsPanel* interventions() const { return interventions_; }
  ReplayPanel* replay() const { return replay_; }
  ThresholdPanel* thresholds() const { return thresholds_; }
  QToolButton* thresholdButton() const { return thresholdButton_; }
  QToolButton* allScoresButton() const { return allScores_; }
  FigureRows* scoreRows() const { return scoreRows_; }
  FigureRows* caseRows() const { return caseRows_; }
  /// The experiment's next line, with its section in view.
  void stepExperiment(Experiment experiment);
  MessageBar* messages() const { return messages_; }
  std::shared_ptr<const HeadDetail> detail() const { return detail_; }

 Q_SIGNALS:
  void helpAsked(QString page, QString topic);
  void constructedAsked();  ///< to see the experiments on a head that must show them

 private:
  Section* addSection(QVBoxLayout* column, const QString& name, const QString& title, const QString& page,
                      const QString& topic);
  void buildScores(QVBoxLayout* column);
  void buildLens(QVBoxLayout* column);
  void buildCases(QVBoxLayout* column);
  void buildExperiments(QVBoxLayout* column);
  void buildBounds(QVBoxLayout* column);
  void request();
  void showDetail(std::shared_ptr<const HeadDetail> detail);
  void showFigures();
  HeadReport ownReport(bool own) const;  ///< of the head in view; `own`: with what the detail knows better
  void showLens();
  void showBounds();

  Engine* engine_;
  Session* session_;
  ScoreTable scores_;
  std::shared_ptr<const HeadDetail> detail_;
  QTimer timer_;

  MessageBar* messages_;
  HeadHeader* header_;
  Section* scoreSection_ = nullptr;
  FigureRows* scoreRows_ = nullptr;
  QToolButton* allScores_ = nullptr;
  Section* caseSection_ = nullptr;
  FigureRows* caseRows_ = nullptr;
  QToolButton* thresholdButton_ = nullptr;
  ThresholdPanel* thresholds_ = nullptr;
  Section* lensSection_ = nullptr;
  ChannelPlot* channels_ = nullptr;
  QLabel* channelWords_ = nullptr;
  Section* distanceSection_ = nullptr;
  DistancePlot* distances_ = nullptr;
  QLabel* distanceWords_ = nullptr;
  Section* boundSection_ = nullptr;
  QToolButton* boundChoice_ = nullptr;
  BoundPlot* bounds_ = nullptr;
  QLabel* boundWords_ = nullptr;
  Statement statement_ = Statement::Theorem51;
  Section* replaySection_ = nullptr;
  ReplayPanel* replay_ = nullptr;
  QScrollArea* scroll_ = nullptr;
  InterventionsPanel* interventions_;
};

}  // namespace headscope::ui
