#include "ui/window/start_page.h"

#include <QDir>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QProgressBar>
#include <QPushButton>
#include <QStackedWidget>
#include <QVBoxLayout>

#include "core/base/error.h"
#include "ui/style/theme.h"
#include "ui/window/line_icon.h"
#include "ui/window/prompt_field.h"
#include "ui/window/resource_folder.h"

namespace headscope::ui {
namespace {

constexpr int kColumnWidth = 520;
constexpr int kMostRecent = 6;
constexpr int kMostSamples = 3;

QPushButton* bigButton(const QString& icon, const QString& text, const char* look, QWidget* parent) {
  auto* button = new QPushButton(lineIcon(icon), text, parent);
  button->setAutoDefault(false);
  setLook(button, look);
  return button;
}

QLabel* label(const QString& text, const char* look, QWidget* parent) {
  auto* made = new QLabel(text, parent);
  made->setWordWrap(true);
  setLook(made, look);
  return made;
}

/// A column of fixed width in the middle of the page.
QVBoxLayout* centredColumn(QWidget* page) {
  auto* inner = new QWidget(page);
  inner->setMaximumWidth(kColumnWidth);
  inner->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  auto* column = new QVBoxLayout(inner);
  column->setSpacing(2 * kSpacing);
  auto* row = new QHBoxLayout(page);
  row->setContentsMargins(6 * kSpacing, 6 * kSpacing, 6 * kSpacing, 6 * kSpacing);
  row->addStretch(1);
  row->addWidget(inner, 100, Qt::AlignVCenter);
  row->addStretch(1);
  return column;
}

QString firstLine(const QString& path) {
  try {
    return readTextFile(path).simplified().left(160);
  } catch (const Error& error) {
    return QString::fromUtf8(error.what());
  }
}

}  // namespace

StartPage::StartPage(Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      stack_(new QStackedWidget(this)),
      busy_(new QLabel(this)),
      progress_(new QProgressBar(this)) {
  setObjectName(QStringLiteral("startPage"));
  stack_->addWidget(buildOpenPage());
  stack_->addWidget(buildRunPage());
  busy_->setAlignment(Qt::AlignCenter);
  setLook(busy_, "muted");
  progress_->setTextVisible(false);
  progress_->setMaximumWidth(280);
  progress_->setRange(0, 1000);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(2 * kSpacing, 2 * kSpacing, 2 * kSpacing, 6 * kSpacing);
  column->addWidget(stack_, 1);
  column->addWidget(busy_);
  column->addWidget(progress_, 0, Qt::AlignHCenter);
  setBusy(QString());
  connect(session_, &Session::modelChanged, this, &StartPage::refresh);
  connect(session_, &Session::captureChanged, this, &StartPage::refresh);
  refresh();
}

QWidget* StartPage::buildOpenPage() {
  auto* page = new QWidget(this);
  QVBoxLayout* column = centredColumn(page);
  column->addWidget(label(tr("Which heads look back, which retrieve, what may go?"), "title", page));
  column->addWidget(label(tr("Open a model and run a text: every head of every layer becomes a map, exact down to the "
                             "single token."),
                          "muted", page));
  auto* demo = bigButton(QStringLiteral("demo"), tr("Demo model"), "primary", page);
  auto* file = bigButton(QStringLiteral("file"), tr("Open file…"), "", page);
  auto* folder = bigButton(QStringLiteral("open"), tr("Open model folder…"), "", page);
  demo->setToolTip(tr("The small model that comes with Headscope"));
  file->setToolTip(tr("A .gguf model, a capture, a session (Ctrl+O)"));
  folder->setToolTip(tr("A Hugging Face folder (Ctrl+Shift+O)"));
  auto* buttons = new QHBoxLayout;
  for (QPushButton* button : {demo, file, folder}) {
    buttons->addWidget(button);
  }
  buttons->addStretch(1);
  auto* gallery =
      bigButton(QStringLiteral("similar"), tr("No model at hand? See a gallery of constructed heads"), "link", page);
  gallery->setToolTip(tr("One head for each of TAPPA's cases, built from its theorem (Ctrl+Shift+G)"));
  column->addSpacing(2 * kSpacing);
  column->addLayout(buttons);
  column->addWidget(
      label(tr("… or drop a model folder, a .gguf file, a capture, a session or a text anywhere on this window."),
            "small", page));
  column->addWidget(gallery, 0, Qt::AlignLeft);
  recentTitle_ = label(tr("Recent"), "heading", page);
  column->addSpacing(4 * kSpacing);
  column->addWidget(recentTitle_);
  recent_ = new QVBoxLayout;
  recent_->setSpacing(0);
  column->addLayout(recent_);
  connect(gallery, &QPushButton::clicked, this, &StartPage::galleryAsked);
  connect(demo, &QPushButton::clicked, this, &StartPage::demoAsked);
  connect(file, &QPushButton::clicked, this, &StartPage::fileAsked);
  connect(folder, &QPushButton::clicked, this, &StartPage::folderAsked);
  return page;
}

QWidget* StartPage::buildRunPage() {
  auto* page = new QWidget(this);
  QVBoxLayout* column = centredColumn(page);
  runTitle_ = label(QString(), "title", page);
  column->addWidget(runTitle_);
  column->addWidget(
      label(tr("Type a prompt above (Ctrl+L) and run it (Ctrl+Return), or take one of these:"), "muted", page));
  column->addSpacing(2 * kSpacing);
  int shown = 0;
  for (const SampleText& sample : sampleTexts()) {
    if (shown++ == kMostSamples) {
      break;
    }
    auto* button = bigButton(QStringLiteral("text"), sample.name, "", page);
    button->setStyleSheet(QStringLiteral("text-align: left;"));
    button->setToolTip(tr("Run this text"));
    column->addWidget(button);
    QLabel* preview = label(firstLine(sample.path) + QStringLiteral(" …"), "small", page);
    column->addWidget(preview);
    column->addSpacing(kSpacing);
    connect(button, &QPushButton::clicked, this, [this, path = sample.path] { Q_EMIT sampleAsked(path); });
  }
  auto* own = bigButton(QStringLiteral("text"), tr("Write a prompt"), "link", page);
  column->addWidget(own, 0, Qt::AlignLeft);
  connect(own, &QPushButton::clicked, this, &StartPage::promptAsked);
  return page;
}

void StartPage::refresh() {
  const auto model = session_->model();
  stack_->setCurrentIndex(model ? 1 : 0);
  if (model) {
    runTitle_->setText(tr("%1 is ready").arg(QString::fromStdString(model->name)));
  }
}

void StartPage::setRecent(const QStringList& paths) {
  while (QLayoutItem* item = recent_->takeAt(0)) {
    item->widget()->deleteLater();
    delete item;
  }
  for (const QString& path : paths.mid(0, kMostRecent)) {
    const QFileInfo info(path);
    auto* button = bigButton(QStringLiteral("recent"),
                             info.fileName() + QStringLiteral("   ") + QDir::toNativeSeparators(info.absolutePath()),
                             "link", this);
    button->setStyleSheet(QStringLiteral("text-align: left;"));
    button->setToolTip(path);
    recent_->addWidget(button);
    connect(button, &QPushButton::clicked, this, [this, path] { Q_EMIT pathAsked(path); });
  }
  recentTitle_->setVisible(!paths.isEmpty());
}

void StartPage::setBusy(const QString& words, double fraction) {
  busy_->setText(words);
  progress_->setVisible(!words.isEmpty());
  progress_->setRange(0, fraction < 0 ? 0 : 1000);
  progress_->setValue(static_cast<int>(1000 * fraction));
  stack_->setEnabled(words.isEmpty());
}

void StartPage::setDropping(bool dropping) {
  dropping_ = dropping;
  update();
}

void StartPage::paintEvent(QPaintEvent*) {
  if (session_->model() && !dropping_) {
    return;
  }
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  QPen pen(dropping_ ? theme().accent : theme().line, dropping_ ? 2 : 1);
  pen.setDashPattern({6, 5});
  painter.setPen(pen);
  painter.drawRoundedRect(QRectF(rect()).adjusted(8.5, 8.5, -8.5, -8.5), 8, 8);
}

}  // namespace headscope::ui
