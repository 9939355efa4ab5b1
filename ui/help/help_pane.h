#pragma once

// Definitions and keys: the Markdown pages of resources/help, opened at the topic that was asked for.

#include <QString>
#include <QStringList>
#include <QWidget>

class QComboBox;
class QTextBrowser;

namespace headscope::ui {

class HelpPane : public QWidget {
  Q_OBJECT
 public:
  explicit HelpPane(QWidget* parent = nullptr);

  /// `page`: file in resources/help without ending. `topic`: text of a heading, bold words or a name in the page.
  void open(const QString& page, const QString& topic = {});
  QString page() const { return page_; }
  QTextBrowser* browser() const { return browser_; }
  static QStringList pages();  ///< those that exist, in reading order

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void find(const QString& topic);
  void fitPictures();

  QComboBox* choice_;
  QTextBrowser* browser_;
  QString page_;
};

}  // namespace headscope::ui
