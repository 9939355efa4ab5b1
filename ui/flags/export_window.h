#pragma once

// Chooses how the flags leave: format, axis, rule. Not modal; says axis and direction before anything is written.

#include <QDialog>

#include "ui/flags/mask_exchange.h"

class QComboBox;
class QLabel;
class QPushButton;

namespace headscope::ui {

class MessageBar;

class ExportWindow : public QDialog {
  Q_OBJECT
 public:
  explicit ExportWindow(Session* session, QWidget* parent = nullptr);

  void setScores(const ScoreTable& scores) { scores_ = scores; }
  QComboBox* formatChoice() const { return format_; }
  QComboBox* axisChoice() const { return axis_; }
  QString effectWords() const;
  MaskExport wanted() const;
  void saveTo(const QString& path);

 Q_SIGNALS:
  void saved(QString path);

 private:
  void refresh();
  void choosePath();

  Session* session_;
  ScoreTable scores_;
  MessageBar* messages_;
  QComboBox* format_;
  QComboBox* axis_;
  QComboBox* rule_;
  QLabel* meaning_;
  QLabel* effect_;
  QPushButton* save_;
};

}  // namespace headscope::ui
