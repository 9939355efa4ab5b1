#pragma once

// A dock with a title line of our own: title, a quiet remark, float and close. Panels are told apart by their ground.

#include <QDockWidget>

class QHBoxLayout;
class QLabel;

namespace headscope::ui {

class Dock : public QDockWidget {
  Q_OBJECT
 public:
  /// `name`: unique objectName, which saveState() needs.
  Dock(const QString& name, const QString& title, QWidget* content, QWidget* parent);

  void setRemark(const QString& text);
  QString remark() const;
  /// Puts a widget (tabs) in the place of the title.
  void setTitleContent(QWidget* widget);

 private:
  QLabel* title_;
  QLabel* remark_;
  QHBoxLayout* row_;
};

}  // namespace headscope::ui
