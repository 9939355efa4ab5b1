#pragma once

// Every action of the window, once: menus, keys and the command field are made from this one list.

#include <QAction>
#include <QHash>
#include <QObject>
#include <QString>
#include <QStringList>
#include <functional>
#include <vector>

class QMenu;

namespace headscope::ui {

/// One line of the list.
struct ActionSpec {
  const char* name;  ///< "save-session"
  const char* menu;  ///< "File"; a name that starts with "-" puts a separator before
  const char* text;  ///< with "&" and "…"
  const char* keys;  ///< alternatives separated by spaces; the first is shown
  /// Keys that other widgets need too (arrows, Space) are shown here but handled where they arrive unused.
  bool shownOnly = false;
  const char* icon = "";
  bool checkable = false;
  const char* help = "";  ///< one line for the keys page and the status tip
};

const std::vector<ActionSpec>& actionSpecs();

class Actions : public QObject {
  Q_OBJECT
 public:
  /// `window` gets the actions and so their keys.
  explicit Actions(QWidget* window);

  QAction* operator[](const char* name) const;
  void on(const char* name, const std::function<void()>& slot);
  QList<QAction*> all() const { return order_; }
  QList<QAction*> ofMenu(const QString& menu) const;
  /// Menus in their order, with their actions.
  QStringList menus() const;

  static QString keysOf(const QAction* action);  ///< "Ctrl+S", "Space"
  static QString textOf(const QAction* action);  ///< without "&"

 private:
  QHash<QString, QAction*> byName_;
  QList<QAction*> order_;
};

}  // namespace headscope::ui
