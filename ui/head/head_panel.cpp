#include "ui/head/head_panel.h"

#include <QActionGroup>
#include <QLabel>
#include <QMenu>
#include <QScrollArea>
#include <QScrollBar>
#include <QSettings>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "ui/head/figure_rows.h"
#include "ui/head/head_figures.h"
#include "ui/head/head_header.h"
#include "ui/head/interventions_panel.h"
#include "ui/head/lens_plot.h"
#include "ui/head/replay_panel.h"
#include "ui/head/section.h"
#include "ui/head/threshold_panel.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"
#include "ui/window/message_bar.h"

namespace headscope::ui {
namespace {

const char* const kAllScoresKey = "head/allScores";
constexpr int kDelayMs = 25;  // arrow keys held down ask once
constexpr Statement kStatements[] = {Statement::Proposition41, Statement::Theorem51, Statement::Theorem52,
                                     Statement::Theorem53, Statement::Theorem54};

QString toText(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QLabel* readoutLabel(QWidget* parent) {
  auto* label = new QLabel(parent);
  setLook(label, "small");
  label->setAlignment(Qt::AlignRight);
  label->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  return label;
}

// Unpredictable is 1 less the best of the others: once the cases are there, one of them is above 0.
bool known(const CaseResult& cases) {
  return std::any_of(cases.scores.begin(), cases.scores.end(), [](double score) { return score > 0; });
}

}  // namespace

HeadPanel::HeadPanel(Engine* engine, Session* session, QWidget* parent)
    : QWidget(parent),
      engine_(engine),
      session_(session),
      messages_(new MessageBar(this)),
      header_(new HeadHeader(session, this)),
      interventions_(new InterventionsPanel(session, this)) {
  auto* content = new QWidget;
  auto* column = new QVBoxLayout(content);
  column->setContentsMargins(3 * kSpacing, kSpacing, 3 * kSpacing, 3 * kSpacing);
  column->setSpacing(3 * kSpacing);
  buildScores(column);
  buildCases(column);
  buildLens(column);
  buildBounds(column);
  buildExperiments(column);
  addSection(column, QStringLiteral("interventions"), tr("Interventions"), QStringLiteral("rope_lens"),
             tr("Interventions"))
      ->add(interventions_);
  column->addStretch(1);

  auto* scroll = scroll_ = new QScrollArea(this);
  scroll->setWidgetResizable(true);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setFocusPolicy(Qt::NoFocus);
  scroll->viewport()->setAutoFillBackground(false);
  scroll->setWidget(content);
  content->setAutoFillBackground(false);  // setWidget() switches it on
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  outer->setSpacing(kSpacing);
  outer->addWidget(messages_);
  auto* top = new QVBoxLayout;
  top->setContentsMargins(3 * kSpacing, 0, 3 * kSpacing, 0);
  top->addWidget(header_);
  outer->addLayout(top);
  outer->addWidget(scroll, 1);
  setMinimumWidth(250);

  timer_.setSingleShot(true);
  timer_.setInterval(kDelayMs);
  connect(&timer_, &QTimer::timeout, this, &HeadPanel::request);
  for (const auto signal : {&Session::selectionChanged, &Session::captureChanged, &Session::interventionsChanged}) {
    connect(session_, signal, this, [this] { timer_.start(); });
  }
  connect(session_, &Session::layerReady, this, [this](int layer) {
    if (layer == session_->selected().layer) {
      timer_.start();
    }
  });
  connect(engine_, &Engine::detailReady, this, &HeadPanel::showDetail);
  connect(session_, &Session::captureChanged, this, [this] { showDetail(nullptr); });
  showDetail(nullptr);
}

Section* HeadPanel::addSection(QVBoxLayout* column, const QString& name, const QString& title, const QString& page,
                               const QString& topic) {
  auto* section = new Section(name, title, page, topic, this);
  connect(section, &Section::helpAsked, this, &HeadPanel::helpAsked);
  column->addWidget(section);
  return section;
}

void HeadPanel::buildScores(QVBoxLayout* column) {
  scoreSection_ = addSection(column, QStringLiteral("scores"), tr("Scores"), QStringLiteral("scores"), QString());
  scoreRows_ = new FigureRows(this);
  scoreRows_->setAccessibleName(tr("Scores of this head"));
  allScores_ = new QToolButton(this);
  allScores_->setCheckable(true);
  allScores_->setFocusPolicy(Qt::TabFocus);
  allScores_->setText(tr("all %1").arg(allScoreRows()));
  allScores_->setToolTip(tr("Show every score"));
  setLook(allScores_, "link");
  scoreSection_->addToTitle(allScores_);
  scoreSection_->add(scoreRows_);
  allScores_->setChecked(QSettings().value(QLatin1String(kAllScoresKey)).toBool());
  connect(allScores_, &QToolButton::toggled, this, [this](bool all) {
    QSettings().setValue(QLatin1String(kAllScoresKey), all);
    showFigures();
  });
}

void HeadPanel::buildCases(QVBoxLayout* column) {
  caseSection_ = addSection(column, QStringLiteral("cases"), tr("Cases"), QStringLiteral("cases"), QString());
  caseRows_ = new FigureRows(this);
  caseRows_->setAccessibleName(tr("Cases of this head"));
  caseSection_->add(caseRows_);
  thresholds_ = new ThresholdPanel(session_, this);
  thresholds_->hide();
  caseSection_->add(thresholds_);
  thresholdButton_ = new QToolButton(this);
  thresholdButton_->setText(tr("thresholds"));
  thresholdButton_->setCheckable(true);
  thresholdButton_->setFocusPolicy(Qt::TabFocus);
  thresholdButton_->setToolTip(tr("From which evidence a head counts as which case: adjust"));
  setLook(thresholdButton_, "link");
  caseSection_->addToTitle(thresholdButton_);
  connect(thresholdButton_, &QToolButton::toggled, thresholds_, &QWidget::setVisible);
  connect(session_, &Session::caseThresholdsChanged, this, &HeadPanel::showFigures);
  for (FigureRows* rows : {scoreRows_, caseRows_}) {
    connect(rows, &FigureRows::helpAsked, this, &HeadPanel::helpAsked);
  }
}

void HeadPanel::buildLens(QVBoxLayout* column) {
  lensSection_ = addSection(column, QStringLiteral("lens"), tr("RoPE lens"), QStringLiteral("rope_lens"), QString());
  channels_ = new ChannelPlot(this);
  channelWords_ = readoutLabel(this);
  lensSection_->add(channels_);
  lensSection_->add(channelWords_);
  distanceSection_ = addSection(column, QStringLiteral("distance"), tr("Logit by distance"),
                                QStringLiteral("rope_lens"), tr("Logit by distance"));
  distances_ = new DistancePlot(this);
  distanceWords_ = readoutLabel(this);
  distanceSection_->add(distances_);
  distanceSection_->add(distanceWords_);
  connect(channels_, &LensPlot::readout, this,
          [this](const QString& text) { text.isEmpty() ? showLens() : channelWords_->setText(text); });
  connect(distances_, &LensPlot::readout, this,
          [this](const QString& text) { text.isEmpty() ? showLens() : distanceWords_->setText(text); });
}

void HeadPanel::buildBounds(QVBoxLayout* column) {
  boundSection_ = addSection(column, QStringLiteral("bounds"), tr("Bounds"), QStringLiteral("bounds"), QString());
  boundChoice_ = new QToolButton(this);
  setLook(boundChoice_, "choice");
  boundChoice_->setPopupMode(QToolButton::InstantPopup);
  boundChoice_->setFocusPolicy(Qt::TabFocus);
  boundChoice_->setMenu(new QMenu(boundChoice_));
  boundChoice_->setAccessibleName(tr("Which statement"));
  auto* group = new QActionGroup(boundChoice_);
  for (const Statement statement : kStatements) {
    QAction* action = boundChoice_->menu()->addAction(toText(statementTitle(statement)), this, [this, statement] {
      statement_ = statement;
      showBounds();
    });
    action->setCheckable(true);
    action->setChecked(statement == statement_);
    group->addAction(action);
  }
  boundSection_->addToTitle(boundChoice_);
  bounds_ = new BoundPlot(this);
  boundWords_ = readoutLabel(this);
  boundSection_->add(bounds_);
  boundSection_->add(boundWords_);
  connect(bounds_, &LensPlot::readout, this,
          [this](const QString& text) { text.isEmpty() ? showBounds() : boundWords_->setText(text); });
}

void HeadPanel::buildExperiments(QVBoxLayout* column) {
  replaySection_ = addSection(column, QStringLiteral("replay"), tr("The paper’s experiments"),
                              QStringLiteral("rope_lens"), tr("The paper’s experiments"));
  replay_ = new ReplayPanel(engine_, session_, this);
  replaySection_->add(replay_);
  connect(replay_, &ReplayPanel::constructedAsked, this, &HeadPanel::constructedAsked);
}

void HeadPanel::stepExperiment(Experiment experiment) {
  replaySection_->setExpanded(true);
  scroll_->ensureWidgetVisible(replaySection_);
  replay_->step(experiment);
}

void HeadPanel::setScores(const ScoreTable& scores) {
  scores_ = scores;
  header_->setScores(scores);
  thresholds_->setScores(scores);
  showFigures();
}

void HeadPanel::request() {
  const auto capture = session_->capture();
  const HeadId head = session_->selected();
  if (capture && head.layer < capture->header().layers && capture->ready(head.layer)) {
    engine_->requestDetail(capture, head, session_->interventions());
  }
}

void HeadPanel::showDetail(std::shared_ptr<const HeadDetail> detail) {
  const HeadId head = session_->selected();
  if (detail && (detail->layer != head.layer || detail->head != head.head ||
                 detail->interventions != session_->interventions())) {
    return;
  }
  detail_ = std::move(detail);
  if (detail_ && !detail_->interventions.any()) {
    interventions_->setDominant(detail_->lens.spectrum.dominant);
  } else if (const HeadReport* report = scores_.find(head); report != nullptr && !detail_) {
    interventions_->setDominant(report->dominantChannel);
  }
  showFigures();
  showLens();
  showBounds();
}

HeadReport HeadPanel::ownReport(bool own) const {
  const HeadReport* report = scores_.find(session_->selected());
  HeadReport result = report != nullptr ? *report : HeadReport{};
  if (!own) {
    return result;
  }
  for (std::size_t i = 0; i < kScoreCount; ++i) {
    if (!std::isnan(detail_->scores.values[i])) {
      result.scores.values[i] = detail_->scores.values[i];
    }
  }
  if (detail_->retrieval) {
    result.retrieval = detail_->retrieval;
  }
  if (known(detail_->cases)) {
    result.cases = detail_->cases;
    applyThresholds(result.cases, session_->caseThresholds());
  }
  return result;
}

void HeadPanel::showFigures() {
  const bool own =
      detail_ && detail_->layer == session_->selected().layer && detail_->head == session_->selected().head;
  const HeadReport report = ownReport(own);
  scoreRows_->setRows(headscope::ui::scoreRows(report, scores_, allScores_->isChecked()));
  scoreSection_->setRemark(scores_.empty() ? QString() : tr("among %1 heads").arg(scores_.size()));
  caseRows_->setRows(headscope::ui::caseRows(report.cases, session_->caseThresholds()));
  caseSection_->setRemark(thresholds_->moved() ? tr("thresholds moved") : tr("▮ measured ▯ predicted"));
  if (own && known(report.cases)) {
    header_->setCases(report.cases);
  }
}

void HeadPanel::showLens() {
  const RopeLens lens = detail_ ? detail_->lens : RopeLens{};
  channels_->setSpectrum(lens.spectrum);
  distances_->setLens(lens);
  if (!detail_) {
    channelWords_->clear();
    distanceWords_->clear();
    return;
  }
  const RopeSpectrum& spectrum = lens.spectrum;
  if (spectrum.dominant && static_cast<std::size_t>(*spectrum.dominant) < spectrum.channels.size()) {
    const RopeChannel& channel = spectrum.channels[static_cast<std::size_t>(*spectrum.dominant)];
    channelWords_->setText(tr("dominant: channel %1, %2 tokens, share %3 %")
                               .arg(channel.m)
                               .arg(compactTokens(channel.wavelength), formatValue(100 * channel.share)));
  } else {
    channelWords_->setText(spectrum.channels.empty() ? tr("this layer has no RoPE") : tr("no dominant channel"));
  }
  const QString predicted = spectrum.predictedPeriod ? compactTokens(*spectrum.predictedPeriod) : QStringLiteral("–");
  distanceWords_->setText(lens.measuredPeriod ? tr("period %1 predicted, %2 measured (strength %3)")
                                                    .arg(predicted, compactTokens(lens.measuredPeriod->tokens),
                                                         formatValue(lens.measuredPeriod->strength))
                                              : tr("period %1 predicted, none measured").arg(predicted));
}

void HeadPanel::showBounds() {
  const QString title = toText(statementTitle(statement_));
  boundChoice_->setText(title.section(QLatin1Char(':'), 0, 0) + QStringLiteral(" ▾"));
  boundChoice_->setToolTip(title);
  if (!detail_) {
    bounds_->setCurve({}, false);
    boundWords_->clear();
    return;
  }
  const BoundReport& report = detail_->bounds;
  const bool lower = statement_ == Statement::Proposition41;
  bounds_->setCurve(report.curves[static_cast<std::size_t>(statement_)], lower);
  const BoundSummary& summary = report[statement_];
  if (summary.pairs == 0) {
    boundWords_->setText(report.curves[static_cast<std::size_t>(statement_)].measured.empty()
                             ? tr("being computed …")
                             : tr("says nothing about this head"));
    return;
  }
  const QString holds =
      summary.violations == 0 ? tr("holds") : tr("%1 violations").arg(formatCount(summary.violations));
  const QString count =
      lower ? tr("%1 steps").arg(formatCount(summary.pairs)) : tr("%1 pairs").arg(formatCount(summary.pairs));
  boundWords_->setText(tr("%1%2 · %3 · tightness %4, max %5")
                           .arg(holds, report.exact ? QString() : tr(" (sampled)"), count,
                                summary.tightnessMean ? formatValue(*summary.tightnessMean) : QStringLiteral("–"),
                                summary.tightnessMax ? formatValue(*summary.tightnessMax) : QStringLiteral("–")));
}

}  // namespace headscope::ui
