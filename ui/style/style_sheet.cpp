#include <utility>

#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

// @name stands for a colour of the theme. Style sheets with setStyleSheet(QApplication) override fonts set by
// setFont, so sizes are given here too.
const char* const kSheet = R"(
QMainWindow, QDialog { background: @window; }
QMainWindow::separator { background: @window; width: 6px; height: 6px; }
QMainWindow::separator:hover { background: @accent; }
QWidget[look="panel"] { background: @panel; border-radius: 6px; }
QWidget[look="topBar"] { background: @panel; border-bottom: 1px solid @line; }
QWidget[look="bar"] { background: @hover; border-radius: 4px; }
QWidget[look="errorBar"] { background: @panel; border: 1px solid @bad; border-radius: 4px; }
QWidget[look="separator"] { background: @line; }

QLabel { background: transparent; }
QLabel[look="title"] { font-size: 13pt; font-weight: 600; }
QLabel[look="heading"] { font-weight: 600; }
QLabel[look="muted"] { color: @muted; }
QLabel[look="small"] { color: @muted; font-size: 9pt; }
QLabel[look="query"] { color: @query; }
QLabel[look="key"] { color: @key; }
QLabel[look="flag"] { color: @flag; }
QLabel[look="chip"] { color: @accent; border: 1px solid @accent; border-radius: 10px; padding: 2px 10px; }
QWidget[look="errorBar"] QLabel { color: @text; }

QPushButton { background: @field; border: 1px solid @line; border-radius: 4px; padding: 4px 12px; min-height: 18px; }
QPushButton:hover { background: @hover; }
QPushButton:pressed { background: @line; }
QPushButton:focus { border-color: @accent; }
QPushButton:disabled { color: @disabled; }
QPushButton[look="primary"] { background: @accent; color: @onAccent; border: 1px solid @accent; font-weight: 600; }
QPushButton[look="primary"]:hover { border-color: @text; }
QPushButton[look="primary"]:focus { border-color: @text; }
QPushButton[look="primary"]:disabled { background: @hover; color: @disabled; border-color: @hover; }
QPushButton[look="flag"] { border-color: @flag; color: @flag; }
QPushButton[look="flag"]:checked { background: @flagButton; color: @onFlag; border-color: @flagButton; font-weight: 600; }
QPushButton[look="flag"]:focus { border-color: @text; }
QPushButton[look="link"] { background: transparent; border: 1px solid transparent; color: @accent; padding: 2px 4px; }
QPushButton[look="link"]:hover { text-decoration: underline; }
QPushButton[look="link"]:focus { border-color: @accent; }
QPushButton[look="link"]:disabled { color: @disabled; }
QToolButton { background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 3px 6px; }
QToolButton:hover { background: @hover; }
QToolButton:pressed, QToolButton:checked { background: @line; }
QToolButton:focus { border-color: @accent; }
QToolButton:disabled { color: @disabled; }
QToolButton[look="link"] { color: @muted; padding: 1px 4px; }
QToolButton[look="link"]:hover { color: @text; }
QToolButton[look="link"]:disabled { color: @disabled; }
QToolButton::menu-indicator { image: none; width: 0px; }

QLineEdit, QPlainTextEdit, QTextEdit, QSpinBox, QDoubleSpinBox {
  background: @field; border: 1px solid @line; border-radius: 4px; padding: 3px 8px;
  selection-background-color: @accent; selection-color: @onAccent; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus { border-color: @accent; }
QComboBox { background: @field; border: 1px solid @line; border-radius: 4px; padding: 3px 8px; }
QComboBox:hover { background: @hover; }
QComboBox:focus { border-color: @accent; }
QComboBox QAbstractItemView { background: @field; border: 1px solid @line; selection-background-color: @hover;
  selection-color: @text; outline: 0; }

QDockWidget::title { background: @panel; padding: 6px 8px; }
QTabBar { background: transparent; }
QTabBar::tab { background: transparent; color: @muted; padding: 6px 2px; margin: 0px 10px; border: 0;
  border-bottom: 2px solid transparent; }
QTabBar::tab:selected { color: @text; border-bottom: 2px solid @accent; }
QTabBar::tab:hover { color: @text; }
QTabWidget::pane { border: 0; }

QMenuBar { background: @panel; }
QMenuBar::item { background: transparent; padding: 4px 8px; }
QMenuBar::item:selected { background: @hover; border-radius: 4px; }
QMenu { background: @field; border: 1px solid @line; padding: 4px; }
QMenu::item { padding: 4px 24px 4px 20px; border-radius: 4px; }
QMenu::item:selected { background: @hover; }
QMenu::item:disabled { color: @disabled; }
QMenu::separator { height: 1px; background: @line; margin: 4px 8px; }
QToolTip { background: @field; color: @text; border: 1px solid @line; padding: 4px; }
QStatusBar { background: @panel; color: @muted; border-top: 1px solid @line; }
QStatusBar::item { border: 0; }

QTableView, QListView, QTreeView { background: @panel; border: 0; gridline-color: @line; outline: 0;
  selection-background-color: @hover; selection-color: @text; }
QHeaderView { background: @panel; }
QHeaderView::section { background: @panel; color: @muted; border: 0; border-bottom: 1px solid @line; padding: 4px 8px; }
QTableCornerButton::section { background: @panel; border: 0; }

QScrollArea { background: transparent; border: 0; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: @line; border-radius: 4px; margin: 1px; }
QScrollBar::handle:vertical { min-height: 24px; }
QScrollBar::handle:horizontal { min-width: 24px; }
QScrollBar::handle:hover { background: @disabled; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QProgressBar { background: @field; border: 0; border-radius: 3px; max-height: 6px; text-align: center; }
QProgressBar::chunk { background: @accent; border-radius: 3px; }
QSlider::groove:horizontal { background: @line; height: 4px; border-radius: 2px; }
QSlider::handle:horizontal { background: @accent; width: 14px; height: 14px; margin: -5px 0; border-radius: 7px; }
QSlider::handle:horizontal:disabled { background: @disabled; }
QSlider::handle:horizontal:focus { border: 2px solid @text; width: 10px; height: 10px; }
)";

}  // namespace

QString styleSheetOf(const Theme& t) {
  // Longer names first where one begins another.
  const std::pair<const char*, QColor> names[] = {
      {"@window", t.window},
      {"@panel", t.panel},
      {"@field", t.field},
      {"@hover", t.hover},
      {"@line", t.line},
      {"@text", t.text},
      {"@muted", t.muted},
      {"@disabled", t.disabled},
      {"@accent", t.accent},
      {"@query", t.query},
      {"@onAccent", t.onAccent},
      {"@key", t.key},
      {"@flagButton", t.flagButton},
      {"@onFlag", t.onFlag},
      {"@flag", t.flag},
      {"@bad", t.bad},
  };
  QString sheet = QString::fromLatin1(kSheet);
  for (const auto& [name, color] : names) {
    sheet.replace(QString::fromLatin1(name), color.name());
  }
  return sheet;
}

}  // namespace headscope::ui
