#include "ui/heads/head_thumbnails.h"

#include "ui/map/map_colors.h"
#include "ui/style/color_map.h"

namespace headscope::ui {

void HeadThumbnails::recolor() {
  for (auto& [head, entry] : entries_) {
    entry.image = {};
  }
}

void HeadThumbnails::put(const Thumbnail& thumbnail) {
  Entry& entry = entries_[thumbnail.head];
  entry.values = thumbnail;
  entry.image = {};
}

const QImage* HeadThumbnails::image(HeadId head, const MapStyle& style, std::int64_t tokens, QRgb noValue) {
  const auto found = entries_.find(head);
  if (found == entries_.end()) {
    return nullptr;
  }
  Entry& entry = found->second;
  const int size = entry.values.size;
  if (entry.image.isNull() && size > 0) {
    const ColorRange range{style.scale == ColorScale::Log ? logFloor(tokens) : 0.0, 1.0, style.scale};
    entry.image = QImage(size, size, QImage::Format_RGB32);
    for (int y = 0; y < size; ++y) {
      colorize(entry.values.values.data() + static_cast<std::ptrdiff_t>(y) * size, static_cast<std::size_t>(size),
               ColorMap::named(style.colorMap), range, noValue, reinterpret_cast<QRgb*>(entry.image.scanLine(y)));
    }
  }
  return entry.image.isNull() ? nullptr : &entry.image;
}

bool HeadThumbnails::exact(HeadId head, int size) const {
  const auto found = entries_.find(head);
  return found != entries_.end() && found->second.values.exact && found->second.values.size == size;
}

}  // namespace headscope::ui
