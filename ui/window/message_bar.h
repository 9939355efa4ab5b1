#pragma once

// What went wrong (or is worth knowing) in one zone: a line at the top of it, with what failed, what was kept, and one
// button that helps. Never a dialog.

#include <QString>
#include <QWidget>
#include <functional>

class QLabel;
class QPushButton;

namespace headscope::ui {

struct BarMessage {
  QString text;        ///< what failed, in which file
  QString kept;        ///< what was kept; may be empty
  QString buttonText;  ///< may be empty: no button
  std::function<void()> action;
  bool error = true;  ///< false: a quiet remark
};

class MessageBar : public QWidget {
  Q_OBJECT
 public:
  explicit MessageBar(QWidget* parent = nullptr);

  void show(const BarMessage& message);
  void dismiss();
  QString text() const;
  QPushButton* button() const { return button_; }

 private:
  void restyle();

  BarMessage message_;
  QWidget* frame_;
  QLabel* icon_;
  QLabel* text_;
  QLabel* kept_;
  QPushButton* button_;
};

}  // namespace headscope::ui
