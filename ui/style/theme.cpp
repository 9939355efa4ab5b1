#include "ui/style/theme.h"

#include <QApplication>
#include <QFontDatabase>
#include <QStyle>
#include <QStyleFactory>
#include <QWidget>
#include <cmath>

namespace headscope::ui {
namespace {

Theme makeDark() {
  Theme t;
  t.kind = ThemeKind::Dark;
  t.window = QColor(0x1b1d21);
  t.panel = QColor(0x23262b);
  t.field = QColor(0x2a2e34);
  t.hover = QColor(0x343941);
  t.line = QColor(0x3b4048);
  t.text = QColor(0xe2e5e9);
  t.muted = QColor(0x9aa2ad);
  t.disabled = QColor(0x666d77);
  t.accent = QColor(0x5aa9e6);
  t.onAccent = QColor(0x0b1722);
  t.query = QColor(0x56b4e9);
  t.key = QColor(0xe69f00);
  t.flag = QColor(0xf07a35);
  t.flagButton = QColor(0xc44d00);
  t.onFlag = QColor(0xffffff);
  t.neutral = QColor(0xa8afb9);
  t.bound = QColor(0x7d858f);
  t.grid = QColor(0x414750);
  t.good = QColor(0x3fb58a);
  t.warning = QColor(0xe3b341);
  t.bad = QColor(0xf28b82);
  t.noValue = QColor(0x2a2e34);
  return t;
}

Theme makeLight() {
  Theme t;
  t.kind = ThemeKind::Light;
  t.window = QColor(0xe9ebee);
  t.panel = QColor(0xf7f8f9);
  t.field = QColor(0xffffff);
  t.hover = QColor(0xe3e8ee);
  t.line = QColor(0xd0d5db);
  t.text = QColor(0x1e2227);
  t.muted = QColor(0x59636e);
  t.disabled = QColor(0x9aa2ab);
  t.accent = QColor(0x1769a5);
  t.onAccent = QColor(0xffffff);
  t.query = QColor(0x0067a3);
  t.key = QColor(0x8f5b00);
  t.flag = QColor(0xb84600);
  t.flagButton = QColor(0xc44d00);
  t.onFlag = QColor(0xffffff);
  t.neutral = QColor(0x5d6771);
  t.bound = QColor(0x8b939c);
  t.grid = QColor(0xdce0e5);
  t.good = QColor(0x0b7550);
  t.warning = QColor(0x835a00);
  t.bad = QColor(0xb3261e);
  t.noValue = QColor(0xffffff);
  return t;
}

double luminance(const QColor& color) {
  const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF());
}

QFont sized(int points, QFont::Weight weight) {
  QFont font = QApplication::font();
  font.setPointSize(points);
  font.setWeight(weight);
  return font;
}

}  // namespace

const Theme& lightTheme() {
  static const Theme theme = makeLight();
  return theme;
}

const Theme& darkTheme() {
  static const Theme theme = makeDark();
  return theme;
}

double contrast(const QColor& a, const QColor& b) {
  const double x = luminance(a) + 0.05, y = luminance(b) + 0.05;
  return x > y ? x / y : y / x;
}

QFont smallFont() {
  return sized(kSmallPoints, QFont::Normal);
}
QFont textFont() {
  return sized(kTextPoints, QFont::Normal);
}
QFont titleFont() {
  return sized(kTitlePoints, QFont::DemiBold);
}
QFont boldFont() {
  return sized(kTextPoints, QFont::DemiBold);
}

QFont monoFont(int points) {
  QFont font = QFontDatabase::systemFont(QFontDatabase::FixedFont);
  font.setPointSize(points);
  font.setStyleHint(QFont::Monospace);
  return font;
}

QPalette paletteOf(const Theme& t) {
  QPalette p;
  p.setColor(QPalette::Window, t.window);
  p.setColor(QPalette::WindowText, t.text);
  p.setColor(QPalette::Base, t.field);
  p.setColor(QPalette::AlternateBase, t.panel);
  p.setColor(QPalette::Text, t.text);
  p.setColor(QPalette::PlaceholderText, t.muted);
  p.setColor(QPalette::Button, t.panel);
  p.setColor(QPalette::ButtonText, t.text);
  p.setColor(QPalette::BrightText, t.flag);
  p.setColor(QPalette::ToolTipBase, t.field);
  p.setColor(QPalette::ToolTipText, t.text);
  p.setColor(QPalette::Highlight, t.accent);
  p.setColor(QPalette::HighlightedText, t.onAccent);
  p.setColor(QPalette::Link, t.accent);
  p.setColor(QPalette::LinkVisited, t.accent);
  p.setColor(QPalette::Light, t.hover);
  p.setColor(QPalette::Midlight, t.hover);
  p.setColor(QPalette::Mid, t.line);
  p.setColor(QPalette::Dark, t.line);
  p.setColor(QPalette::Shadow, QColor(0, 0, 0, t.kind == ThemeKind::Dark ? 160 : 60));
  for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText}) {
    p.setColor(QPalette::Disabled, role, t.disabled);
  }
  p.setColor(QPalette::Disabled, QPalette::Highlight, t.line);
  p.setColor(QPalette::Disabled, QPalette::HighlightedText, t.muted);
  return p;
}

Appearance::Appearance() : theme_(&darkTheme()) {}

Appearance& Appearance::instance() {
  static Appearance appearance;
  return appearance;
}

ThemeKind Appearance::systemTheme() {
  static const ThemeKind kind = [] {
    const QPalette palette = QApplication::palette();
    return luminance(palette.color(QPalette::Window)) < luminance(palette.color(QPalette::WindowText))
               ? ThemeKind::Dark
               : ThemeKind::Light;
  }();
  return kind;
}

void Appearance::apply(ThemeKind kind) {
  systemTheme();  // asked before the palette is ours
  theme_ = kind == ThemeKind::Dark ? &darkTheme() : &lightTheme();
  if (QApplication::style() == nullptr || QApplication::style()->objectName() != QLatin1String("fusion")) {
    QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
  }
  QFont font = QApplication::font();
  font.setPointSize(kTextPoints);
  QApplication::setFont(font);
  QApplication::setPalette(paletteOf(*theme_));
  qApp->setStyleSheet(styleSheetOf(*theme_));
  Q_EMIT changed();
}

void setLook(QWidget* widget, const char* look) {
  widget->setProperty("look", QString::fromLatin1(look));
  widget->style()->unpolish(widget);
  widget->style()->polish(widget);
  widget->update();
}

}  // namespace headscope::ui
