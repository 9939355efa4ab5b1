#pragma once

// Labels along the map's two axes: the token's text where there is room for every (or every second) one, otherwise
// indices at round steps. Drawn here rather than by QCPAxis, whose margins would change with every pan.

#include <qcustomplot.h>

#include <QCache>
#include <QPixmap>
#include <QStringList>
#include <optional>
#include <vector>

#include "core/capture/capture.h"
#include "ui/map/map_geometry.h"

namespace headscope::ui {

/// Which labels an axis shows.
struct LabelPlan {
  bool texts = false;  ///< token texts; otherwise indices
  std::int64_t step = 1;
  std::vector<std::int64_t> tokens;  ///< rising
};

/// `pixelsPerToken` and the smallest distance between two text labels and between two index labels.
LabelPlan planLabels(double low, double high, double pixelsPerToken, double textPitch, double indexPitch,
                     bool haveTexts, std::int64_t tokens);

/// Texts of a capture's tokens as labels: made when they are asked for, at most 24 characters, cut with "…".
class TokenTexts {
 public:
  void setCapture(std::shared_ptr<const Capture> capture);
  bool any() const;
  QString label(std::int64_t token, int characters = 24) const;

 private:
  std::shared_ptr<const Capture> capture_;
};

class TokenLabels : public QCPLayerable {
  Q_OBJECT
 public:
  TokenLabels(QCustomPlot* plot, const TokenTexts* texts);

  void setFrame(const MapFrame& frame) { frame_ = frame; }  ///< logical pixels
  void clearCache() { pixmaps_.clear(); }
  /// Room that the labels of this capture need, logical pixels: (width of the query axis, height of the key axis).
  QSize room(std::int64_t tokens) const;

  LabelPlan queryPlan() const;
  LabelPlan keyPlan() const;
  QString queryLabel(std::int64_t token, const LabelPlan& plan) const;

  /// One label in its place, in colour: for the overlay. `ground` is painted behind it.
  void drawQueryLabel(QCPPainter* painter, std::int64_t token, const QColor& color, const QColor& ground);
  void drawKeyLabel(QCPPainter* painter, std::int64_t token, const QColor& color, const QColor& ground);
  /// What these may touch.
  QRect queryLabelReach(std::int64_t token) const;
  QRect keyLabelReach(std::int64_t token) const;

 protected:
  void applyDefaultAntialiasingHint(QCPPainter* painter) const override;
  void draw(QCPPainter* painter) override;

 private:
  QFont font(bool texts) const;
  double textPitch() const;
  QPixmap* pixmap(const QString& text, bool texts, bool rotated, const QColor& color, double ratio);
  QPixmap* label(QCPPainter* painter, std::int64_t token, bool texts, bool key, const QColor& color);
  QRectF labelRect(std::int64_t token, bool key, const QSizeF& size) const;
  void drawLabel(QCPPainter* painter, std::int64_t token, bool texts, bool key, const QColor& color);
  void drawOver(QCPPainter* painter, std::int64_t token, const LabelPlan& plan, bool key, const QColor& color,
                const QColor& ground);

  const TokenTexts* texts_;
  MapFrame frame_;
  QCache<QString, QPixmap> pixmaps_{1024};
};

}  // namespace headscope::ui
