#include "ui/heads/heads_panel.h"

#include <QActionGroup>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QPainter>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/map/map_colors.h"
#include "ui/style/color_map.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"
#include "ui/window/line_icon.h"

namespace headscope::ui {

WallLegend::WallLegend(QWidget* parent) : QWidget(parent) {
  setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
}

void WallLegend::setScale(const QString& words, const QString& low, const QString& high, const QString& colorMap) {
  words_ = words;
  low_ = low;
  high_ = high;
  colorMap_ = colorMap;
  setAccessibleName(tr("Colours: %1, from %2 to %3").arg(words, low, high));
  update();
}

QSize WallLegend::sizeHint() const {
  return {160, 2 * QFontMetrics(smallFont()).height() + 3 * kSpacing};
}

void WallLegend::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setFont(smallFont());
  const QFontMetrics metrics(smallFont());
  const int line = metrics.height();
  painter.setPen(theme().muted);
  painter.drawText(QRect(0, 0, width(), line), Qt::AlignLeft | Qt::AlignVCenter,
                   metrics.elidedText(words_, Qt::ElideRight, width()));
  const int lowWidth = metrics.horizontalAdvance(low_) + 2 * kSpacing;
  const int highWidth = metrics.horizontalAdvance(high_) + 2 * kSpacing;
  const QRect strip(lowWidth, line + 2 * kSpacing, width() - lowWidth - highWidth, 2 * kSpacing);
  const QRect text(0, line + kSpacing, width(), line);
  painter.drawText(text, Qt::AlignLeft | Qt::AlignVCenter, low_);
  painter.drawText(text, Qt::AlignRight | Qt::AlignVCenter, high_);
  const ColorMap& map = ColorMap::named(colorMap_);
  for (int x = 0; x < strip.width(); ++x) {
    painter.fillRect(QRect(strip.left() + x, strip.center().y() - 3, 1, 7),
                     QColor(map.at(static_cast<double>(x) / std::max(1, strip.width() - 1))));
  }
}

HeadsPanel::HeadsPanel(Engine* engine, Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      wall_(new HeadsWall(engine, session, this)),
      sort_(choiceButton(tr("Sort heads"))),
      color_(choiceButton(tr("Colour heads by"))),
      filter_(new QLineEdit(this)),
      problem_(new QLabel(this)),
      legend_(new WallLegend(this)) {
  filter_->setObjectName(QStringLiteral("headFilter"));
  filter_->setPlaceholderText(tr("Filter  /"));
  filter_->setToolTip(tr("L3, kv1, flagged, sequential, sink>0.5, entropy<1, note:word, −term. All must hold."));
  filter_->setAccessibleName(tr("Filter heads"));
  filter_->setClearButtonEnabled(true);
  filter_->setMinimumWidth(72);
  setLook(problem_, "small");
  problem_->setWordWrap(true);
  problem_->hide();
  fillMenu(sort_, tr("layer"), &HeadsPanel::setSortBy);
  fillMenu(color_, tr("map"), &HeadsPanel::setColorBy);

  auto* line = new QHBoxLayout;
  line->setSpacing(kSpacing);
  line->addWidget(sort_);
  line->addWidget(color_);
  line->addWidget(filter_, 1);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 2 * kSpacing);
  column->setSpacing(kSpacing);
  auto* top = new QVBoxLayout;
  top->setContentsMargins(2 * kSpacing, 0, 2 * kSpacing, 0);
  top->addLayout(line);
  top->addWidget(problem_);
  column->addLayout(top);
  column->addWidget(wall_, 1);
  auto* bottom = new QVBoxLayout;
  bottom->setContentsMargins(2 * kSpacing, 0, 2 * kSpacing, 0);
  bottom->addWidget(legend_);
  column->addLayout(bottom);

  connect(filter_, &QLineEdit::textChanged, this, [this](const QString& text) {
    const HeadFilter filter = HeadFilter::parse(text);
    problem_->setText(filter.problem());
    problem_->setVisible(!filter.problem().isEmpty());
    wall_->setFilter(filter);
  });
  connect(filter_, &QLineEdit::returnPressed, this, [this] { wall_->setFocus(); });
  connect(wall_, &HeadsWall::shownHeadsChanged, this, &HeadsPanel::countChanged);
  connect(session_, &Session::flagsChanged, this, &HeadsPanel::countChanged);
  connect(session_, &Session::captureChanged, this, &HeadsPanel::updateLegend);
  connect(session_, &Session::styleChanged, this, &HeadsPanel::updateLegend);
  connect(session_, &Session::reportChanged, this, &HeadsPanel::reportChanged);
  showChoices();
  updateLegend();
}

QToolButton* HeadsPanel::choiceButton(const QString& name) {
  auto* button = new QToolButton(this);
  setLook(button, "choice");
  button->setPopupMode(QToolButton::InstantPopup);
  button->setFocusPolicy(Qt::TabFocus);
  button->setToolTip(name);
  button->setAccessibleName(name);
  button->setMenu(new QMenu(button));
  return button;
}

void HeadsPanel::fillMenu(QToolButton* button, const QString& first, void (HeadsPanel::*chosen)(std::optional<int>)) {
  auto* group = new QActionGroup(button);
  const auto add = [&](const QString& text, std::optional<int> metric, const QString& tip) {
    QAction* action = button->menu()->addAction(text);
    action->setCheckable(true);
    action->setToolTip(tip);
    action->setData(metric.value_or(-1));
    action->setChecked(!metric);
    group->addAction(action);
    connect(action, &QAction::triggered, this, [this, chosen, metric] { (this->*chosen)(metric); });
  };
  button->menu()->setToolTipsVisible(true);
  add(first, std::nullopt, QString());
  for (std::size_t i = 0; i < metrics().size(); ++i) {
    if (i == 0 || static_cast<int>(i) == metricOf(Case{}) || static_cast<int>(i) == metricOf(Extra{})) {
      button->menu()->addSeparator();
    }
    add(metrics()[i].label, static_cast<int>(i), metrics()[i].text);
  }
}

void HeadsPanel::setSortBy(std::optional<int> metric) {
  wall_->setSortBy(metric);
  showChoices();
}

void HeadsPanel::setColorBy(std::optional<int> metric) {
  wall_->setColorBy(metric);
  showChoices();
  updateLegend();
}

void HeadsPanel::showChoices() {
  const auto show = [](QToolButton* button, const QString& what, std::optional<int> metric, const QString& none) {
    const QString name = metric ? metrics()[static_cast<std::size_t>(*metric)].label : none;
    const QString shown = QFontMetrics(button->font()).elidedText(name, Qt::ElideRight, 84);
    button->setText(QStringLiteral("%1: %2 ▾").arg(what, shown));
    for (QAction* action : button->menu()->actions()) {
      action->setChecked(action->isCheckable() && action->data().toInt() == metric.value_or(-1));
    }
  };
  show(sort_, tr("Sort"), wall_->sortBy(), tr("layer"));
  show(color_, tr("Colour"), wall_->colorBy(), tr("map"));
}

void HeadsPanel::reportChanged() {
  scores_ = ScoreTable(session_->report());
  wall_->setScores(scores_);
  updateLegend();
}

void HeadsPanel::updateLegend() {
  const MapStyle style = session_->style();
  if (const auto metric = wall_->colorBy()) {
    const Metric& known = metrics()[static_cast<std::size_t>(*metric)];
    const auto [low, high] = scores_.range(*metric);
    legend_->setScale(known.unit.isEmpty() ? known.label : QStringLiteral("%1, %2").arg(known.label, known.unit),
                      formatValue(low), formatValue(high), style.colorMap);
    return;
  }
  MapStyle shown = style;
  shown.value = MapValue::Probability;  // thumbnails always show probabilities
  const QString low = style.scale == ColorScale::Log
                          ? formatValue(logFloor(std::max<std::int64_t>(session_->tokens(), 1)))
                          : QStringLiteral("0");
  legend_->setScale(colorWords(shown, 0), low, QStringLiteral("1"), style.colorMap);
}

QString HeadsPanel::countWords() const {
  const int all = session_->layers() * session_->heads();
  if (all == 0) {
    return {};
  }
  QString words = wall_->shownHeads() < all ? tr("%1 of %2").arg(wall_->shownHeads()).arg(all) : QString::number(all);
  if (!session_->flags().empty()) {
    words += tr(" · %1 flagged").arg(session_->flags().size());
  }
  return words;
}

}  // namespace headscope::ui
