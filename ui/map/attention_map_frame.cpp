// What is done for every frame of the map.

#include <cmath>

#include "ui/map/attention_map_view.h"
#include "ui/map/color_bar.h"
#include "ui/map/detail_curves.h"
#include "ui/map/map_captions.h"
#include "ui/map/map_colors.h"
#include "ui/map/map_layout.h"
#include "ui/map/map_overlay.h"
#include "ui/map/map_plot.h"
#include "ui/map/tile_plottable.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {

// After the layout of every full replot, before anything is drawn.
void AttentionMapView::layoutDone() {
  frame_ = {mapRect_->rect(), viewport_, session_->tokens()};
  mapRect_->axis(QCPAxis::atBottom)->setRange(viewport_.keyLow, viewport_.keyHigh);
  mapRect_->axis(QCPAxis::atLeft)->setRange(viewport_.queryLow, viewport_.queryHigh);
  curves_->setViewport(viewport_);
  tiles_->setViewport(viewport_);
  labels_->setFrame(frame_);
  const double deviceWidth = std::round(frame_.rect.width() * plot_->bufferDevicePixelRatio());
  const int level = frame_.valid() ? levelFor(span(viewport_) / deviceWidth, frame_.tokens) : 0;
  overlay_->setFrame(frame_, level);
  periodLines_->set(frame_, periodLinesShown_ ? period_ : std::nullopt);
  colorBar_->set(ColorMap::named(session_->style().colorMap), tiles_->colorRange(),
                 headscope::ui::colorWords(session_->style(), level));
  placeCaptions();
  requestTiles();
}

void AttentionMapView::placeCaptions() {
  const Theme& t = theme();
  const QRect map = frame_.rect;
  const int line = MapLayout::kTop - 4;
  QVector<MapCaptions::Caption> captions;
  captions.append({QRect(map.left(), map.top() - line - 2, map.width() / 2, line), Qt::AlignLeft | Qt::AlignVCenter,
                   tr("query ↓   key →"), t.muted});
  if (periodLines_->shown()) {
    captions.append({QRect(map.left() + map.width() / 2, map.top() - line - 2, map.width() / 2, line),
                     Qt::AlignRight | Qt::AlignVCenter, tr("┄ period %1 tokens").arg(formatValue(*period_)), t.muted});
  }
  const QRect first = curves_->qSimilarity().rect->rect(), second = curves_->entropy().rect->rect();
  captions.append({QRect(first.left(), first.top() - line - 2, first.width() + 6, line),
                   Qt::AlignLeft | Qt::AlignVCenter, tr("q-similarity"), t.query});
  captions.append({QRect(second.left(), second.top() - line - 2, second.width() + 6, line),
                   Qt::AlignLeft | Qt::AlignVCenter, tr("entropy, nats"), t.text});
  for (const DetailCurves::Rect* curve : {&curves_->qSimilarity(), &curves_->entropy()}) {
    const QRect rect = curve->rect->rect();
    const QRect ends(rect.left(), rect.bottom() + 3, rect.width(), MapLayout::kAxisRoom - 3);
    captions.append({ends, Qt::AlignLeft | Qt::AlignVCenter, DetailCurves::lowText(*curve), t.muted});
    captions.append({ends, Qt::AlignRight | Qt::AlignVCenter, DetailCurves::highText(*curve), t.muted});
  }
  const auto beside = [&](const DetailCurves::Rect& curve, const QString& name, const QColor& color) {
    const QRect rect = curve.rect->rect();
    const QRect words(rect.right() + 13, rect.center().y() - line / 2, second.right() - rect.right() - 12, line);
    const QString range = QStringLiteral("%1 – %2").arg(DetailCurves::lowText(curve), DetailCurves::highText(curve));
    const int rangeWidth = QFontMetrics(smallFont()).horizontalAdvance(range) + 2 * kSpacing;
    captions.append({words.adjusted(0, 0, -rangeWidth, 0), Qt::AlignLeft | Qt::AlignVCenter, name, color});
    captions.append({words, Qt::AlignRight | Qt::AlignVCenter, range, t.muted});
  };
  beside(curves_->kSimilarity(), tr("k-similarity"), t.key);
  beside(curves_->received(), tr("received mass, log"), t.text);
  captions_->set(captions);
}

void AttentionMapView::requestTiles() {
  if (!frame_.valid() || !layerThere()) {
    return;
  }
  ViewRequest request;
  const HeadId head = session_->selected();
  request.source = {session_->capture(), head.layer, head.head, session_->interventions()};
  request.level =
      levelFor(span(viewport_) / std::round(frame_.rect.width() * plot_->bufferDevicePixelRatio()), frame_.tokens);
  request.rowBegin = viewport_.queryLow + 0.5;
  request.rowEnd = viewport_.queryHigh + 0.5;
  request.colBegin = viewport_.keyLow + 0.5;
  request.colEnd = viewport_.keyHigh + 0.5;
  if (requested_ && requested_->level == request.level && requested_->rowBegin == request.rowBegin &&
      requested_->rowEnd == request.rowEnd && requested_->colBegin == request.colBegin &&
      requested_->colEnd == request.colEnd) {
    return;
  }
  requested_ = request;
  engine_->showView(pane_, request);
}

void AttentionMapView::frameDone() {
  const double milliseconds = static_cast<double>(frameTimer_.nsecsElapsed()) * 1e-6;
  meter_.add(milliseconds);
  Q_EMIT frameDrawn(milliseconds);
  // Ranges that follow the values are known only after the tiles were looked at.
  if (colorBar_->range() != tiles_->colorRange()) {
    plot_->replot(QCustomPlot::rpQueuedReplot);
  }
  if (performanceShown_) {
    overlay_->setReadout(
        meter_.words() +
        tr(" · tiles %1 MB · images %2 MB").arg(engine_->mapBytes() >> 20).arg(tiles_->images().bytes() >> 20));
    plot_->updateOverlay();
  }
}

}  // namespace headscope::ui
