#include "ui/window/message_bar.h"

#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/style/theme.h"
#include "ui/window/line_icon.h"

namespace headscope::ui {

MessageBar::MessageBar(QWidget* parent)
    : QWidget(parent),
      frame_(new QFrame(this)),
      icon_(new QLabel(this)),
      text_(new QLabel(this)),
      kept_(new QLabel(this)),
      button_(new QPushButton(this)) {
  setObjectName(QStringLiteral("messageBar"));
  for (QLabel* label : {text_, kept_}) {
    label->setWordWrap(true);
    label->setTextFormat(Qt::PlainText);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    label->setMinimumWidth(40);
  }
  setLook(kept_, "muted");
  auto* close = new QToolButton(this);
  close->setIcon(lineIcon(QStringLiteral("close")));
  close->setToolTip(tr("Dismiss"));
  close->setAccessibleName(tr("Dismiss message"));

  auto* texts = new QVBoxLayout;
  texts->setSpacing(0);
  texts->addWidget(text_);
  texts->addWidget(kept_);
  auto* row = new QHBoxLayout(frame_);
  row->setContentsMargins(2 * kSpacing, kSpacing, kSpacing, kSpacing);
  row->setSpacing(2 * kSpacing);
  row->addWidget(icon_, 0, Qt::AlignTop);
  row->addLayout(texts, 1);
  row->addWidget(button_, 0, Qt::AlignVCenter);
  row->addWidget(close, 0, Qt::AlignVCenter);
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(2 * kSpacing, 2 * kSpacing, 2 * kSpacing, 0);
  outer->addWidget(frame_);

  connect(close, &QToolButton::clicked, this, &MessageBar::dismiss);
  connect(button_, &QPushButton::clicked, this, [this] {
    const auto action = message_.action;
    dismiss();
    if (action) {
      action();
    }
  });
  connect(&Appearance::instance(), &Appearance::changed, this, &MessageBar::restyle);
  hide();
}

void MessageBar::show(const BarMessage& message) {
  message_ = message;
  text_->setText(message.text);
  kept_->setText(message.kept);
  kept_->setVisible(!message.kept.isEmpty());
  button_->setText(message.buttonText);
  button_->setVisible(!message.buttonText.isEmpty());
  setAccessibleName(message.text);
  restyle();
  setVisible(true);
}

void MessageBar::dismiss() {
  hide();
}

QString MessageBar::text() const {
  return isHidden() ? QString() : message_.text;
}

void MessageBar::restyle() {
  setLook(frame_, message_.error ? "errorBar" : "bar");
  icon_->setPixmap(linePixmap(message_.error ? QStringLiteral("warning") : QStringLiteral("info"), 16,
                              message_.error ? theme().bad : theme().muted, devicePixelRatioF()));
}

}  // namespace headscope::ui
