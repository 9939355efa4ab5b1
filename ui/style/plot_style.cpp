#include "ui/style/plot_style.h"

#include <qcustomplot.h>

#include <QLocale>
#include <cmath>

#include "core/base/text.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

/// Digits in groups of three, with thin spaces.
QString grouped(const QString& digits) {
  QString out = digits;
  for (qsizetype i = out.size() - 3; i > (out.startsWith(QLatin1Char('-')) ? 1 : 0); i -= 3) {
    out.insert(i, QChar(0x2009));
  }
  return out;
}

}  // namespace

void styleAxis(QCPAxis* axis) {
  const Theme& t = theme();
  axis->setBasePen(Qt::NoPen);
  axis->setTickPen(QPen(t.line, 1));
  axis->setSubTickPen(Qt::NoPen);
  axis->setTickLabelColor(t.muted);
  axis->setLabelColor(t.muted);
  axis->setTickLabelFont(smallFont());
  axis->setLabelFont(smallFont());
  axis->setSelectedTickLabelFont(smallFont());
  axis->setSelectedLabelFont(smallFont());
  axis->grid()->setPen(QPen(t.grid, 1));
  axis->grid()->setSubGridVisible(false);
  axis->grid()->setZeroLinePen(QPen(t.grid, 1));
}

void styleAxisRect(QCPAxisRect* rect) {
  rect->setBackground(QBrush(theme().field));
  for (QCPAxis* axis : rect->axes()) {
    styleAxis(axis);
  }
}

void stylePlot(QCustomPlot* plot) {
  plot->setBackground(QBrush(theme().panel));
  for (QCPAxisRect* rect : plot->axisRects()) {
    styleAxisRect(rect);
  }
}

QPen measuredPen(const QColor& color) {
  return QPen(color, 1.5, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin);
}

QPen predictedPen(const QColor& color) {
  QPen pen(color, 1.5);
  pen.setDashPattern({4, 3});
  return pen;
}

QPen boundPen() {
  return QPen(theme().bound, 1);
}

QString formatValue(double value) {
  if (std::isnan(value)) {
    return QStringLiteral("–");
  }
  if (std::isinf(value)) {
    return value > 0 ? QStringLiteral("∞") : QStringLiteral("−∞");
  }
  const double size = std::abs(value);
  if (size == 0) {
    return QStringLiteral("0");
  }
  if (size < 1e-6) {
    return value > 0 ? QStringLiteral("<1e-6") : QStringLiteral("−<1e-6");
  }
  // Rounded to three significant digits first: 0.9996 has the decimals of 1.00.
  int magnitude = static_cast<int>(std::floor(std::log10(size)));
  const double rounded = std::round(size * std::pow(10.0, 2 - magnitude)) / std::pow(10.0, 2 - magnitude);
  magnitude = static_cast<int>(std::floor(std::log10(rounded) + 1e-12));
  const QString digits = QString::number(size >= 1000 ? size : rounded, 'f', std::max(0, 2 - magnitude));
  return (value < 0 ? QStringLiteral("−") : QString()) + (size >= 1000 ? grouped(digits) : digits);
}

QString formatCount(qint64 value) {
  return grouped(QString::number(value));
}

QString visibleToken(const std::string& bytes) {
  QString out;
  std::size_t i = 0;
  while (i < bytes.size()) {
    const std::string_view rest(bytes.data() + i, bytes.size() - i);
    const std::size_t bad = firstInvalidUtf8(rest);
    out += QString::fromUtf8(rest.data(), static_cast<qsizetype>(std::min(bad, rest.size())));
    if (bad == std::string_view::npos) {
      break;
    }
    out += QStringLiteral("⟨%1⟩").arg(QString::number(static_cast<unsigned char>(rest[bad]), 16).toUpper(), 2,
                                      QLatin1Char('0'));
    i += bad + 1;
  }
  out.replace(QLatin1String("\r\n"), QStringLiteral("⏎"));
  out.replace(QLatin1Char(' '), QStringLiteral("␣"));
  out.replace(QLatin1Char('\n'), QStringLiteral("⏎"));
  out.replace(QLatin1Char('\r'), QStringLiteral("⏎"));
  out.replace(QLatin1Char('\t'), QStringLiteral("⇥"));
  for (QChar& c : out) {
    if (c.category() == QChar::Other_Control) {
      c = QChar(0xfffd);
    }
  }
  return out;
}

}  // namespace headscope::ui
