#pragma once

// How the window looks: two sets of colours (light, dark), three sizes of the system font, one spacing. Every colour
// has one meaning everywhere: queries blue, keys orange, flags vermilion (Okabe and Ito's colour-blind safe set), one
// accent. Text colours reach a contrast of 4.5:1 on `window`, `panel` and `field`.

#include <QColor>
#include <QFont>
#include <QObject>
#include <QPalette>
#include <QString>

class QApplication;
class QWidget;

namespace headscope::ui {

enum class ThemeKind { Light, Dark };

struct Theme {
  ThemeKind kind = ThemeKind::Dark;
  QColor window;            ///< behind the panels
  QColor panel;             ///< ground of a panel
  QColor field;             ///< ground of inputs and plots inside a panel
  QColor hover;             ///< ground of what the mouse is over
  QColor line;              ///< borders and separators
  QColor text;              ///< main text
  QColor muted;             ///< secondary text, axis labels
  QColor disabled;          ///< what can't be used now (no contrast promised)
  QColor accent, onAccent;  ///< selection, primary button; text on it
  QColor query, key;        ///< as text and as line
  QColor flag;              ///< marks and text
  QColor flagButton, onFlag;
  QColor neutral;  ///< a measured curve that belongs to neither side
  QColor bound;    ///< bounds: thin grey
  QColor grid;     ///< of plots
  QColor good, warning, bad;
  QColor noValue;  ///< map ground: above the diagonal, outside the window
};

const Theme& lightTheme();
const Theme& darkTheme();

/// Relative luminance contrast of WCAG 2.1, 1 … 21.
double contrast(const QColor& a, const QColor& b);

constexpr int kSpacing = 4;  ///< pixels; every gap is a multiple
constexpr int kSmallPoints = 9, kTextPoints = 10, kTitlePoints = 13;

QFont smallFont();
QFont textFont();
QFont titleFont();  ///< semi-bold
QFont boldFont();   ///< text size, semi-bold
QFont monoFont(int points = kTextPoints);

/// The theme in force. Views read theme() when they paint and listen to changed().
class Appearance : public QObject {
  Q_OBJECT
 public:
  static Appearance& instance();

  const Theme& theme() const { return *theme_; }
  /// Fusion style, palette, font and style sheet for the whole application; emits changed().
  void apply(ThemeKind kind);
  /// What the desktop asked for before we set a palette of our own (Qt 6.4 has no other way to know).
  static ThemeKind systemTheme();

 Q_SIGNALS:
  void changed();

 private:
  Appearance();
  const Theme* theme_;
};

inline const Theme& theme() {
  return Appearance::instance().theme();
}

QPalette paletteOf(const Theme& theme);

/// What a widget is, for the style sheet: sets the dynamic property "look" and refreshes the widget's style.
/// Widgets: "panel" (rounded ground), "topBar", "bar" (quiet message bar), "errorBar", "separator".
/// Labels: "title" (13 pt), "heading" (10 pt, bold), "muted", "small" (9 pt, muted), "mono", "query", "key", "flag",
///         "chip" (outlined pill in the accent colour).
/// Buttons: "primary", "flag" (filled while checked), "link" (text only), "tool" (flat), "choice" (flat, with a menu).
void setLook(QWidget* widget, const char* look);

QString styleSheetOf(const Theme& theme);

}  // namespace headscope::ui
