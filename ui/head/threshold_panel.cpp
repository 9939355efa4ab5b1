#include "ui/head/threshold_panel.h"

#include <QDoubleSpinBox>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QSettings>
#include <QSlider>
#include <QVBoxLayout>
#include <cmath>

#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kSteps = 100;  // of a slider from 0 to 1

struct Definition {
  const char* key;
  const char* label;
  const char* tip;
  double CaseThresholds::*value;
  double lowest;
};

const std::array<Definition, ThresholdPanel::kCount>& definitions() {
  static const std::array<Definition, ThresholdPanel::kCount> all{{
      {"predictable", QT_TRANSLATE_NOOP("Thresholds", "Predictable from"),
       QT_TRANSLATE_NOOP("Thresholds", "A head whose best case scores less is labelled unpredictable"),
       &CaseThresholds::predictable, 0.0},
      {"periodStrength", QT_TRANSLATE_NOOP("Thresholds", "Period strength from"),
       QT_TRANSLATE_NOOP("Thresholds",
                         "Autocorrelation of the mean logit by distance from which diagonals may count as periodic"),
       &CaseThresholds::periodStrength, 0.0},
      {"echo", QT_TRANSLATE_NOOP("Thresholds", "Echo from"),
       QT_TRANSLATE_NOOP("Thresholds",
                         "How much of a row must come back one period on for diagonals to count as periodic"),
       &CaseThresholds::echo, 0.0},
      {"width", QT_TRANSLATE_NOOP("Thresholds", "Softness"),
       QT_TRANSLATE_NOOP("Thresholds", "How gradually the two before turn from no to yes"), &CaseThresholds::width,
       0.01},
  }};
  return all;
}

QString settingsKey(const Definition& definition) {
  return QStringLiteral("cases/") + QLatin1String(definition.key);
}

CaseThresholds remembered() {
  CaseThresholds thresholds;
  for (const Definition& definition : definitions()) {
    bool fine = false;
    const double value = QSettings().value(settingsKey(definition)).toDouble(&fine);
    if (fine && value >= definition.lowest && value <= 1) {
      thresholds.*definition.value = value;
    }
  }
  return thresholds;
}

}  // namespace

ThresholdPanel::ThresholdPanel(Session* session, QWidget* parent)
    : QWidget(parent), session_(session), counts_(new QLabel(this)), reset_(new QPushButton(tr("Reset"), this)) {
  auto* grid = new QGridLayout;
  grid->setContentsMargins(0, 0, 0, 0);
  grid->setHorizontalSpacing(2 * kSpacing);
  grid->setVerticalSpacing(kSpacing);
  grid->setColumnStretch(1, 1);
  for (std::size_t i = 0; i < kCount; ++i) {
    const Definition& definition = definitions()[i];
    const QString name = tr(definition.label), tip = tr(definition.tip);
    auto* label = new QLabel(name, this);
    auto* slider = new QSlider(Qt::Horizontal, this);
    auto* field = new QDoubleSpinBox(this);
    slider->setRange(static_cast<int>(std::lround(definition.lowest * kSteps)), kSteps);
    field->setRange(definition.lowest, 1);
    field->setSingleStep(1.0 / kSteps);
    field->setDecimals(2);
    field->setButtonSymbols(QAbstractSpinBox::NoButtons);
    field->setAlignment(Qt::AlignRight);
    field->setFont(monoFont());
    field->setFixedWidth(QFontMetrics(monoFont()).horizontalAdvance(QStringLiteral("0.000")) + 6 * kSpacing);
    field->setObjectName(QStringLiteral("threshold-") + QLatin1String(definition.key));
    for (QWidget* widget :
         {static_cast<QWidget*>(label), static_cast<QWidget*>(slider), static_cast<QWidget*>(field)}) {
      widget->setToolTip(tip);
      widget->setAccessibleName(name);
    }
    rows_[i] = {slider, field};
    grid->addWidget(label, static_cast<int>(i), 0);
    grid->addWidget(slider, static_cast<int>(i), 1);
    grid->addWidget(field, static_cast<int>(i), 2);
    connect(slider, &QSlider::valueChanged, this, [this, field](int value) {
      if (!showing_) {
        field->setValue(static_cast<double>(value) / kSteps);
      }
    });
    connect(field, &QDoubleSpinBox::valueChanged, this, &ThresholdPanel::changed);
  }
  setLook(counts_, "small");
  counts_->setWordWrap(true);
  setLook(reset_, "link");
  reset_->setAutoDefault(false);
  reset_->setToolTip(tr("Back to 0.50, 0.80, 0.30 and 0.05"));
  auto* last = new QHBoxLayout;
  last->setContentsMargins(0, 0, 0, 0);
  last->addWidget(counts_, 1);
  last->addWidget(reset_, 0, Qt::AlignTop);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(kSpacing);
  column->addLayout(grid);
  column->addLayout(last);
  connect(reset_, &QPushButton::clicked, this, &ThresholdPanel::reset);
  connect(session_, &Session::caseThresholdsChanged, this, &ThresholdPanel::showSession);
  session_->setCaseThresholds(remembered());
  showSession();
}

bool ThresholdPanel::moved() const {
  return session_->caseThresholds() != CaseThresholds{};
}

void ThresholdPanel::reset() {
  session_->setCaseThresholds({});
}

void ThresholdPanel::showSession() {
  showing_ = true;
  const CaseThresholds thresholds = session_->caseThresholds();
  QSettings settings;
  for (std::size_t i = 0; i < kCount; ++i) {
    const Definition& definition = definitions()[i];
    const double value = thresholds.*definition.value;
    rows_[i].field->setValue(value);
    rows_[i].slider->setValue(static_cast<int>(std::lround(value * kSteps)));
    if (value == CaseThresholds{}.*definition.value) {
      settings.remove(settingsKey(definition));
    } else {
      settings.setValue(settingsKey(definition), value);
    }
  }
  reset_->setEnabled(moved());
  showing_ = false;
}

void ThresholdPanel::changed() {
  if (showing_) {
    return;
  }
  CaseThresholds thresholds = session_->caseThresholds();
  for (std::size_t i = 0; i < kCount; ++i) {
    double& value = thresholds.*definitions()[i].value;
    if (std::abs(rows_[i].field->value() - value) > 1e-9) {
      value = rows_[i].field->value();
    }
  }
  session_->setCaseThresholds(thresholds);
}

QString ThresholdPanel::countWords() const {
  return counts_->text();
}

void ThresholdPanel::setScores(const ScoreTable& scores) {
  std::array<int, kCaseCount> counts{};
  for (const HeadReport* head : scores.heads()) {
    ++counts[static_cast<std::size_t>(head->cases.label)];
  }
  QStringList words;
  for (std::size_t i = 0; i < kCaseCount; ++i) {
    words.append(QStringLiteral("%1 %2").arg(counts[i]).arg(caseName(static_cast<Case>(i))));
  }
  counts_->setText(scores.empty() ? QString() : tr("Now: %1.").arg(words.join(QStringLiteral(", "))));
}

}  // namespace headscope::ui
