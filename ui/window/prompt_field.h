#pragma once

// The prompt: one line in the top bar; while it is edited, a sheet of several lines below it. Line ends are kept as
// they are. Ctrl+Return runs, Esc goes back.

#include <QFrame>
#include <QWidget>

#include "ui/session/session.h"

class QHBoxLayout;
class QLabel;
class QPlainTextEdit;
class QToolButton;

namespace headscope::ui {

/// A sample prompt of resources/texts.
struct SampleText {
  QString name;  ///< "Keys and doors"
  QString path;
};
std::vector<SampleText> sampleTexts();

class PromptField : public QWidget {
  Q_OBJECT
 public:
  explicit PromptField(Session* session, QWidget* parent = nullptr);

  void edit();    ///< opens the sheet
  void commit();  ///< the sheet's text becomes the session's prompt
  void close();
  bool editing() const;
  QPlainTextEdit* editor() const { return editor_; }
  QSize sizeHint() const override;

 Q_SIGNALS:
  void runAsked();
  void loadAsked();
  void loadFileAsked(QString path);
  void left();

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void buildSheet();
  void place();
  void countCharacters();

  Session* session_;
  QToolButton* load_;
  QFrame* sheet_ = nullptr;
  QPlainTextEdit* editor_ = nullptr;
  QLabel* count_ = nullptr;
};

}  // namespace headscope::ui
