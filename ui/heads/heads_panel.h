#pragma once

// The left dock: one line to sort, colour and filter, the wall, and the legend of its colours.

#include <QWidget>

#include "ui/heads/heads_wall.h"

class QLabel;
class QLineEdit;
class QToolButton;

namespace headscope::ui {

/// The colours in force, with the values at both ends.
class WallLegend : public QWidget {
  Q_OBJECT
 public:
  explicit WallLegend(QWidget* parent = nullptr);
  void setScale(const QString& words, const QString& low, const QString& high, const QString& colorMap);
  QString words() const { return words_; }
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString words_, low_, high_, colorMap_;
};

class HeadsPanel : public QWidget {
  Q_OBJECT
 public:
  HeadsPanel(Engine* engine, Session* session, QWidget* parent = nullptr);

  HeadsWall* wall() const { return wall_; }
  QLineEdit* filterField() const { return filter_; }
  QString countWords() const;  ///< "270 · 3 flagged", "12 of 270 · 3 flagged"
  const ScoreTable& scores() const { return scores_; }

  void setSortBy(std::optional<int> metric);
  void setColorBy(std::optional<int> metric);

 Q_SIGNALS:
  void countChanged();
  void helpAsked(QString page, QString topic);

 private:
  QToolButton* choiceButton(const QString& name);
  void fillMenu(QToolButton* button, const QString& first, void (HeadsPanel::*chosen)(std::optional<int>));
  void showChoices();
  void updateLegend();
  void reportChanged();

  Session* session_;
  ScoreTable scores_;
  HeadsWall* wall_;
  QToolButton* sort_;
  QToolButton* color_;
  QLineEdit* filter_;
  QLabel* problem_;
  WallLegend* legend_;
};

}  // namespace headscope::ui
