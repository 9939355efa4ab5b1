#pragma once

// Ctrl+K: one line from which everything can be reached by typing: actions, heads, tokens, filters, recent models.

#include <QLineEdit>
#include <QString>
#include <functional>
#include <vector>

class QFrame;
class QListWidget;

namespace headscope::ui {

struct Command {
  QString text;    ///< "Save session"
  QString detail;  ///< "File", "head", …
  QString keys;    ///< "Ctrl+S"
  std::function<void()> run;
  int bonus = 0;  ///< lifts it over equally good matches
};

/// How well `text` fits what was typed: 0 = not at all; every word must occur, beginnings of words count more.
int matchScore(const QString& typed, const QString& text);

class CommandField : public QLineEdit {
  Q_OBJECT
 public:
  using Source = std::function<std::vector<Command>(const QString& typed)>;

  explicit CommandField(QWidget* parent = nullptr);

  void setSource(Source source) { source_ = std::move(source); }
  void start(const QString& text = {});
  QStringList shownTexts() const;  ///< of the list, best first

 Q_SIGNALS:
  void left();  ///< the keyboard should go back to the map

 protected:
  void keyPressEvent(QKeyEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;

 private:
  void refresh();
  void placePopup();
  void choose(int row);
  void close();

  Source source_;
  QFrame* popup_;
  QListWidget* list_;
  std::vector<Command> commands_;
};

}  // namespace headscope::ui
