#include "ui/map/map_captions.h"

#include <algorithm>
#include <cmath>

#include "ui/style/theme.h"

namespace headscope::ui {

void MapCaptions::draw(QCPPainter* painter) {
  painter->setClipping(false);
  painter->setFont(smallFont());
  const QFontMetrics metrics(smallFont());
  for (const Caption& caption : captions_) {
    painter->setPen(caption.color);
    painter->drawText(caption.rect, static_cast<int>(caption.alignment) | Qt::TextSingleLine,
                      metrics.elidedText(caption.text, Qt::ElideRight, caption.rect.width()));
  }
}

void PeriodLines::set(const MapFrame& frame, std::optional<double> period) {
  frame_ = frame;
  period_ = period;
}

bool PeriodLines::shown() const {
  constexpr double kPixelsApart = 14;
  return frame_.valid() && period_ && *period_ >= 2 && *period_ < static_cast<double>(frame_.tokens) &&
         *period_ / frame_.tokensPerPixel() >= kPixelsApart;
}

void PeriodLines::draw(QCPPainter* painter) {
  if (!shown()) {
    return;
  }
  QPen pen(QColor(255, 255, 255, 90), 1);
  pen.setDashPattern({2, 4});
  painter->setPen(pen);
  const MapViewport& v = frame_.viewport;
  // Distances in view: from the upper right corner to the lower left one.
  const double nearest = std::max(v.queryLow - v.keyHigh, 0.0), farthest = v.queryHigh - v.keyLow;
  for (double n = std::max(1.0, std::ceil(nearest / *period_)); n * *period_ <= farthest; ++n) {
    const double distance = n * *period_;
    painter->drawLine(QPointF(frame_.xOf(v.queryLow - distance), frame_.yOf(v.queryLow)),
                      QPointF(frame_.xOf(v.queryHigh - distance), frame_.yOf(v.queryHigh)));
  }
}

}  // namespace headscope::ui
