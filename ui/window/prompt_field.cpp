#include "ui/window/prompt_field.h"

#include <QApplication>
#include <QDir>
#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QPainter>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QRegularExpression>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"
#include "ui/window/line_icon.h"
#include "ui/window/resource_folder.h"

namespace headscope::ui {
namespace {

constexpr int kSheetHeight = 190;
constexpr int kSheetWidth = 560;

}  // namespace

std::vector<SampleText> sampleTexts() {
  std::vector<SampleText> samples;
  const QDir folder(resourcePath(QStringLiteral("texts")));
  for (const QFileInfo& info : folder.entryInfoList({QStringLiteral("*.txt")}, QDir::Files, QDir::Name)) {
    QString name = info.completeBaseName();
    name.remove(QRegularExpression(QStringLiteral("^\\d+-")));
    name.replace(QLatin1Char('-'), QLatin1Char(' '));
    name[0] = name[0].toUpper();
    samples.push_back({name, info.absoluteFilePath()});
  }
  return samples;
}

PromptField::PromptField(Session* session, QWidget* parent)
    : QWidget(parent), session_(session), load_(new QToolButton(this)) {
  setObjectName(QStringLiteral("promptField"));
  setFocusPolicy(Qt::StrongFocus);
  setCursor(Qt::IBeamCursor);
  setAccessibleName(tr("Prompt"));
  setMinimumWidth(140);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  load_->setIcon(lineIcon(QStringLiteral("open")));
  load_->setCursor(Qt::ArrowCursor);
  load_->setFocusPolicy(Qt::NoFocus);
  load_->setToolTip(tr("Load prompt from file (Ctrl+T)"));
  load_->setAccessibleName(load_->toolTip());
  setLook(load_, "link");
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(0, 0, 2, 0);
  row->addStretch(1);
  row->addWidget(load_);
  connect(load_, &QToolButton::clicked, this, &PromptField::loadAsked);
  connect(session_, &Session::promptChanged, this, [this] {
    if (editing() && editor_->toPlainText() != session_->prompt()) {
      editor_->setPlainText(session_->prompt());
    }
    setAccessibleDescription(session_->prompt().left(200));
    setToolTip(session_->prompt().left(600));
    update();
  });
  connect(&Appearance::instance(), &Appearance::changed, this, [this] { update(); });
}

QSize PromptField::sizeHint() const {
  return {280, QFontMetrics(textFont()).height() + 4 * kSpacing};
}

void PromptField::paintEvent(QPaintEvent*) {
  const Theme& t = theme();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(hasFocus() || editing() ? t.accent : t.line);
  painter.setBrush(t.field);
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4);
  painter.setFont(textFont());
  QString line = session_->prompt();
  painter.setPen(line.isEmpty() ? t.muted : t.text);
  if (line.isEmpty()) {
    line = tr("Type a prompt");
  }
  line.truncate(400);
  line.replace(QLatin1Char('\n'), QStringLiteral(" ⏎ "));
  const QRect room = rect().adjusted(2 * kSpacing, 0, -load_->width() - kSpacing, 0);
  painter.drawText(room, Qt::AlignLeft | Qt::AlignVCenter,
                   QFontMetrics(textFont()).elidedText(line, Qt::ElideRight, room.width()));
}

void PromptField::buildSheet() {
  sheet_ = new QFrame(window());
  sheet_->setObjectName(QStringLiteral("promptSheet"));
  editor_ = new QPlainTextEdit(sheet_);
  editor_->setObjectName(QStringLiteral("promptEditor"));
  editor_->setAccessibleName(tr("Prompt"));
  editor_->setPlaceholderText(tr("The text that the model reads"));
  editor_->setTabChangesFocus(true);
  editor_->installEventFilter(this);
  count_ = new QLabel(sheet_);
  setLook(count_, "small");
  auto* bottom = new QHBoxLayout;
  for (const SampleText& sample : sampleTexts()) {
    auto* button = new QPushButton(sample.name, sheet_);
    setLook(button, "link");
    button->setAutoDefault(false);
    button->setFocusPolicy(Qt::NoFocus);
    bottom->addWidget(button);
    connect(button, &QPushButton::clicked, this, [this, path = sample.path] { Q_EMIT loadFileAsked(path); });
  }
  bottom->addStretch(1);
  bottom->addWidget(count_);
  auto* run = new QPushButton(tr("Run  Ctrl+⏎"), sheet_);
  setLook(run, "primary");
  run->setAutoDefault(false);
  run->setFocusPolicy(Qt::NoFocus);
  bottom->addWidget(run);
  auto* column = new QVBoxLayout(sheet_);
  column->setContentsMargins(2 * kSpacing, 2 * kSpacing, 2 * kSpacing, 2 * kSpacing);
  column->setSpacing(2 * kSpacing);
  column->addWidget(editor_, 1);
  column->addLayout(bottom);
  connect(run, &QPushButton::clicked, this, [this] {
    close();
    Q_EMIT runAsked();
  });
  connect(editor_, &QPlainTextEdit::textChanged, this, &PromptField::countCharacters);
  connect(qApp, &QApplication::focusChanged, this, [this](QWidget*, QWidget* now) {
    if (editing() && now != nullptr && now != editor_ && !sheet_->isAncestorOf(now) && now->window() == window()) {
      close();
    }
  });
}

void PromptField::place() {
  const Theme& t = theme();
  sheet_->setStyleSheet(
      QStringLiteral("QFrame#promptSheet { background: %1; border: 1px solid %2; border-radius: 6px; }")
          .arg(t.panel.name(), t.accent.name()));
  const int width = std::min(std::max(this->width(), kSheetWidth), window()->width() - 4 * kSpacing);
  const QPoint corner = mapTo(window(), QPoint(0, height() + kSpacing));
  const int left = std::max(2 * kSpacing, std::min(corner.x(), window()->width() - width - 2 * kSpacing));
  sheet_->setGeometry(left, corner.y(), width, kSheetHeight);
}

void PromptField::edit() {
  if (sheet_ == nullptr) {
    buildSheet();
  }
  editor_->setPlainText(session_->prompt());
  place();
  sheet_->show();
  sheet_->raise();
  editor_->setFocus();
  editor_->selectAll();
  update();
}

bool PromptField::editing() const {
  return sheet_ != nullptr && sheet_->isVisible();
}

void PromptField::commit() {
  if (editing()) {
    session_->setPrompt(editor_->toPlainText());
  }
}

void PromptField::close() {
  if (editing()) {
    commit();
    const bool hadFocus = editor_->hasFocus();
    sheet_->hide();
    update();
    if (hadFocus) {
      Q_EMIT left();
    }
  }
}

void PromptField::countCharacters() {
  count_->setText(tr("%1 characters").arg(formatCount(editor_->document()->characterCount() - 1)));
}

void PromptField::mousePressEvent(QMouseEvent*) {
  editing() ? close() : edit();
}

void PromptField::keyPressEvent(QKeyEvent* event) {
  const bool typed = !event->text().isEmpty() && event->text()[0].isPrint() &&
                     !(event->modifiers() & (Qt::ControlModifier | Qt::AltModifier));
  if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter || event->key() == Qt::Key_F2) {
    edit();
  } else if (typed) {
    edit();
    editor_->setPlainText(event->text());
    editor_->moveCursor(QTextCursor::End);
  } else {
    QWidget::keyPressEvent(event);
  }
}

void PromptField::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  if (editing()) {
    place();
  }
}

void PromptField::focusInEvent(QFocusEvent* event) {
  QWidget::focusInEvent(event);
  update();
}

void PromptField::focusOutEvent(QFocusEvent* event) {
  QWidget::focusOutEvent(event);
  update();
}

bool PromptField::eventFilter(QObject* watched, QEvent* event) {
  if (watched == editor_ && (event->type() == QEvent::KeyPress || event->type() == QEvent::ShortcutOverride)) {
    auto* key = static_cast<QKeyEvent*>(event);
    const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    const bool run = enter && (key->modifiers() & Qt::ControlModifier);
    if (run || key->key() == Qt::Key_Escape) {
      event->accept();
      if (event->type() == QEvent::KeyPress) {
        close();
        if (run) {
          Q_EMIT runAsked();
        }
      }
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace headscope::ui
