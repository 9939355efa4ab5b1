#include "ui/head/replay_panel.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTableWidget>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>
#include <vector>

#include "ui/head/lens_plot.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kDelayMs = 60;              // arrow keys held down ask once
constexpr std::int64_t kAtOnce = 16'384;  // tokens up to which nobody needs to ask
enum Column { kChange, kPredicted, kMeasured, kStrength, kSign, kColumns };

/// "10k", "500k", "1M"
QString baseWords(double base) {
  return base >= 1e6   ? QString::number(base / 1e6, 'g', 4) + QLatin1Char('M')
         : base >= 1e3 ? QString::number(base / 1e3, 'g', 4) + QLatin1Char('k')
                       : QString::number(base, 'g', 4);
}

QString changeWords(const ExperimentReading& reading) {
  if (!reading.interventions.moveChannels.empty()) {
    const auto [from, to] = reading.interventions.moveChannels.front();
    if (reading.interventions.ropeBase) {
      return QObject::tr("%1 → %2, base %3").arg(from).arg(to).arg(baseWords(*reading.interventions.ropeBase));
    }
    return QObject::tr("Channel %1 → %2").arg(from).arg(to);
  }
  if (reading.interventions.ropeBase) {
    return QObject::tr("Base → %1").arg(baseWords(*reading.interventions.ropeBase));
  }
  return QObject::tr("As captured");
}

QString signOf(PeriodVerdict verdict) {
  switch (verdict) {
    case PeriodVerdict::Shown:
      return QStringLiteral("✓");
    case PeriodVerdict::NotShown:
      return QStringLiteral("✗");
    case PeriodVerdict::OutOfReach:
      break;
  }
  return QStringLiteral("–");
}

QString tipOf(const ExperimentReading& reading) {
  switch (reading.verdict) {
    case PeriodVerdict::Shown:
      return QObject::tr("The diagonals repeat as predicted (within 3 %, strength at least 0.8)");
    case PeriodVerdict::NotShown:
      return QObject::tr("The predicted period would fit into this text, but is not what the logits repeat with");
    case PeriodVerdict::OutOfReach:
      break;
  }
  return QObject::tr("The predicted period is longer than a quarter of this text: it can't be measured here");
}

/// What one experiment says, as half a sentence.
QString resultWords(const Replay& replay, Experiment experiment, const QString& what) {
  bool reach = false;
  for (const ExperimentReading& reading : replay.readings) {
    if (reading.experiment == experiment) {
      reach = reach || reading.verdict != PeriodVerdict::OutOfReach;
    }
  }
  return replay.shows(experiment) ? QObject::tr("%1: repeats as predicted.").arg(what)
         : reach                  ? QObject::tr("%1: does not repeat as predicted.").arg(what)
                                  : QObject::tr("%1: period too long for this text.").arg(what);
}

}  // namespace

ReplayPanel::ReplayPanel(Engine* engine, Session* session, QWidget* parent)
    : QWidget(parent),
      engine_(engine),
      session_(session),
      table_(new QTableWidget(0, kColumns, this)),
      verdict_(new QLabel(this)),
      compute_(new QPushButton(tr("Measure"), this)),
      constructed_(new QPushButton(tr("On a constructed head"), this)) {
  table_->setHorizontalHeaderLabels(
      {tr("Period in tokens"), tr("predicted"), tr("measured"), tr("strength"), QString()});
  table_->setObjectName(QStringLiteral("replayTable"));
  table_->setAccessibleName(tr("The paper’s experiments on this head"));
  table_->verticalHeader()->hide();
  table_->setShowGrid(false);
  table_->setSelectionBehavior(QAbstractItemView::SelectRows);
  table_->setSelectionMode(QAbstractItemView::SingleSelection);
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  table_->setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  table_->setFocusPolicy(Qt::TabFocus);
  table_->setTabKeyNavigation(false);
  QHeaderView* header = table_->horizontalHeader();
  table_->setStyleSheet(
      QStringLiteral("QHeaderView::section { padding: 2px 4px; font-size: 9pt; }"
                     "QTableWidget::item { padding: 0px 4px; }"));
  header->setDefaultAlignment(Qt::AlignRight | Qt::AlignVCenter);
  table_->horizontalHeaderItem(kChange)->setTextAlignment(Qt::AlignLeft | Qt::AlignVCenter);
  header->setSectionResizeMode(QHeaderView::Fixed);
  header->setSectionResizeMode(kChange, QHeaderView::Stretch);
  const QFontMetrics metrics(smallFont());
  const int number = std::max(metrics.horizontalAdvance(tr("predicted")), metrics.horizontalAdvance(tr("measured"))) +
                     2 * kSpacing + 4;
  for (const int column : {kPredicted, kMeasured, kStrength}) {
    header->resizeSection(column, number);
  }
  header->resizeSection(kSign, 4 * kSpacing + 2);
  header->setHighlightSections(false);
  header->setSectionsClickable(false);
  header->setMinimumSectionSize(18);
  setLook(verdict_, "small");
  verdict_->setWordWrap(true);
  for (QPushButton* button : {compute_, constructed_}) {
    setLook(button, "link");
    button->setAutoDefault(false);
  }
  constructed_->setToolTip(tr("Opens the gallery at the head that Theorem 5.3 builds: there both must work"));
  auto* links = new QHBoxLayout;
  links->setContentsMargins(0, 0, 0, 0);
  links->addWidget(compute_);
  links->addWidget(constructed_);
  links->addStretch(1);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(kSpacing);
  column->addWidget(table_);
  column->addWidget(verdict_);
  column->addLayout(links);

  timer_.setSingleShot(true);
  timer_.setInterval(kDelayMs);
  connect(&timer_, &QTimer::timeout, this, &ReplayPanel::request);
  connect(compute_, &QPushButton::clicked, this, &ReplayPanel::request);
  connect(constructed_, &QPushButton::clicked, this, &ReplayPanel::constructedAsked);
  connect(table_, &QTableWidget::currentCellChanged, this, [this](int row) {
    if (!filling_) {
      apply(row);
    }
  });
  connect(table_, &QTableWidget::cellClicked, this, &ReplayPanel::apply);
  connect(engine_, &Engine::replayReady, this, &ReplayPanel::arrived);
  connect(session_, &Session::selectionChanged, this, &ReplayPanel::changed);
  connect(session_, &Session::captureChanged, this, &ReplayPanel::changed);
  connect(session_, &Session::interventionsChanged, this, &ReplayPanel::showSession);
  connect(session_, &Session::layerReady, this, [this](int layer) {
    if (layer == session_->selected().layer) {
      changed();
    }
  });
  connect(&Appearance::instance(), &Appearance::changed, this, &ReplayPanel::fill);
  changed();
}

void ReplayPanel::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  if (!replay_) {
    changed();
  }
}

void ReplayPanel::changed() {
  replay_.reset();
  fill();
  if (isVisible() && session_->tokens() <= kAtOnce) {
    timer_.start();
  }
}

void ReplayPanel::request() {
  const auto capture = session_->capture();
  const HeadId head = session_->selected();
  if (capture && head.layer < capture->header().layers && capture->ready(head.layer)) {
    verdict_->setText(tr("being measured …"));
    engine_->requestReplay(capture, head);
  }
}

void ReplayPanel::arrived(std::shared_ptr<const Replay> replay) {
  const HeadId head = session_->selected();
  if (replay->layer != head.layer || replay->head != head.head) {
    return;
  }
  replay_ = std::move(replay);
  fill();
  if (const auto wanted = std::exchange(wanted_, std::nullopt)) {
    step(*wanted);
  }
}

QString ReplayPanel::verdict() const {
  return verdict_->text();
}

void ReplayPanel::fill() {
  filling_ = true;
  const std::size_t rows = replay_ ? replay_->readings.size() : 0;
  const auto capture = session_->capture();
  table_->setRowCount(static_cast<int>(rows));
  for (std::size_t row = 0; row < rows; ++row) {
    const ExperimentReading& reading = replay_->readings[row];
    const auto& measured = reading.measuredPeriod;
    const bool shown = reading.verdict == PeriodVerdict::Shown;
    const QString cells[kColumns] = {
        changeWords(reading), reading.predictedPeriod ? compactTokens(*reading.predictedPeriod) : QStringLiteral("–"),
        measured ? compactTokens(measured->tokens) : QStringLiteral("–"),
        measured ? formatValue(measured->strength) : QStringLiteral("–"), signOf(reading.verdict)};
    for (int column = 0; column < kColumns; ++column) {
      auto* item = new QTableWidgetItem(cells[column]);
      item->setToolTip(tipOf(reading));
      item->setTextAlignment((column == kChange ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
      item->setForeground(column == kSign && shown                             ? theme().good
                          : column == kChange || column == kPredicted || shown ? theme().text
                                                                               : theme().muted);
      table_->setItem(static_cast<int>(row), column, item);
    }
    table_->setRowHeight(static_cast<int>(row), fontMetrics().height() + 2 * kSpacing);
  }
  filling_ = false;
  int height = table_->horizontalHeader()->sizeHint().height() + 2;
  for (int row = 0; row < table_->rowCount(); ++row) {
    height += table_->rowHeight(row);
  }
  table_->setFixedHeight(height);
  table_->setVisible(rows > 0);
  compute_->setVisible(!replay_ && capture != nullptr && session_->tokens() > kAtOnce);
  if (!replay_) {
    verdict_->setText(capture == nullptr      ? QString()
                      : compute_->isVisible() ? tr("A long text: ask for it.")
                                              : QString());
  } else if (rows == 0) {
    verdict_->setText(tr("This layer has no RoPE: there is nothing to move."));
  } else {
    QStringList words{resultWords(*replay_, Experiment::MoveChannel, tr("Moving the dominant channel")),
                      resultWords(*replay_, Experiment::LowerBase, tr("A tenth of the base"))};
    if (!replay_->shows(Experiment::LowerBase)) {
      words.append(resultWords(*replay_, Experiment::BaseAfterMove, tr("The same after the move")));
    }
    verdict_->setText(words.join(QLatin1Char(' ')));
  }
  showSession();
}

void ReplayPanel::showSession() {
  filling_ = true;
  table_->clearSelection();
  table_->setCurrentItem(nullptr);
  for (std::size_t row = 0; replay_ && row < replay_->readings.size(); ++row) {
    if (replay_->readings[row].interventions == session_->interventions()) {
      table_->setCurrentCell(static_cast<int>(row), kChange);
    }
  }
  filling_ = false;
}

void ReplayPanel::apply(int row) {
  if (replay_ && row >= 0 && static_cast<std::size_t>(row) < replay_->readings.size()) {
    session_->setInterventions(replay_->readings[static_cast<std::size_t>(row)].interventions);
  }
}

void ReplayPanel::step(Experiment experiment) {
  if (!replay_) {
    wanted_ = experiment;
    request();
    return;
  }
  const auto& readings = replay_->readings;
  std::vector<int> lines;  // of this experiment, then the head as captured
  int place = -1;
  for (std::size_t row = 0; row < readings.size(); ++row) {
    const Experiment kind = readings[row].experiment;
    if (kind == experiment || (kind == Experiment::BaseAfterMove && experiment == Experiment::LowerBase)) {
      place = readings[row].interventions == session_->interventions() ? static_cast<int>(lines.size()) : place;
      lines.push_back(static_cast<int>(row));
    }
  }
  lines.push_back(0);
  apply(lines[static_cast<std::size_t>(place + 1)]);
}

}  // namespace headscope::ui
