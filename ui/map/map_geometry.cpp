#include "ui/map/map_geometry.h"

#include <algorithm>
#include <cmath>

namespace headscope::ui {
namespace {

// [low, low + length) moved into [−0.5, tokens − 0.5).
double movedInside(double low, double length, std::int64_t tokens) {
  return std::clamp(low, -0.5, std::max(static_cast<double>(tokens) - 0.5 - length, -0.5));
}

MapViewport at(double keyLow, double queryLow, double length, std::int64_t tokens) {
  const double keys = movedInside(keyLow, length, tokens), queries = movedInside(queryLow, length, tokens);
  return {keys, keys + length, queries, queries + length};
}

double soundSpan(double length, std::int64_t tokens) {
  return std::clamp(std::isfinite(length) ? length : 1.0, 1.0, std::max(static_cast<double>(tokens), 1.0));
}

}  // namespace

double span(const MapViewport& viewport) {
  return viewport.keyHigh - viewport.keyLow;
}

MapViewport soundViewport(const MapViewport& wanted, std::int64_t tokens) {
  const double length = std::max(wanted.keyHigh - wanted.keyLow, wanted.queryHigh - wanted.queryLow);
  return centered((wanted.keyLow + wanted.keyHigh) / 2, (wanted.queryLow + wanted.queryHigh) / 2, length, tokens);
}

MapViewport centered(double key, double query, double tokensAcross, std::int64_t tokens) {
  const double length = soundSpan(tokensAcross, tokens);
  return at(key - length / 2, query - length / 2, length, tokens);
}

MapViewport zoomed(const MapViewport& viewport, double factor, double key, double query, std::int64_t tokens) {
  const double length = soundSpan(span(viewport) / factor, tokens);
  const double ratio = length / span(viewport);
  return at(key - (key - viewport.keyLow) * ratio, query - (query - viewport.queryLow) * ratio, length, tokens);
}

MapViewport panned(const MapViewport& viewport, double keys, double queries, std::int64_t tokens) {
  return at(viewport.keyLow + keys, viewport.queryLow + queries, span(viewport), tokens);
}

double MapFrame::keyAt(double x) const {
  return viewport.keyLow + (x - rect.left()) * span(viewport) / rect.width();
}

double MapFrame::queryAt(double y) const {
  return viewport.queryLow + (y - rect.top()) * (viewport.queryHigh - viewport.queryLow) / rect.height();
}

double MapFrame::xOf(double key) const {
  return rect.left() + (key - viewport.keyLow) * rect.width() / span(viewport);
}

double MapFrame::yOf(double query) const {
  return rect.top() + (query - viewport.queryLow) * rect.height() / (viewport.queryHigh - viewport.queryLow);
}

std::optional<Cursor> MapFrame::cellAt(double x, double y) const {
  if (!valid() || x < rect.left() || y < rect.top() || x >= rect.left() + rect.width() ||
      y >= rect.top() + rect.height()) {
    return std::nullopt;
  }
  const auto cell = [this](double coordinate) {
    return std::clamp<std::int64_t>(std::llround(std::floor(coordinate + 0.5)), 0, tokens - 1);
  };
  return Cursor{cell(queryAt(y)), cell(keyAt(x))};
}

}  // namespace headscope::ui
