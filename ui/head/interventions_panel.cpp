#include "ui/head/interventions_panel.h"

#include <QCheckBox>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QRegularExpression>
#include <QSignalBlocker>
#include <QSlider>
#include <QVBoxLayout>
#include <cmath>
#include <set>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

// The slider goes by hundredths of a decade, 10^1 … 10^9.
constexpr int kStepsPerDecade = 100;
constexpr int kLowestDecade = 1, kHighestDecade = 9;
constexpr int kDelayMs = 30;

QString baseText(double base) {
  return base < 1e15 && base == std::floor(base) ? formatCount(static_cast<qint64>(base))
                                                 : QString::number(base, 'g', 6);
}

std::optional<double> parseBase(QString text) {
  text.remove(QRegularExpression(QStringLiteral("[\\s\\x{2009},_]")));
  bool fine = false;
  const double base = text.toDouble(&fine);
  return fine && std::isfinite(base) && base > 1 ? std::optional(base) : std::nullopt;
}

QString channelText(const std::vector<int>& channels) {
  QStringList words;
  for (const int channel : channels) {
    words.append(QString::number(channel));
  }
  return words.join(QStringLiteral(", "));
}

}  // namespace

std::optional<std::vector<int>> parseChannels(const QString& text, int channels) {
  std::set<int> all;
  for (const QString& part : text.split(QRegularExpression(QStringLiteral("[,;\\s]+")), Qt::SkipEmptyParts)) {
    const auto match = QRegularExpression(QStringLiteral("^(\\d{1,6})(?:-(\\d{1,6}))?$")).match(part);
    if (!match.hasMatch()) {
      return std::nullopt;
    }
    const int first = match.captured(1).toInt();
    const int last = match.captured(2).isEmpty() ? first : match.captured(2).toInt();
    if (last < first || last >= channels) {
      return std::nullopt;
    }
    for (int channel = first; channel <= last; ++channel) {
      all.insert(channel);
    }
  }
  return std::vector<int>(all.begin(), all.end());
}

InterventionsPanel::InterventionsPanel(Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      base_(new QSlider(Qt::Horizontal, this)),
      baseValue_(new QLineEdit(this)),
      move_(new QSlider(Qt::Horizontal, this)),
      moveName_(new QLabel(this)),
      moveValue_(new QLabel(this)),
      drop_(new QLineEdit(this)),
      problem_(new QLabel(this)),
      noRope_(new QCheckBox(tr("No RoPE (all angles 0)"), this)),
      original_(new QPushButton(tr("Original"), this)) {
  build();
  timer_.setSingleShot(true);
  timer_.setInterval(kDelayMs);
  connect(&timer_, &QTimer::timeout, this, [this] { session_->setInterventions(wanted()); });
  connect(base_, &QSlider::valueChanged, this, [this](int value) {
    if (!showing_) {
      exactBase_ = std::round(std::pow(10.0, static_cast<double>(value) / kStepsPerDecade));
      changed();
    }
  });
  connect(baseValue_, &QLineEdit::editingFinished, this, [this] {
    if (const auto base = parseBase(baseValue_->text())) {
      exactBase_ = base;
      changed();
    } else {
      showSession();
    }
  });
  connect(move_, &QSlider::valueChanged, this, &InterventionsPanel::changed);
  connect(drop_, &QLineEdit::textChanged, this, &InterventionsPanel::changed);
  connect(noRope_, &QCheckBox::toggled, this, &InterventionsPanel::changed);
  connect(original_, &QPushButton::clicked, this, &InterventionsPanel::reset);
  connect(session_, &Session::interventionsChanged, this, &InterventionsPanel::showSession);
  connect(session_, &Session::selectionChanged, this, &InterventionsPanel::showSession);
  connect(session_, &Session::captureChanged, this, &InterventionsPanel::showSession);
  connect(session_, &Session::layerReady, this, [this](int layer) {
    if (layer == session_->selected().layer) {
      showSession();
    }
  });
  showSession();
}

void InterventionsPanel::build() {
  base_->setRange(kLowestDecade * kStepsPerDecade, kHighestDecade * kStepsPerDecade);
  base_->setPageStep(kStepsPerDecade);
  base_->setAccessibleName(tr("RoPE base"));
  base_->setObjectName(QStringLiteral("ropeBase"));
  baseValue_->setAlignment(Qt::AlignRight);
  baseValue_->setFont(monoFont());
  baseValue_->setAccessibleName(tr("RoPE base, exact"));
  move_->setAccessibleName(tr("Move the dominant channel to this index"));
  move_->setObjectName(QStringLiteral("moveChannel"));
  moveValue_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  moveValue_->setFont(monoFont());
  drop_->setPlaceholderText(tr("none; e.g. 0, 3-5"));
  drop_->setAccessibleName(tr("Dropped channels"));
  drop_->setObjectName(QStringLiteral("dropChannels"));
  setLook(problem_, "small");
  problem_->hide();
  setLook(original_, "link");
  original_->setAutoDefault(false);

  auto* grid = new QGridLayout;
  grid->setContentsMargins(0, 0, 0, 0);
  grid->setHorizontalSpacing(2 * kSpacing);
  grid->setVerticalSpacing(kSpacing);
  grid->setColumnStretch(1, 1);
  const int numbers = QFontMetrics(monoFont()).horizontalAdvance(QStringLiteral("10 000 000")) + 4 * kSpacing;
  baseValue_->setFixedWidth(numbers);
  moveValue_->setFixedWidth(numbers);
  grid->addWidget(new QLabel(tr("RoPE base"), this), 0, 0);
  grid->addWidget(base_, 0, 1);
  grid->addWidget(baseValue_, 0, 2);
  grid->addWidget(moveName_, 1, 0);
  grid->addWidget(move_, 1, 1);
  grid->addWidget(moveValue_, 1, 2);
  grid->addWidget(new QLabel(tr("Drop channels"), this), 2, 0);
  grid->addWidget(drop_, 2, 1, 1, 2);
  auto* last = new QHBoxLayout;
  last->setContentsMargins(0, 0, 0, 0);
  last->addWidget(noRope_);
  last->addStretch(1);
  last->addWidget(original_);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(kSpacing);
  column->addLayout(grid);
  column->addWidget(problem_);
  column->addLayout(last);
}

const Rope* InterventionsPanel::rope() const {
  const auto capture = session_->capture();
  const int layer = session_->selected().layer;
  return capture && layer < capture->header().layers ? capture->rope(layer) : nullptr;
}

int InterventionsPanel::basePosition(double base) const {
  return static_cast<int>(std::lround(std::log10(base) * kStepsPerDecade));
}

void InterventionsPanel::setDominant(std::optional<int> channel) {
  dominant_ = channel;
  showSession();
}

void InterventionsPanel::reset() {
  apply({});
}

void InterventionsPanel::apply(const Interventions& interventions) {
  timer_.stop();
  session_->setInterventions(interventions);
  showSession();
}

void InterventionsPanel::showSession() {
  if (timer_.isActive()) {
    return;  // the user is changing them
  }
  showing_ = true;
  const Rope* rope = this->rope();
  const Interventions interventions = session_->interventions();
  const int channels = rope != nullptr ? rope->channels() : 0;
  setEnabled(rope != nullptr);
  const double base = interventions.ropeBase.value_or(rope != nullptr ? rope->base : 10000.0);
  exactBase_ = base;
  base_->setValue(basePosition(base));
  baseValue_->setText(baseText(base));
  move_->setRange(0, std::max(channels - 1, 0));
  const int from = interventions.moveChannels.empty() ? dominant_.value_or(0) : interventions.moveChannels[0].first;
  const int to = interventions.moveChannels.empty() ? from : interventions.moveChannels[0].second;
  move_->setValue(to);
  move_->setEnabled(dominant_.has_value());
  moveName_->setText(tr("Dominant channel"));
  moveValue_->setText(dominant_ ? (to == from ? QString::number(from) : QStringLiteral("%1 → %2").arg(from).arg(to))
                                : QStringLiteral("–"));
  if (parseChannels(drop_->text(), channels) != interventions.dropChannels) {
    drop_->setText(channelText(interventions.dropChannels));
  }
  noRope_->setChecked(interventions.noRope);
  original_->setEnabled(interventions.any());
  problem_->hide();
  showing_ = false;
}

void InterventionsPanel::changed() {
  if (showing_) {
    return;
  }
  const Rope* rope = this->rope();
  const bool readable = rope != nullptr && parseChannels(drop_->text(), rope->channels()).has_value();
  problem_->setVisible(!readable);
  problem_->setText(tr("Channels go from 0 to %1.").arg(rope != nullptr ? rope->channels() - 1 : 0));
  if (readable) {
    timer_.start();
  }
}

Interventions InterventionsPanel::wanted() const {
  Interventions result;
  const Rope* rope = this->rope();
  if (rope == nullptr) {
    return result;
  }
  if (exactBase_ && basePosition(*exactBase_) != basePosition(rope->base)) {
    result.ropeBase = exactBase_;
  }
  const Interventions now = session_->interventions();
  const int from = now.moveChannels.empty() ? dominant_.value_or(-1) : now.moveChannels[0].first;
  if (from >= 0 && move_->value() != from) {
    result.moveChannels.emplace_back(from, move_->value());
  }
  result.dropChannels = parseChannels(drop_->text(), rope->channels()).value_or(now.dropChannels);
  result.noRope = noRope_->isChecked();
  return result;
}

}  // namespace headscope::ui
