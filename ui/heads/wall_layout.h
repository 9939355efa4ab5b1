#pragma once

// Where each head's cell lies on the wall. Two arrangements: a grid (a row for each layer, a column for each head, KV
// groups set apart), and a ranking (heads in a given order, line by line, each with a caption).

#include <QPoint>
#include <QRect>
#include <QSize>
#include <optional>
#include <unordered_map>
#include <vector>

#include "ui/session/session.h"

namespace headscope::ui {

class WallLayout {
 public:
  static constexpr int kGap = 2;       ///< between cells
  static constexpr int kGroupGap = 5;  ///< between KV groups
  static constexpr int kSmallest = 14, kLargest = 120;

  /// `side` 0: as large as the width allows. `gutter`: room left of the cells for the layers' names.
  void setGrid(const std::vector<int>& layers, int heads, int kvHeads, int width, int gutter, int side);
  void setRanked(const std::vector<HeadId>& heads, int width, int side, int captionHeight);

  bool ranked() const { return ranked_; }
  int side() const { return side_; }
  QSize size() const { return size_; }
  const std::vector<HeadId>& order() const { return order_; }
  const std::vector<int>& layers() const { return layers_; }

  QRect cell(std::size_t index) const;  ///< of order()[index]
  std::optional<QRect> cell(HeadId head) const;
  std::optional<HeadId> at(QPoint position) const;
  std::vector<std::size_t> within(const QRect& area) const;  ///< indices into order()

  QRect row(std::size_t line) const;  ///< grid: the line of layers()[line]
  QRect column(int head) const;       ///< grid: x and width only
  QRect group(int kvHead) const;      ///< grid: x and width only
  int groups() const { return groups_; }

  /// Where an arrow key leads from `from`; stays inside. A head that isn't shown leads to the first.
  HeadId step(HeadId from, int right, int down) const;
  HeadId rowEnd(HeadId from, bool last) const;

 private:
  std::optional<std::size_t> indexOf(HeadId head) const;

  bool ranked_ = false;
  std::vector<int> layers_;
  std::vector<HeadId> order_;
  std::unordered_map<std::int64_t, std::size_t> index_;
  int columns_ = 0, groups_ = 0, groupSize_ = 1;
  int side_ = kSmallest, gutter_ = 0, caption_ = 0;
  QSize size_;
};

}  // namespace headscope::ui
