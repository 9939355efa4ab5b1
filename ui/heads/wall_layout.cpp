#include "ui/heads/wall_layout.h"

#include <algorithm>

namespace headscope::ui {
namespace {

std::int64_t key(HeadId head) {
  return (static_cast<std::int64_t>(head.layer) << 32) | static_cast<std::uint32_t>(head.head);
}

}  // namespace

void WallLayout::setGrid(const std::vector<int>& layers, int heads, int kvHeads, int width, int gutter, int side) {
  ranked_ = false;
  layers_ = layers;
  columns_ = heads;
  groups_ = kvHeads > 0 && heads % kvHeads == 0 ? kvHeads : 0;
  groupSize_ = groups_ > 0 ? heads / groups_ : std::max(heads, 1);
  gutter_ = gutter;
  caption_ = 0;
  const int gaps = std::max(heads - 1, 0) * kGap + std::max(groups_ - 1, 0) * (kGroupGap - kGap);
  const int room = heads > 0 ? (width - gutter - gaps) / heads : 0;
  side_ = std::clamp(side > 0 ? side : room, kSmallest, kLargest);
  order_.clear();
  index_.clear();
  for (const int layer : layers) {
    for (int head = 0; head < heads; ++head) {
      index_.emplace(key({layer, head}), order_.size());
      order_.push_back({layer, head});
    }
  }
  size_ = QSize(gutter + heads * side_ + gaps, static_cast<int>(layers.size()) * (side_ + kGap));
}

void WallLayout::setRanked(const std::vector<HeadId>& heads, int width, int side, int captionHeight) {
  ranked_ = true;
  layers_.clear();
  order_ = heads;
  index_.clear();
  for (std::size_t i = 0; i < order_.size(); ++i) {
    index_.emplace(key(order_[i]), i);
  }
  groups_ = 0;
  gutter_ = 0;
  caption_ = captionHeight;
  side_ = std::clamp(side, kSmallest, kLargest);
  columns_ = std::max(1, (width + kGroupGap) / (side_ + kGroupGap));
  const int lines =
      static_cast<int>((order_.size() + static_cast<std::size_t>(columns_) - 1) / static_cast<std::size_t>(columns_));
  size_ = QSize(width, lines * (side_ + caption_ + kGroupGap));
}

QRect WallLayout::cell(std::size_t index) const {
  const int line = static_cast<int>(index) / columns_;
  const int place = static_cast<int>(index) % columns_;
  if (ranked_) {
    return {place * (side_ + kGroupGap), line * (side_ + caption_ + kGroupGap), side_, side_};
  }
  return {column(place).x(), line * (side_ + kGap), side_, side_};
}

std::optional<QRect> WallLayout::cell(HeadId head) const {
  const auto index = indexOf(head);
  return index ? std::optional(cell(*index)) : std::nullopt;
}

std::optional<HeadId> WallLayout::at(QPoint position) const {
  if (order_.empty() || position.x() < gutter_ || position.y() < 0) {
    return std::nullopt;
  }
  for (const std::size_t index : within(QRect(position, QSize(1, 1)))) {
    return order_[index];
  }
  return std::nullopt;
}

std::vector<std::size_t> WallLayout::within(const QRect& area) const {
  std::vector<std::size_t> found;
  if (order_.empty()) {
    return found;
  }
  const int pitch = ranked_ ? side_ + caption_ + kGroupGap : side_ + kGap;
  const int lines = static_cast<int>((order_.size() - 1) / static_cast<std::size_t>(columns_)) + 1;
  const int first = std::clamp(area.top() / pitch, 0, lines);
  const int last = std::clamp(area.bottom() / pitch, -1, lines - 1);
  for (int line = first; line <= last; ++line) {
    for (int place = 0; place < columns_; ++place) {
      const auto index =
          static_cast<std::size_t>(line) * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(place);
      if (index < order_.size() && cell(index).adjusted(0, 0, 0, caption_).intersects(area)) {
        found.push_back(index);
      }
    }
  }
  return found;
}

QRect WallLayout::row(std::size_t line) const {
  return {0, static_cast<int>(line) * (side_ + kGap), size_.width(), side_};
}

QRect WallLayout::column(int head) const {
  const int group = groups_ > 0 ? head / groupSize_ : 0;
  return {gutter_ + head * (side_ + kGap) + group * (kGroupGap - kGap), 0, side_, 0};
}

QRect WallLayout::group(int kvHead) const {
  const int left = column(kvHead * groupSize_).left();
  return {left, 0, column((kvHead + 1) * groupSize_ - 1).left() + side_ - left, 0};
}

std::optional<std::size_t> WallLayout::indexOf(HeadId head) const {
  const auto found = index_.find(key(head));
  return found == index_.end() ? std::nullopt : std::optional(found->second);
}

HeadId WallLayout::step(HeadId from, int right, int down) const {
  if (order_.empty()) {
    return from;
  }
  const auto index = indexOf(from);
  if (!index) {
    return order_.front();
  }
  const auto count = static_cast<std::int64_t>(order_.size());
  const std::int64_t target = static_cast<std::int64_t>(*index) + right + static_cast<std::int64_t>(down) * columns_;
  if (target >= 0 && target < count) {
    return order_[static_cast<std::size_t>(target)];
  }
  if (down != 0) {  // more lines than there are: the last one in this column
    const std::int64_t place = static_cast<std::int64_t>(*index) % columns_;
    const std::int64_t lastLine = (count - 1 - place) / columns_;
    return order_[static_cast<std::size_t>(down < 0 ? place : lastLine * columns_ + place)];
  }
  return order_[target < 0 ? 0 : static_cast<std::size_t>(count - 1)];
}

HeadId WallLayout::rowEnd(HeadId from, bool last) const {
  const auto index = indexOf(from);
  if (!index) {
    return order_.empty() ? from : order_.front();
  }
  const std::size_t columns = static_cast<std::size_t>(columns_);
  const std::size_t first = *index - *index % columns;
  return order_[last ? std::min(first + columns, order_.size()) - 1 : first];
}

}  // namespace headscope::ui
