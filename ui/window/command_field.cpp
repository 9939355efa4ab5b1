#include "ui/window/command_field.h"

#include <QFrame>
#include <QKeyEvent>
#include <QListWidget>
#include <QPainter>
#include <QRegularExpression>
#include <QStyledItemDelegate>
#include <QVBoxLayout>
#include <algorithm>

#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr std::size_t kMostShown = 12;
constexpr int kPopupWidth = 440;
constexpr int kDetailRole = Qt::UserRole, kKeysRole = Qt::UserRole + 1;

/// Text at the left, where it belongs in grey behind it, keys at the right.
class CommandDelegate : public QStyledItemDelegate {
 public:
  using QStyledItemDelegate::QStyledItemDelegate;

  QSize sizeHint(const QStyleOptionViewItem&, const QModelIndex&) const override {
    return {100, QFontMetrics(textFont()).height() + 2 * kSpacing};
  }
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override {
    const Theme& t = theme();
    if (option.state & (QStyle::State_Selected | QStyle::State_MouseOver)) {
      painter->fillRect(option.rect, t.hover);
    }
    const QRect line = option.rect.adjusted(2 * kSpacing, 0, -2 * kSpacing, 0);
    const QFontMetrics metrics(textFont());
    const QString keys = index.data(kKeysRole).toString();
    const int keysWidth = keys.isEmpty() ? 0 : metrics.horizontalAdvance(keys) + 3 * kSpacing;
    const QString text =
        metrics.elidedText(index.data(Qt::DisplayRole).toString(), Qt::ElideRight, line.width() - keysWidth - 60);
    painter->setFont(textFont());
    painter->setPen(t.text);
    painter->drawText(line, Qt::AlignLeft | Qt::AlignVCenter, text);
    painter->setPen(t.muted);
    painter->drawText(line, Qt::AlignRight | Qt::AlignVCenter, keys);
    painter->setFont(smallFont());
    painter->drawText(line.adjusted(metrics.horizontalAdvance(text) + 3 * kSpacing, 0, -keysWidth, 0),
                      Qt::AlignLeft | Qt::AlignVCenter, index.data(kDetailRole).toString());
  }
};

}  // namespace

int matchScore(const QString& typed, const QString& text) {
  int score = 1;
  for (const QString& word : typed.split(QRegularExpression(QStringLiteral("\\s+")), Qt::SkipEmptyParts)) {
    const auto at = text.indexOf(word, 0, Qt::CaseInsensitive);
    if (at < 0) {
      return 0;
    }
    if (at == 0) {
      score += 8;
    } else if (!text[at - 1].isLetterOrNumber()) {
      score += 4;
    } else {
      const QRegularExpression start(QStringLiteral("\\b") + QRegularExpression::escape(word),
                                     QRegularExpression::CaseInsensitiveOption);
      score += start.match(text).hasMatch() ? 4 : 1;
    }
  }
  return score;
}

CommandField::CommandField(QWidget* parent) : QLineEdit(parent), popup_(nullptr), list_(nullptr) {
  setObjectName(QStringLiteral("commandField"));
  setPlaceholderText(tr("Go to, filter, run a command   Ctrl+K"));
  setAccessibleName(tr("Command field"));
  setClearButtonEnabled(false);
  connect(this, &QLineEdit::textChanged, this, [this] {
    if (hasFocus()) {
      refresh();
    }
  });
}

void CommandField::start(const QString& text) {
  setText(text);
  setFocus(Qt::ShortcutFocusReason);
  text.isEmpty() ? selectAll() : end(false);
  refresh();
}

QStringList CommandField::shownTexts() const {
  QStringList texts;
  for (const Command& command : commands_) {
    texts.append(command.text);
  }
  return texts;
}

// A child of the window rather than a window: the keyboard stays in the field on every platform.
void CommandField::placePopup() {
  if (popup_ == nullptr) {
    popup_ = new QFrame(window());
    popup_->setObjectName(QStringLiteral("commandPopup"));
    list_ = new QListWidget(popup_);
    list_->setItemDelegate(new CommandDelegate(list_));
    list_->setFocusPolicy(Qt::NoFocus);
    list_->setMouseTracking(true);
    list_->setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    list_->setAccessibleName(tr("Commands"));
    auto* column = new QVBoxLayout(popup_);
    column->setContentsMargins(1, kSpacing, 1, kSpacing);
    column->addWidget(list_);
    connect(list_, &QListWidget::itemClicked, this, [this](QListWidgetItem* item) { choose(list_->row(item)); });
  }
  const Theme& t = theme();
  popup_->setStyleSheet(
      QStringLiteral("QFrame#commandPopup { background: %1; border: 1px solid %2; border-radius: 6px; }"
                     "QListWidget { background: transparent; }")
          .arg(t.field.name(), t.line.name()));
  const int row = QFontMetrics(textFont()).height() + 2 * kSpacing;
  const int height = static_cast<int>(commands_.size()) * row + 2 * kSpacing + 2;
  const int width = std::min(std::max(this->width(), kPopupWidth), window()->width() - 4 * kSpacing);
  const QPoint corner = mapTo(window(), QPoint(this->width() - width, this->height() + kSpacing));
  popup_->setGeometry(std::max(2 * kSpacing, corner.x()), corner.y(), width, height);
}

void CommandField::refresh() {
  commands_ = source_ ? source_(text().trimmed()) : std::vector<Command>{};
  const QString typed = text().trimmed();
  std::vector<std::pair<int, Command>> scored;
  for (Command& command : commands_) {
    const int score = typed.isEmpty() ? 1 : matchScore(typed, command.text + QLatin1Char(' ') + command.detail);
    if (score + command.bonus > 0 && (score > 0 || command.bonus >= 100)) {
      scored.emplace_back(score + command.bonus, std::move(command));
    }
  }
  std::stable_sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  commands_.clear();
  for (auto& [score, command] : scored) {
    if (commands_.size() < kMostShown) {
      commands_.push_back(std::move(command));
    }
  }
  placePopup();
  list_->clear();
  for (const Command& command : commands_) {
    auto* item = new QListWidgetItem(command.text, list_);
    item->setData(kDetailRole, command.detail);
    item->setData(kKeysRole, command.keys);
  }
  list_->setCurrentRow(0);
  popup_->setVisible(!commands_.empty());
  popup_->raise();
}

void CommandField::choose(int row) {
  if (row < 0 || static_cast<std::size_t>(row) >= commands_.size()) {
    return;
  }
  const auto run = commands_[static_cast<std::size_t>(row)].run;
  close();
  if (run) {
    run();
  }
}

void CommandField::close() {
  if (popup_ != nullptr) {
    popup_->hide();
  }
  clear();
  if (hasFocus()) {
    Q_EMIT left();
  }
}

void CommandField::keyPressEvent(QKeyEvent* event) {
  const int rows = static_cast<int>(commands_.size());
  switch (event->key()) {
    case Qt::Key_Down:
    case Qt::Key_Up:
      if (rows > 0 && list_ != nullptr) {
        list_->setCurrentRow((list_->currentRow() + (event->key() == Qt::Key_Down ? 1 : rows - 1)) % rows);
      }
      return;
    case Qt::Key_Return:
    case Qt::Key_Enter:
      choose(list_ != nullptr ? list_->currentRow() : -1);
      return;
    case Qt::Key_Escape:
      close();
      return;
    default:
      QLineEdit::keyPressEvent(event);
  }
}

void CommandField::focusInEvent(QFocusEvent* event) {
  QLineEdit::focusInEvent(event);
  refresh();
}

void CommandField::focusOutEvent(QFocusEvent* event) {
  QLineEdit::focusOutEvent(event);
  if (popup_ != nullptr && event->reason() != Qt::ActiveWindowFocusReason) {
    popup_->hide();
  }
}

}  // namespace headscope::ui
