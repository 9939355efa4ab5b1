#include "ui/window/line_icon.h"

#include <QFile>
#include <QIconEngine>
#include <QPainter>
#include <QPixmap>
#include <QSvgRenderer>

#include "ui/style/theme.h"

void initHeadscopeResources() {
  Q_INIT_RESOURCE(headscope);
}

namespace headscope::ui {
namespace {

QByteArray iconSource(const QString& name) {
  static const bool ready = [] {
    initHeadscopeResources();
    return true;
  }();
  Q_UNUSED(ready);
  QFile file(QStringLiteral(":/icons/%1.svg").arg(name));
  return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

void paintIcon(QPainter* painter, const QRectF& rect, QByteArray source, const QColor& color) {
  QSvgRenderer renderer(source.replace("currentColor", color.name().toLatin1()));
  painter->save();
  painter->setRenderHint(QPainter::Antialiasing);
  painter->setOpacity(painter->opacity() * color.alphaF());
  renderer.render(painter, rect);
  painter->restore();
}

class LineIconEngine : public QIconEngine {
 public:
  explicit LineIconEngine(const QString& name) : name_(name), source_(iconSource(name)) {}

  void paint(QPainter* painter, const QRect& rect, QIcon::Mode mode, QIcon::State) override {
    const Theme& t = theme();
    const int side = qMin(rect.width(), rect.height());
    const QRectF square(rect.x() + (rect.width() - side) / 2.0, rect.y() + (rect.height() - side) / 2.0, side, side);
    paintIcon(painter, square, source_, mode == QIcon::Disabled ? t.disabled : t.text);
  }
  QPixmap pixmap(const QSize& size, QIcon::Mode mode, QIcon::State state) override {
    QPixmap pixmap(size);
    pixmap.fill(Qt::transparent);
    QPainter painter(&pixmap);
    paint(&painter, QRect(QPoint(), size), mode, state);
    return pixmap;
  }
  QIconEngine* clone() const override { return new LineIconEngine(name_); }

 private:
  QString name_;
  QByteArray source_;
};

}  // namespace

QIcon lineIcon(const QString& name) {
  return QIcon(new LineIconEngine(name));
}

QPixmap linePixmap(const QString& name, int size, const QColor& color, qreal devicePixelRatio) {
  QPixmap pixmap(QSize(size, size) * devicePixelRatio);
  pixmap.setDevicePixelRatio(devicePixelRatio);
  pixmap.fill(Qt::transparent);
  QPainter painter(&pixmap);
  paintIcon(&painter, QRectF(0, 0, size, size), iconSource(name), color);
  return pixmap;
}

}  // namespace headscope::ui
