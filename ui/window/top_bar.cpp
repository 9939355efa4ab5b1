#include "ui/window/top_bar.h"

#include <QActionGroup>
#include <QHBoxLayout>
#include <QMenu>
#include <QPainter>
#include <QToolButton>

#include "ui/session/session_file.h"
#include "ui/style/color_map.h"
#include "ui/style/theme.h"
#include "ui/window/command_field.h"
#include "ui/window/model_chip.h"
#include "ui/window/prompt_field.h"

namespace headscope::ui {
namespace {

constexpr Pool kPools[] = {Pool::Max, Pool::Mean, Pool::Mass};
constexpr int kRunWidth = 76;
constexpr int kNarrow = 1240;  // below this the choices show their values only

}  // namespace

RunButton::RunButton(QWidget* parent) : QPushButton(parent) {
  setObjectName(QStringLiteral("runButton"));
  setFixedWidth(kRunWidth);
  setFocusPolicy(Qt::TabFocus);
  setAutoDefault(false);
  connect(this, &QPushButton::clicked, this, [this] { running_ ? Q_EMIT stopAsked() : Q_EMIT runAsked(); });
  setLook(this, "primary");
  setRunning(false);
}

void RunButton::setRunning(bool running) {
  fraction_ = -1;
  if (running != running_ || text().isEmpty()) {
    running_ = running;
    setLook(this, running ? "" : "primary");
  }
  setText(running ? tr("Stop") : tr("Run"));
  setToolTip(running ? tr("Stop (Ctrl+.)") : tr("Run the prompt (Ctrl+Return)"));
  update();
}

void RunButton::setProgress(double fraction, const QString& words) {
  fraction_ = fraction;
  setToolTip(words);
  update();
}

void RunButton::paintEvent(QPaintEvent* event) {
  QPushButton::paintEvent(event);
  if (running_ && fraction_ >= 0) {
    QPainter painter(this);
    const QRect ground(4, height() - 5, width() - 8, 3);
    painter.fillRect(ground, theme().line);
    painter.fillRect(QRect(ground.topLeft(), QSize(static_cast<int>(ground.width() * fraction_), 3)), theme().accent);
  }
}

TopBar::TopBar(Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      chip_(new ModelChip(this)),
      prompt_(new PromptField(session, this)),
      run_(new RunButton(this)),
      command_(new CommandField(this)) {
  setObjectName(QStringLiteral("topBarRow"));
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(2 * kSpacing, 2 * kSpacing, 2 * kSpacing, 2 * kSpacing);
  row->setSpacing(2 * kSpacing);
  row->addWidget(chip_);
  row->addWidget(prompt_, 3);
  row->addWidget(run_);
  value_ = choice(row, tr("Value (V)"));
  pool_ = choice(row, tr("Pooling of zoomed-out cells (P)"));
  color_ = choice(row, tr("Colour map (C) and scale (L)"));
  row->addWidget(command_, 2);
  command_->setMinimumWidth(150);
  command_->setMaximumWidth(340);
  const int height = prompt_->sizeHint().height();
  for (QWidget* widget : std::initializer_list<QWidget*>{chip_, run_, command_, value_, pool_, color_}) {
    widget->setFixedHeight(height);
  }
  fillMenus();
  showStyle();
  connect(session_, &Session::styleChanged, this, &TopBar::showStyle);
}

QToolButton* TopBar::choice(QHBoxLayout* row, const QString& name) {
  auto* button = new QToolButton(this);
  setLook(button, "choice");
  button->setPopupMode(QToolButton::InstantPopup);
  button->setFocusPolicy(Qt::TabFocus);
  button->setToolTip(name);
  button->setAccessibleName(name);
  button->setMenu(new QMenu(button));
  row->addWidget(button);
  return button;
}

void TopBar::change(const std::function<void(MapStyle&)>& edit) {
  MapStyle style = session_->style();
  edit(style);
  session_->setStyle(style);
}

void TopBar::fillMenus() {
  const auto add = [this](QToolButton* button, const QString& text, const QString& key,
                          const std::function<void(MapStyle&)>& edit) {
    QAction* action = button->menu()->addAction(text, this, [this, edit] { change(edit); });
    action->setCheckable(true);
    action->setData(key);
  };
  add(value_, tr("probability"), QStringLiteral("probability"), [](MapStyle& s) { s.value = MapValue::Probability; });
  add(value_, tr("logit"), QStringLiteral("logit"), [](MapStyle& s) { s.value = MapValue::Logit; });
  add(pool_, tr("max: the largest in the cell"), QStringLiteral("max"), [](MapStyle& s) { s.pool = Pool::Max; });
  add(pool_, tr("mean over the pairs in the cell"), QStringLiteral("mean"), [](MapStyle& s) { s.pool = Pool::Mean; });
  add(pool_, tr("mass: sum over keys, mean over queries"), QStringLiteral("mass"),
      [](MapStyle& s) { s.pool = Pool::Mass; });
  for (const QString& name : ColorMap::names()) {
    add(color_, name, name, [name](MapStyle& s) { s.colorMap = name; });
  }
  color_->menu()->addSeparator();
  add(color_, tr("logarithmic"), QStringLiteral("log"), [](MapStyle& s) { s.scale = ColorScale::Log; });
  add(color_, tr("linear"), QStringLiteral("linear"), [](MapStyle& s) { s.scale = ColorScale::Linear; });
}

void TopBar::showStyle() {
  const MapStyle style = session_->style();
  const bool narrow = width() < kNarrow;
  const auto label = [narrow](const QString& name, const QString& value) {
    return narrow ? QStringLiteral("%1 ▾").arg(value) : QStringLiteral("%1  %2 ▾").arg(name, value);
  };
  value_->setText(label(tr("Value"), valueName(style.value)));
  pool_->setText(label(tr("Pool"), poolName(style.pool)));
  color_->setText(label(tr("Colour"), QStringLiteral("%1 · %2").arg(style.colorMap, scaleName(style.scale))));
  const QStringList chosen{valueName(style.value), poolName(style.pool), style.colorMap, scaleName(style.scale)};
  for (QToolButton* button : {value_, pool_, color_}) {
    for (QAction* action : button->menu()->actions()) {
      action->setChecked(chosen.contains(action->data().toString()));
    }
  }
}

void TopBar::nextValue() {
  change([](MapStyle& s) { s.value = s.value == MapValue::Probability ? MapValue::Logit : MapValue::Probability; });
}

void TopBar::nextPool() {
  change([](MapStyle& s) { s.pool = kPools[(static_cast<std::size_t>(s.pool) + 1) % std::size(kPools)]; });
}

void TopBar::nextColorMap() {
  change([](MapStyle& s) {
    const QStringList names = ColorMap::names();
    s.colorMap = names[(names.indexOf(s.colorMap) + 1) % names.size()];
  });
}

void TopBar::nextScale() {
  change([](MapStyle& s) { s.scale = s.scale == ColorScale::Log ? ColorScale::Linear : ColorScale::Log; });
}

void TopBar::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  showStyle();
}

}  // namespace headscope::ui
