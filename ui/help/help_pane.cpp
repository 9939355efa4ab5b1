#include "ui/help/help_pane.h"

#include <QComboBox>
#include <QDesktopServices>
#include <QDir>
#include <QFileInfo>
#include <QImage>
#include <QScrollBar>
#include <QSignalBlocker>
#include <QTextBlock>
#include <QTextBrowser>
#include <QTextCursor>
#include <QTextDocument>
#include <QTextFragment>
#include <QTextImageFormat>
#include <QTimer>
#include <QUrl>
#include <QVBoxLayout>
#include <algorithm>

#include "core/base/error.h"
#include "ui/style/theme.h"
#include "ui/window/resource_folder.h"

namespace headscope::ui {
namespace {

QString pagePath(const QString& page) {
  return resourcePath(QStringLiteral("help/%1.md").arg(page));
}

/// The first heading of a page.
QString pageTitle(const QString& page) {
  try {
    for (const QString& line : readTextFile(pagePath(page)).split(QLatin1Char('\n'))) {
      if (line.startsWith(QStringLiteral("# "))) {
        return line.mid(2).trimmed();
      }
    }
  } catch (const Error&) {
    return page;
  }
  return page;
}

}  // namespace

QStringList HelpPane::pages() {
  const QStringList wanted{QStringLiteral("window"),     QStringLiteral("keys"),    QStringLiteral("scores"),
                           QStringLiteral("similarity"), QStringLiteral("cases"),   QStringLiteral("rope_lens"),
                           QStringLiteral("bounds"),     QStringLiteral("pooling"), QStringLiteral("masks")};
  QStringList found;
  for (const QString& page : wanted) {
    if (!pagePath(page).isEmpty()) {
      found.append(page);
    }
  }
  const QDir folder(resourcePath(QStringLiteral("help")));
  for (const QFileInfo& info : folder.entryInfoList({QStringLiteral("*.md")}, QDir::Files, QDir::Name)) {
    if (!found.contains(info.completeBaseName())) {
      found.append(info.completeBaseName());
    }
  }
  return found;
}

HelpPane::HelpPane(QWidget* parent) : QWidget(parent), choice_(new QComboBox(this)), browser_(new QTextBrowser(this)) {
  setObjectName(QStringLiteral("helpPane"));
  choice_->setAccessibleName(tr("Help page"));
  for (const QString& page : pages()) {
    choice_->addItem(pageTitle(page), page);
  }
  browser_->setOpenLinks(false);
  browser_->setSearchPaths({resourcePath(QStringLiteral("help"))});
  browser_->setFrameShape(QFrame::NoFrame);
  browser_->setAccessibleName(tr("Help"));
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(2 * kSpacing, 0, 2 * kSpacing, 2 * kSpacing);
  column->setSpacing(kSpacing);
  column->addWidget(choice_);
  column->addWidget(browser_, 1);
  connect(choice_, &QComboBox::activated, this, [this] { open(choice_->currentData().toString()); });
  connect(browser_, &QTextBrowser::anchorClicked, this, [this](const QUrl& url) {
    if (url.scheme().startsWith(QLatin1String("http"))) {
      QDesktopServices::openUrl(url);
    } else if (url.fileName().endsWith(QLatin1String(".md"))) {
      open(url.fileName().chopped(3), url.fragment());
    }
  });
  connect(&Appearance::instance(), &Appearance::changed, this, [this] {
    if (!page_.isEmpty()) {
      open(page_);
    }
  });
}

void HelpPane::open(const QString& page, const QString& topic) {
  page_ = page;
  QString text;
  try {
    text = readTextFile(pagePath(page));
  } catch (const Error& error) {
    text = tr("# Help is missing\n\nThe page “%1” can't be read: %2").arg(page, QString::fromUtf8(error.what()));
  }
  browser_->document()->setDefaultFont(textFont());
  browser_->setMarkdown(text);
  fitPictures();
  const QSignalBlocker blocker(choice_);
  choice_->setCurrentIndex(choice_->findData(page));
  if (!topic.isEmpty()) {
    QTimer::singleShot(0, this, [this, topic] { find(topic); });
  }
}

// Pictures (paths are relative to the page) as wide as the pane, not as their file.
void HelpPane::fitPictures() {
  const double room = browser_->viewport()->width() - 2 * browser_->document()->documentMargin() - 2 * kSpacing;
  QTextDocument* document = browser_->document();
  for (QTextBlock block = document->begin(); block.isValid(); block = block.next()) {
    for (auto it = block.begin(); !it.atEnd(); ++it) {
      QTextImageFormat format = it.fragment().charFormat().toImageFormat();
      if (!format.isValid()) {
        continue;
      }
      const QImage picture(QDir(resourcePath(QStringLiteral("help"))).filePath(format.name()));
      const double width = std::min<double>(room, picture.width());
      if (picture.isNull() || qFuzzyCompare(format.width(), width)) {
        continue;
      }
      format.setWidth(width);
      format.setHeight(width * picture.height() / picture.width());
      QTextCursor cursor(document);
      cursor.setPosition(it.fragment().position());
      cursor.setPosition(it.fragment().position() + it.fragment().length(), QTextCursor::KeepAnchor);
      cursor.setCharFormat(format);
      break;  // the block's fragments are new now; the pages have one picture a block
    }
  }
}

void HelpPane::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  fitPictures();
}

// The block that defines the topic: a heading with it, else one that begins with it, else any that names it.
void HelpPane::find(const QString& topic) {
  QString last = topic.section(QLatin1Char('.'), -1);
  const QString spaced = QString(last).replace(QLatin1Char('_'), QLatin1Char(' '));
  QTextBlock best;
  int bestRank = 0;
  for (QTextBlock block = browser_->document()->begin(); block.isValid(); block = block.next()) {
    const QString text = block.text().trimmed();
    int rank = 0;
    for (const QString& word : {topic, last, spaced}) {
      const bool heading = block.blockFormat().headingLevel() > 0;
      if (text.startsWith(word, Qt::CaseInsensitive)) {
        rank = std::max(rank, heading ? 4 : 3);
      } else if (text.contains(word, Qt::CaseInsensitive)) {
        rank = std::max(rank, heading ? 2 : 1);
      }
    }
    if (rank > bestRank) {
      best = block;
      bestRank = rank;
    }
  }
  if (best.isValid()) {
    QTextCursor cursor(best);
    cursor.select(QTextCursor::BlockUnderCursor);
    browser_->setTextCursor(cursor);
    browser_->verticalScrollBar()->setValue(browser_->verticalScrollBar()->value() + browser_->cursorRect().top() -
                                            2 * kSpacing);
  }
}

}  // namespace headscope::ui
