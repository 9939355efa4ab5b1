#pragma once

// What the centre shows while there is no map: how to open a model, or what to run with the one that is open.

#include <QWidget>

#include "ui/session/session.h"

class QLabel;
class QProgressBar;
class QStackedWidget;
class QVBoxLayout;

namespace headscope::ui {

class StartPage : public QWidget {
  Q_OBJECT
 public:
  explicit StartPage(Session* session, QWidget* parent = nullptr);

  void setRecent(const QStringList& paths);
  /// Something is being opened or run; empty: no longer.
  void setBusy(const QString& words, double fraction = -1);
  void setDropping(bool dropping);  ///< a file hovers over the window

 Q_SIGNALS:
  void demoAsked();
  void galleryAsked();
  void fileAsked();
  void folderAsked();
  void pathAsked(QString path);
  void sampleAsked(QString path);
  void promptAsked();

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QWidget* buildOpenPage();
  QWidget* buildRunPage();
  void refresh();

  Session* session_;
  QStackedWidget* stack_;
  QVBoxLayout* recent_ = nullptr;
  QLabel* recentTitle_ = nullptr;
  QLabel* runTitle_ = nullptr;
  QLabel* busy_;
  QProgressBar* progress_;
  bool dropping_ = false;
};

}  // namespace headscope::ui
