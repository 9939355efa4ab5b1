#pragma once

// The one row above everything: model, prompt, Run/Stop with progress, value, pooling, colours, command field.

#include <QPushButton>
#include <QWidget>

#include "ui/session/session.h"

class QHBoxLayout;
class QMenu;
class QToolButton;

namespace headscope::ui {

class CommandField;
class ModelChip;
class PromptField;

/// Run while nothing runs, Stop with a line of progress while something does.
class RunButton : public QPushButton {
  Q_OBJECT
 public:
  explicit RunButton(QWidget* parent = nullptr);
  void setRunning(bool running);
  void setProgress(double fraction, const QString& words);  ///< −1: unknown
  bool running() const { return running_; }

 Q_SIGNALS:
  void runAsked();
  void stopAsked();

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  bool running_ = false;
  double fraction_ = -1;
};

class TopBar : public QWidget {
  Q_OBJECT
 public:
  explicit TopBar(Session* session, QWidget* parent = nullptr);

  ModelChip* chip() const { return chip_; }
  PromptField* prompt() const { return prompt_; }
  RunButton* runButton() const { return run_; }
  CommandField* commandField() const { return command_; }

  // What the keys V, P, C and L do.
  void nextValue();
  void nextPool();
  void nextColorMap();
  void nextScale();

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  QToolButton* choice(QHBoxLayout* row, const QString& name);
  void fillMenus();
  void showStyle();
  void change(const std::function<void(MapStyle&)>& edit);

  Session* session_;
  ModelChip* chip_;
  PromptField* prompt_;
  RunButton* run_;
  QToolButton* value_;
  QToolButton* pool_;
  QToolButton* color_;
  CommandField* command_;
};

}  // namespace headscope::ui
