#include "ui/window/status_strip.h"

#include <QHBoxLayout>
#include <QLabel>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kSayMs = 6000;
constexpr int kMemoryMs = 1500;
constexpr int kTokenCharacters = 12;

QString shortToken(const QString& token) {
  return token.size() > kTokenCharacters ? token.left(kTokenCharacters - 1) + QStringLiteral("…") : token;
}

}  // namespace

QString byteWords(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return QStringLiteral("%1 %2").arg(unit == 0 ? QString::number(bytes, 'f', 0) : formatValue(bytes),
                                     QLatin1String(units[unit]));
}

StatusStrip::StatusStrip(Engine* engine, Session* session, AttentionMapView* map, QWidget* parent)
    : QWidget(parent), engine_(engine), session_(session), map_(map) {
  setAccessibleName(tr("Status"));
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(3 * kSpacing, 2, 3 * kSpacing, 2);
  layout->setSpacing(2 * kSpacing);
  query_ = column(tr("query"), 7 + kTokenCharacters, "query");
  key_ = column(tr("key"), 7 + kTokenCharacters, "key");
  probability_ = column(tr("p"), 8, "mono");
  logit_ = column(tr("logit"), 7, "mono");
  distance_ = column(tr("distance"), 7, "mono");
  words_ = new QLabel(this);
  words_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  setLook(words_, "muted");
  layout->addWidget(words_, 1);
  for (QLabel** label : {&picture_, &frame_, &memory_, &device_}) {
    *label = new QLabel(this);
    setLook(*label, "muted");
    layout->addWidget(*label);
  }
  picture_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  frame_->hide();
  saying_.setSingleShot(true);
  saying_.setInterval(kSayMs);
  connect(&saying_, &QTimer::timeout, words_, &QLabel::clear);
  memoryTimer_.setInterval(kMemoryMs);
  connect(&memoryTimer_, &QTimer::timeout, this, &StatusStrip::showMemory);
  memoryTimer_.start();
  connect(map_, &AttentionMapView::readoutChanged, this, &StatusStrip::showCell);
  connect(map_, &AttentionMapView::pictureChanged, this, &StatusStrip::showPicture);
  connect(map_, &AttentionMapView::frameDrawn, this, [this](double milliseconds) {
    frame_->setVisible(map_->performanceShown());
    if (map_->performanceShown()) {
      frame_->setText(tr("frame %1 ms").arg(milliseconds, 5, 'f', 1));
    }
  });
  connect(session_, &Session::captureChanged, this, [this] {
    showMemory();
    showPicture();
    showCell();
  });
  showCell();
}

QLabel* StatusStrip::column(const QString& name, int characters, const char* look) {
  auto* caption = new QLabel(name, this);
  setLook(caption, "muted");
  auto* value = new QLabel(this);
  value->setFont(monoFont());
  setLook(value, look);
  value->setTextFormat(Qt::PlainText);
  value->setFixedWidth(QFontMetrics(monoFont()).horizontalAdvance(QString(characters, QLatin1Char('0'))));
  value->setAccessibleName(name);
  layout()->addWidget(caption);
  layout()->addWidget(value);
  return value;
}

void StatusStrip::setDevice(const QString& device) {
  device_->setText(device);
}

void StatusStrip::say(const QString& text) {
  words_->setText(text);
  words_->setToolTip(text);
  saying_.start();
}

QString StatusStrip::cellWords() const {
  return QStringLiteral("query %1 key %2 p %3 logit %4 distance %5")
      .arg(query_->text(), key_->text(), probability_->text(), logit_->text(), distance_->text());
}

void StatusStrip::showCell() {
  const auto readout = map_->readout();
  if (!readout) {
    for (QLabel* label : {query_, key_, probability_, logit_, distance_}) {
      label->setText(QStringLiteral("–"));
    }
    return;
  }
  const auto place = [](std::int64_t index, const QString& token) {
    return QStringLiteral("%1 %2").arg(formatCount(index), -6).arg(shortToken(token));
  };
  query_->setText(place(readout->cell.query, readout->queryToken));
  key_->setText(place(readout->cell.key, readout->keyToken));
  const bool known = readout->visible && readout->probability;
  probability_->setText(known ? formatValue(*readout->probability) : QStringLiteral("–"));
  logit_->setText(readout->visible && readout->logit ? formatValue(*readout->logit) : QStringLiteral("–"));
  distance_->setText(readout->visible ? formatCount(readout->distance) : QStringLiteral("–"));
}

void StatusStrip::showPicture() {
  picture_->setText(session_->capture() ? map_->pictureWords() : QString());
}

void StatusStrip::showMemory() {
  const auto capture = session_->capture();
  if (!capture) {
    memory_->clear();
    return;
  }
  memory_->setText(tr("· %1 tokens · capture %2 · maps %3 ·")
                       .arg(formatCount(capture->tokens()), byteWords(static_cast<double>(capture->bytes())),
                            byteWords(static_cast<double>(engine_->mapBytes()))));
}

}  // namespace headscope::ui
