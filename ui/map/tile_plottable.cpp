#include "ui/map/tile_plottable.h"

#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

QColor mix(const QColor& a, const QColor& b, double share) {
  const auto channel = [share](int x, int y) { return static_cast<int>(std::lround(x + (y - x) * share)); };
  return {channel(a.red(), b.red()), channel(a.green(), b.green()), channel(a.blue(), b.blue())};
}

// Wanted tiles are counted from the levels' own size.
int levelsAbove(const TilePart& part) {
  return static_cast<int>(std::lround(std::log2(kTileSize / part.cells)));
}

}  // namespace

TilePlottable::TilePlottable(QCPAxis* keyAxis, QCPAxis* queryAxis, BestTile bestTile)
    : QCPAbstractPlottable(keyAxis, queryAxis), bestTile_(std::move(bestTile)) {
  setSelectable(QCP::stNone);
}

void TilePlottable::setMap(std::uint64_t view, std::int64_t tokens, std::int64_t windowTokens) {
  if (view != view_) {
    tracker_.reset();
  }
  view_ = view;
  thumbnail_.reset();
  tokens_ = tokens;
  window_ = windowTokens;
}

double TilePlottable::selectTest(const QPointF&, bool, QVariant*) const {
  return -1;
}

QCPRange TilePlottable::getKeyRange(bool& foundRange, QCP::SignDomain) const {
  foundRange = tokens_ > 0;
  return {-0.5, static_cast<double>(tokens_) - 0.5};
}

QCPRange TilePlottable::getValueRange(bool& foundRange, QCP::SignDomain domain, const QCPRange&) const {
  return getKeyRange(foundRange, domain);
}

void TilePlottable::draw(QCPPainter* painter) {
  if (tokens_ <= 0) {
    painter->fillRect(mKeyAxis.data()->axisRect()->rect(), theme().noValue);
    return;
  }
  // From here on in device pixels, on the screen and in an exported image alike.
  const QRectF device = painter->deviceTransform().mapRect(QRectF(mKeyAxis.data()->axisRect()->rect()));
  MapFrame frame;
  frame.rect = QRect(static_cast<int>(std::lround(device.left())), static_cast<int>(std::lround(device.top())),
                     static_cast<int>(std::lround(device.width())), static_cast<int>(std::lround(device.height())));
  frame.viewport = viewport_;
  frame.tokens = tokens_;
  if (!frame.valid()) {
    return;
  }
  // An export at twice the size shows the same cells, not finer ones that may not be there yet.
  QImage other;
  const bool onScreen = !painter->modes().testFlag(QCPPainter::pmNoCaching);
  if (onScreen) {
    level_ = levelFor(frame.tokensPerPixel(), tokens_);
    deviceRect_ = frame.rect;
  }
  QImage& image = onScreen ? frame_ : other;
  if (image.size() != frame.rect.size()) {
    image = QImage(frame.rect.size(), QImage::Format_RGB32);
  }
  compose(image, frame);
  painter->save();
  const double ratio = painter->device()->devicePixelRatioF();
  painter->setWorldTransform(QTransform::fromScale(1 / ratio, 1 / ratio));
  painter->drawImage(frame.rect.topLeft(), image);
  painter->restore();
}

void TilePlottable::compose(QImage& image, const MapFrame& frame) {
  const Theme& t = theme();
  FrameGround ground{t.noValue.rgb(), mix(t.noValue, t.muted, 0.14).rgb()};
  std::map<std::pair<std::int64_t, std::int64_t>, TilePart> parts;
  const std::optional<std::int64_t> window = window_ > 0 ? std::optional(window_) : std::nullopt;
  std::set<std::pair<std::int64_t, std::int64_t>> awaited;
  for (const auto& place : tilesInFrame(frame, level_)) {
    const TileKey key{view_, level_, place.first, place.second};
    if (!tileHasValues(key, tokens_, window)) {
      continue;
    }
    const TilePart part = bestTile_(key);
    if (!part.tile) {
      awaited.insert(place);
      continue;
    }
    parts.emplace(place, part);
    if (part.tile->key.level == level_) {
      tracker_.see(*part.tile, style_);
    }
  }
  tilesShown_ = static_cast<int>(parts.size());
  TileImages::Coloring coloring;
  coloring.map = &ColorMap::named(style_.colorMap);
  coloring.range = colorRange();
  coloring.noValue = ground.noValue;
  coloring.values = style_.value == MapValue::Logit ? 3 : static_cast<int>(style_.pool);
  std::vector<QRgb> thumbnail;
  thumbnailShown_ = hasThumbnail() && !awaited.empty();
  if (thumbnailShown_) {
    const std::vector<float>& values = *thumbnailValues();
    thumbnail.resize(values.size());
    colorize(values.data(), values.size(), *coloring.map, coloring.range, coloring.noValue, thumbnail.data());
    ground.thumbnail = thumbnail.data();
    ground.size = thumbnail_->size;
  }
  std::vector<std::shared_ptr<const TileImages::Pixels>> held;
  composeFrame(
      image, frame, level_,
      [&](std::int64_t x, std::int64_t y) {
        const auto found = parts.find({x, y});
        if (found == parts.end()) {
          return TilePixels{nullptr, 0, awaited.contains({x, y})};
        }
        const Tile& tile = *found->second.tile;
        held.push_back(images_.image(tile, shownValues(tile, style_), coloring));
        return TilePixels{held.back()->data(), levelsAbove(found->second), false};
      },
      ground);
}

// Means and logits have colour ranges that a thumbnail doesn't know.
const std::vector<float>* TilePlottable::thumbnailValues() const {
  if (style_.value == MapValue::Logit || style_.pool == Pool::Mean) {
    return nullptr;
  }
  const std::vector<float>& values = style_.pool == Pool::Mass ? thumbnail_->mass : thumbnail_->max;
  return values.empty() ? nullptr : &values;
}

void TilePlottable::drawLegendIcon(QCPPainter* painter, const QRectF& rect) const {
  painter->fillRect(rect, ColorMap::named(style_.colorMap).at(0.5));
}

}  // namespace headscope::ui
