#pragma once

// The plot's parts in their places: a square map with room for labels, curves along the query axis to its right and
// along the key axis below, sharing its pixels, and the colour bar in the corner. Sizes don't depend on what is in
// view, so nothing jumps while panning.

#include <qcustomplot.h>

#include <array>

namespace headscope::ui {

class MapLayout : public QCPLayout {
  Q_OBJECT
 public:
  enum Part { Map, QueryFirst, QuerySecond, KeyFirst, KeySecond, Colors, kParts };

  /// Room for the labels of the query axis (width) and of the key axis (height), logical pixels.
  void setLabelRoom(int queryWidth, int keyHeight);
  void setElement(Part part, QCPLayoutElement* element);

  int elementCount() const override { return kParts; }
  QCPLayoutElement* elementAt(int index) const override;
  QCPLayoutElement* takeAt(int index) override;
  bool take(QCPLayoutElement* element) override;

  static constexpr int kTop = 20;       ///< above the map: names of axes and curves
  static constexpr int kAxisRoom = 18;  ///< for the numbers under the curves at the right

 protected:
  void updateLayout() override;

 private:
  void place(Part part, const QRect& rect);

  std::array<QCPLayoutElement*, kParts> elements_{};
  int queryWidth_ = 60, keyHeight_ = 60;
};

}  // namespace headscope::ui
