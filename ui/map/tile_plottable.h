#pragma once

// Draws the map into QCustomPlot: whatever tiles are cached, coloured, in device pixels. Never computes values.

#include <qcustomplot.h>

#include <QImage>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/maps/tile_service.h"
#include "ui/map/frame_image.h"
#include "ui/map/map_colors.h"
#include "ui/map/map_geometry.h"
#include "ui/map/tile_images.h"

namespace headscope::ui {

class TilePlottable : public QCPAbstractPlottable {
  Q_OBJECT
 public:
  using BestTile = std::function<TilePart(const TileKey&)>;

  TilePlottable(QCPAxis* keyAxis, QCPAxis* queryAxis, BestTile bestTile);

  /// What to draw: a map, and the part of it; tokens 0: nothing. Another map forgets the colour ranges.
  void setMap(std::uint64_t view, std::int64_t tokens, std::int64_t windowTokens);
  /// The wall's picture of this map, shown until tiles come; null: none. Forgotten with setMap().
  void setThumbnail(std::shared_ptr<const headscope::Thumbnail> thumbnail) { thumbnail_ = std::move(thumbnail); }
  bool hasThumbnail() const { return thumbnail_ && thumbnailValues() != nullptr; }
  void setViewport(const MapViewport& viewport) { viewport_ = viewport; }
  void setStyle(const MapStyle& style) { style_ = style; }
  void setImageBytes(std::uint64_t bytes) { images_.setLimit(bytes); }

  /// Of the last frame on the screen.
  int level() const { return level_; }
  ColorRange colorRange() const { return tracker_.range(style_, level_, tokens_); }
  int tilesShown() const { return tilesShown_; }  ///< that had values
  bool anythingShown() const { return tilesShown_ > 0 || thumbnailShown_; }
  const TileImages& images() const { return images_; }
  const QImage& frameImage() const { return frame_; }  ///< device pixels
  QRect deviceRect() const { return deviceRect_; }

  double selectTest(const QPointF& pos, bool onlySelectable, QVariant* details = nullptr) const override;
  QCPRange getKeyRange(bool& foundRange, QCP::SignDomain inSignDomain = QCP::sdBoth) const override;
  QCPRange getValueRange(bool& foundRange, QCP::SignDomain inSignDomain = QCP::sdBoth,
                         const QCPRange& inKeyRange = QCPRange()) const override;

 protected:
  void draw(QCPPainter* painter) override;
  void drawLegendIcon(QCPPainter* painter, const QRectF& rect) const override;

 private:
  void compose(QImage& image, const MapFrame& frame);
  const std::vector<float>* thumbnailValues() const;

  BestTile bestTile_;
  std::uint64_t view_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t window_ = 0;  ///< sliding window; 0: none
  MapViewport viewport_;
  MapStyle style_;
  TileImages images_{std::uint64_t{192} << 20};
  RangeTracker tracker_;
  int level_ = 0;
  int tilesShown_ = 0;
  bool thumbnailShown_ = false;
  std::shared_ptr<const headscope::Thumbnail> thumbnail_;
  QImage frame_;
  QRect deviceRect_;
};

}  // namespace headscope::ui
