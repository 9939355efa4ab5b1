#pragma once

// A titled part of the Head panel. Collapses, remembers it, and its "?" opens the definition of what it shows.

#include <QWidget>

class QHBoxLayout;
class QLabel;
class QToolButton;
class QVBoxLayout;

namespace headscope::ui {

class Section : public QWidget {
  Q_OBJECT
 public:
  /// `name` is the key under which the settings keep whether it is open. `page`, `topic`: help; no "?" without page.
  Section(const QString& name, const QString& title, const QString& page, const QString& topic,
          QWidget* parent = nullptr);

  void add(QWidget* widget);
  void addToTitle(QWidget* widget);  ///< right of the title
  void setRemark(const QString& text, const QString& tip = {});
  bool expanded() const { return expanded_; }
  void setExpanded(bool expanded);

 Q_SIGNALS:
  void helpAsked(QString page, QString topic);

 private:
  QString name_;
  QToolButton* toggle_;
  QLabel* remark_;
  QWidget* body_;
  QVBoxLayout* column_;
  QHBoxLayout* titleRow_;
  bool expanded_ = true;
};

/// The small "?" itself.
QToolButton* helpButton(const QString& what, QWidget* parent);

}  // namespace headscope::ui
