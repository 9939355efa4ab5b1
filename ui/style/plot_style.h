#pragma once

// QCustomPlot ignores the palette: axes, grids, texts and pens get the theme here, again after each change of theme.

#include <QPen>
#include <QString>

class QCPAxis;
class QCPAxisRect;
class QCPColorScale;
class QCustomPlot;

namespace headscope::ui {

/// Ground, axis rects, all axes, grids. Call again when the theme changes.
void stylePlot(QCustomPlot* plot);
void styleAxisRect(QCPAxisRect* rect);
void styleAxis(QCPAxis* axis);

QPen measuredPen(const QColor& color);   ///< solid, 1.5
QPen predictedPen(const QColor& color);  ///< dashed
QPen boundPen();                         ///< thin, grey, solid

/// Three significant digits, never an exponent: 0.0312, 12.3, 4 710. Values below 1e-6 as "<1e-6"; "–" for NaN.
QString formatValue(double value);
/// With thin groups: 131 072.
QString formatCount(qint64 value);
/// Token text on one line: ␣ for spaces, ⏎ for line breaks, ⇥ for tabs, ⟨0A⟩ for bytes that are no UTF-8.
QString visibleToken(const std::string& bytes);

}  // namespace headscope::ui
