// The view as a picture.

#include <qcustomplot.h>

#include <QImageWriter>
#include <QSaveFile>
#include <utility>

#include "ui/map/attention_map_view.h"
#include "ui/map/color_bar.h"
#include "ui/map/map_header.h"
#include "ui/map/map_overlay.h"
#include "ui/map/map_plot.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {

QImage AttentionMapView::image(double scale) {
  constexpr int kTitle = 28, kEdge = 12;
  const QSize plotSize = plot_->size();
  const QSize size(plotSize.width() + 2 * kEdge, plotSize.height() + kTitle + 2 * kEdge);
  QImage picture((QSizeF(size) * scale).toSize(), QImage::Format_RGB32);
  picture.fill(theme().panel);
  overlay_->setCursor(std::nullopt);
  overlay_->setReadout({});
  {
    QCPPainter painter(&picture);
    painter.setMode(QCPPainter::pmNoCaching);
    painter.scale(scale, scale);
    painter.setPen(theme().text);
    painter.setFont(titleFont());
    const QString title = header_->title();
    painter.drawText(QRect(kEdge, kEdge, size.width() - 2 * kEdge, kTitle), Qt::AlignLeft | Qt::AlignTop, title);
    const int titleWidth = QFontMetrics(titleFont()).horizontalAdvance(title) + 16;
    painter.setPen(theme().muted);
    painter.setFont(textFont());
    const auto capture = session_->capture();
    const QString about =
        capture
            ? tr("%1 · %2 tokens").arg(QString::fromStdString(capture->header().model), formatCount(capture->tokens()))
            : QString();
    const QRect line(kEdge + titleWidth, kEdge + 2, size.width() - titleWidth - 2 * kEdge, kTitle);
    painter.drawText(line, Qt::AlignLeft | Qt::AlignTop, header_->subtitle());
    painter.drawText(line, Qt::AlignRight | Qt::AlignTop, about);
    painter.translate(kEdge, kEdge + kTitle);
    plot_->toPainter(&painter, plotSize.width(), plotSize.height());
  }
  overlay_->setCursor(session_->cursor());
  picture.setText(QStringLiteral("Software"), QStringLiteral("Headscope"));
  picture.setText(QStringLiteral("Title"), header_->title());
  picture.setText(QStringLiteral("Description"), tr("%1; keys %2 to %3, queries %4 to %5")
                                                     .arg(colorWords())
                                                     .arg(std::ceil(viewport_.keyLow))
                                                     .arg(std::floor(viewport_.keyHigh))
                                                     .arg(std::ceil(viewport_.queryLow))
                                                     .arg(std::floor(viewport_.queryHigh)));
  plot_->replot(QCustomPlot::rpQueuedReplot);
  return picture;
}

void AttentionMapView::saveImage(const QString& path, double scale) {
  if (!session_->capture()) {
    Q_EMIT failed(tr("There is no map to save."));
    return;
  }
  pendingImage_ = PendingImage{path, scale};
  if (exact()) {
    savePending();
  }
}

void AttentionMapView::savePending() {
  if (!pendingImage_) {
    return;
  }
  const PendingImage wanted = *std::exchange(pendingImage_, std::nullopt);
  QSaveFile file(wanted.path);
  if (!file.open(QIODevice::WriteOnly)) {
    Q_EMIT failed(tr("%1: %2").arg(wanted.path, file.errorString()));
    return;
  }
  QImageWriter writer(&file, "png");
  if (!writer.write(image(wanted.scale))) {
    file.cancelWriting();
    Q_EMIT failed(tr("%1: %2").arg(wanted.path, writer.errorString()));
  } else if (!file.commit()) {
    Q_EMIT failed(tr("%1: %2").arg(wanted.path, file.errorString()));
  } else {
    Q_EMIT imageSaved(wanted.path);
  }
}

}  // namespace headscope::ui
