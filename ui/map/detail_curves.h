#pragma once

// The curves along the map's axes: q-similarity (before and after RoPE) and row entropy along queries, k-similarity and
// received mass along keys.

#include <qcustomplot.h>

#include <memory>
#include <vector>

#include "core/analysis/report.h"
#include "ui/map/map_geometry.h"
#include "ui/map/margin_curve.h"

namespace headscope::ui {

class DetailCurves {
 public:
  struct Rect {
    QCPAxisRect* rect = nullptr;
    QCPAxis* tokens = nullptr;
    QCPAxis* values = nullptr;
  };

  /// Four axis rects, to be put into a layout by the caller.
  explicit DetailCurves(QCustomPlot* plot);

  const Rect& qSimilarity() const { return qSimilarityRect_; }
  const Rect& entropy() const { return entropyRect_; }
  const Rect& kSimilarity() const { return kSimilarityRect_; }
  const Rect& received() const { return receivedRect_; }
  std::vector<const MarginCurve*> alongQueries() const { return {qSimilarity_, entropy_}; }
  std::vector<const MarginCurve*> alongKeys() const { return {kSimilarity_, received_}; }

  void clear();
  void set(const HeadDetail& detail);
  void setViewport(const MapViewport& viewport);
  void restyle();
  /// Ends of a value axis.
  static QString lowText(const Rect& rect);
  static QString highText(const Rect& rect);

 private:
  static Rect make(QCustomPlot* plot, bool alongQueries);
  static void setRange(const Rect& rect, double low, double high);

  Rect qSimilarityRect_, entropyRect_, kSimilarityRect_, receivedRect_;
  MarginCurve* qSimilarityRope_;
  MarginCurve* qSimilarity_;
  MarginCurve* entropy_;
  MarginCurve* kSimilarity_;
  MarginCurve* received_;
};

}  // namespace headscope::ui
