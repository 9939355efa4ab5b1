#pragma once

// The Flags tab: the table of flagged heads with its buttons, and messages about masks.

#include <QWidget>

#include "ui/heads/metrics.h"
#include "ui/session/session.h"

class QLabel;
class QPushButton;
class QSortFilterProxyModel;
class QTableView;

namespace headscope::ui {

class FlagsModel;
class MessageBar;

class FlagsTable : public QWidget {
  Q_OBJECT
 public:
  explicit FlagsTable(Session* session, QWidget* parent = nullptr);

  void setScores(const ScoreTable& scores);
  QTableView* view() const { return view_; }
  MessageBar* messages() const { return messages_; }
  void unflagSelected();

 Q_SIGNALS:
  void exportAsked();
  void importAsked();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void refresh();

  Session* session_;
  FlagsModel* model_;
  QSortFilterProxyModel* sorted_;
  QTableView* view_;
  MessageBar* messages_;
  QLabel* empty_;
  QPushButton* export_;
  QPushButton* clear_;
};

/// Right of the bottom tabs: the flags in short, what they free, and the way out.
class FlagsSummary : public QWidget {
  Q_OBJECT
 public:
  explicit FlagsSummary(Session* session, QWidget* parent = nullptr);
  QString groupWords() const;

 Q_SIGNALS:
  void exportAsked();

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void refresh();

  Session* session_;
  QLabel* count_;
  QLabel* list_;
  QLabel* groups_;
  QPushButton* export_;
};

}  // namespace headscope::ui
