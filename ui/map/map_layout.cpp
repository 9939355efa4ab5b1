#include "ui/map/map_layout.h"

#include <algorithm>

namespace headscope::ui {
namespace {

constexpr int kGap = 12;
constexpr int kSmallGap = 8;
constexpr int kNarrowest = 56, kWidest = 150;  ///< curves at the right
constexpr int kLowest = 24, kHighest = 44;     ///< curves below
constexpr int kColorsHeight = 44;

}  // namespace

void MapLayout::setLabelRoom(int queryWidth, int keyHeight) {
  queryWidth_ = queryWidth;
  keyHeight_ = keyHeight;
}

void MapLayout::setElement(Part part, QCPLayoutElement* element) {
  elements_[part] = element;
  adoptElement(element);
}

QCPLayoutElement* MapLayout::elementAt(int index) const {
  return index >= 0 && index < kParts ? elements_[static_cast<std::size_t>(index)] : nullptr;
}

QCPLayoutElement* MapLayout::takeAt(int index) {
  QCPLayoutElement* element = elementAt(index);
  if (element) {
    releaseElement(element);
    elements_[static_cast<std::size_t>(index)] = nullptr;
  }
  return element;
}

bool MapLayout::take(QCPLayoutElement* element) {
  const auto found = std::find(elements_.begin(), elements_.end(), element);
  return element && found != elements_.end() && takeAt(static_cast<int>(found - elements_.begin()));
}

void MapLayout::place(Part part, const QRect& rect) {
  QCPLayoutElement* element = elements_[part];
  if (element) {
    element->setOuterRect(rect);
  }
}

void MapLayout::updateLayout() {
  const QRect room = rect();
  const int curveHeight = std::clamp(room.height() / 16, kLowest, kHighest);
  const int keyRoom = std::max(keyHeight_, kAxisRoom + kColorsHeight);  // the curves' names stand below the colour bar
  const int below = keyRoom + kSmallGap + 2 * curveHeight + kSmallGap;
  const int widthLeft = room.width() - queryWidth_ - kGap - 2 * kNarrowest - kSmallGap;
  const int side = std::max(40, std::min(widthLeft, room.height() - kTop - below));
  const int curveWidth = std::clamp((room.width() - queryWidth_ - side - kGap - kSmallGap) / 2, kNarrowest, kWidest);

  const int left = room.left() + queryWidth_, top = room.top() + kTop;
  const int right = left + side + kGap;
  place(Map, QRect(left, top, side, side));
  place(QueryFirst, QRect(right, top, curveWidth, side));
  place(QuerySecond, QRect(right + curveWidth + kSmallGap, top, curveWidth, side));
  const int under = top + side + keyRoom + kSmallGap;
  place(KeyFirst, QRect(left, under, side, curveHeight));
  place(KeySecond, QRect(left, under + curveHeight + kSmallGap, side, curveHeight));
  place(Colors, QRect(right, top + side + kAxisRoom + kSmallGap, 2 * curveWidth + kSmallGap, kColorsHeight));
}

}  // namespace headscope::ui
