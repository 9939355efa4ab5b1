#include "ui/window/model_chip.h"

#include <QMenu>
#include <QPainter>
#include <algorithm>

#include "core/model/verify.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"
#include "ui/window/status_strip.h"

namespace headscope::ui {
namespace {

constexpr int kMostName = 190;
constexpr int kDot = 8;

QString toQString(const std::string& utf8) {
  return QString::fromStdString(utf8);
}

}  // namespace

ModelChip::ModelChip(QWidget* parent) : QAbstractButton(parent) {
  setObjectName(QStringLiteral("modelChip"));
  setFocusPolicy(Qt::TabFocus);
  setCursor(Qt::PointingHandCursor);
  setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
  setAttribute(Qt::WA_Hover);
  setNone();
  connect(&Appearance::instance(), &Appearance::changed, this, [this] { update(); });
}

void ModelChip::setMenu(QMenu* menu) {
  connect(this, &QAbstractButton::clicked, menu, [this, menu] { menu->popup(mapToGlobal(QPoint(0, height() + 2))); });
}

void ModelChip::show(const QString& name, const QString& details, const QStringList& tip, const QStringList& notes) {
  name_ = name;
  details_ = details;
  sign_ = notes.isEmpty() ? Sign::Fine : Sign::Notes;
  QStringList lines = tip;
  for (const QString& note : notes) {
    lines.append(QStringLiteral("⚠ ") + note);
  }
  setToolTip(lines.join(QLatin1Char('\n')));
  setAccessibleName(tr("Model %1, %2").arg(name, details));
  updateGeometry();
  update();
}

void ModelChip::setModel(const ModelInfo& model, const QString& device, const QString& arithmetic) {
  QStringList details{toQString(model.family), QStringLiteral("%1 × %2").arg(model.layers).arg(model.heads), arithmetic,
                      device};
  details.removeAll(QString());
  QStringList tip{toQString(model.path.string()),
                  tr("%1 layers × %2 query heads, %3 KV heads, head dim %4")
                      .arg(model.layers)
                      .arg(model.heads)
                      .arg(model.kvHeads)
                      .arg(model.headDim),
                  tr("%1 parameters, weights %2, %3")
                      .arg(formatCount(model.parameters), toQString(model.weightType),
                           byteWords(static_cast<double>(model.bytes)))};
  if (model.contextLength > 0) {
    tip.append(tr("context %1 tokens").arg(formatCount(model.contextLength)));
  }
  QStringList notes;
  if (const FamilyVerification* proof = findVerification(model.family)) {
    tip.append(tr("verified: family %1 equals %2 on %3 golden files, largest error %4")
                   .arg(toQString(model.family), QString::fromUtf8(proof->reference))
                   .arg(proof->goldens)
                   .arg(proof->largest(), 0, 'g', 2));
  } else {
    notes.append(tr("family %1 was not checked against a reference").arg(toQString(model.family)));
  }
  for (const std::string& note : model.notes) {
    notes.append(toQString(note));
  }
  show(toQString(model.name), details.join(QStringLiteral(" · ")), tip, notes);
}

void ModelChip::setCapture(const Capture& capture) {
  const CaptureHeader& header = capture.header();
  QStringList details{toQString(header.family), QStringLiteral("%1 × %2").arg(header.layers).arg(header.heads),
                      tr("capture")};
  details.removeAll(QString());
  show(header.model.empty() ? tr("capture") : toQString(header.model), details.join(QStringLiteral(" · ")),
       {toQString(capture.path().string()), tr("a capture: maps and scores, no weights to run")}, {});
}

void ModelChip::setNone() {
  name_ = tr("No model");
  details_ = tr("open one");
  sign_ = Sign::None;
  setToolTip(tr("Open a model, a capture or a session"));
  setAccessibleName(tr("No model is open"));
  updateGeometry();
  update();
}

void ModelChip::setBusy(const QString& name) {
  name_ = name;
  details_ = tr("opening …");
  sign_ = Sign::Busy;
  updateGeometry();
  update();
}

QSize ModelChip::sizeHint() const {
  const int name = std::min(QFontMetrics(boldFont()).horizontalAdvance(name_), kMostName);
  const int details = QFontMetrics(smallFont()).horizontalAdvance(details_);
  return {name + details + kDot + 10 * kSpacing, QFontMetrics(textFont()).height() + 4 * kSpacing};
}

QSize ModelChip::minimumSizeHint() const {
  const int name = std::min(QFontMetrics(boldFont()).horizontalAdvance(name_), kMostName / 2);
  return {name + kDot + 7 * kSpacing, sizeHint().height()};
}

void ModelChip::paintEvent(QPaintEvent*) {
  const Theme& t = theme();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(hasFocus() ? t.accent : t.line);
  painter.setBrush(underMouse() ? t.hover : t.field);
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4);
  const QColor dot = sign_ == Sign::Fine ? t.good : sign_ == Sign::Notes ? t.warning : t.disabled;
  painter.setPen(Qt::NoPen);
  painter.setBrush(dot);
  painter.drawEllipse(QRectF(2.5 * kSpacing, (height() - kDot) / 2.0, kDot, kDot));
  QRect room = rect().adjusted(2 * kSpacing + kDot + 2 * kSpacing, 0, -2 * kSpacing, 0);
  const QFontMetrics bold(boldFont()), small(smallFont());
  const int detailsWidth = small.horizontalAdvance(details_);
  const bool both = room.width() - detailsWidth - 2 * kSpacing >= bold.horizontalAdvance(name_.left(6));
  const int nameRoom = both ? room.width() - detailsWidth - 2 * kSpacing : room.width();
  painter.setFont(boldFont());
  painter.setPen(t.text);
  painter.drawText(room, Qt::AlignLeft | Qt::AlignVCenter,
                   bold.elidedText(name_, Qt::ElideRight, std::min(nameRoom, std::max(kMostName, nameRoom))));
  if (both) {
    painter.setFont(smallFont());
    painter.setPen(t.muted);
    painter.drawText(room, Qt::AlignRight | Qt::AlignVCenter, details_);
  }
}

}  // namespace headscope::ui
