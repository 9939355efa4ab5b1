#include "ui/head/section.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QSettings>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/style/theme.h"
#include "ui/window/line_icon.h"

namespace headscope::ui {
namespace {

QString settingsKey(const QString& name) {
  return QStringLiteral("sections/%1").arg(name);
}

}  // namespace

QToolButton* helpButton(const QString& what, QWidget* parent) {
  auto* button = new QToolButton(parent);
  button->setText(QStringLiteral("?"));
  setLook(button, "link");
  button->setFocusPolicy(Qt::TabFocus);
  button->setToolTip(QObject::tr("What is this? %1").arg(what));
  button->setAccessibleName(QObject::tr("Definition: %1").arg(what));
  return button;
}

Section::Section(const QString& name, const QString& title, const QString& page, const QString& topic, QWidget* parent)
    : QWidget(parent),
      name_(name),
      toggle_(new QToolButton(this)),
      remark_(new QLabel(this)),
      body_(new QWidget(this)),
      column_(new QVBoxLayout(body_)),
      titleRow_(new QHBoxLayout) {
  setObjectName(QStringLiteral("section-") + name);
  toggle_->setText(title);
  toggle_->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  toggle_->setIconSize(QSize(10, 10));
  toggle_->setFocusPolicy(Qt::TabFocus);
  toggle_->setFont(boldFont());
  toggle_->setStyleSheet(QStringLiteral("QToolButton { font-weight: 600; padding: 2px 4px 2px 0px; }"));
  toggle_->setAccessibleName(title);
  setLook(remark_, "small");
  remark_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  remark_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);

  titleRow_->setSpacing(kSpacing);
  titleRow_->addWidget(toggle_);
  titleRow_->addWidget(remark_, 1);
  if (!page.isEmpty()) {
    QToolButton* help = helpButton(title, this);
    titleRow_->addWidget(help);
    connect(help, &QToolButton::clicked, this, [this, page, topic] { Q_EMIT helpAsked(page, topic); });
  }
  column_->setContentsMargins(0, 0, 0, 0);
  column_->setSpacing(kSpacing);
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  outer->setSpacing(kSpacing / 2);
  outer->addLayout(titleRow_);
  outer->addWidget(body_);

  connect(toggle_, &QToolButton::clicked, this, [this] { setExpanded(!expanded_); });
  setExpanded(QSettings().value(settingsKey(name_), true).toBool());
}

void Section::add(QWidget* widget) {
  column_->addWidget(widget);
}

void Section::addToTitle(QWidget* widget) {
  titleRow_->insertWidget(2, widget);
}

void Section::setRemark(const QString& text, const QString& tip) {
  remark_->setText(text);
  remark_->setToolTip(tip.isEmpty() ? text : tip);
}

void Section::setExpanded(bool expanded) {
  const bool changed = expanded != expanded_;
  expanded_ = expanded;
  body_->setVisible(expanded);
  toggle_->setIcon(lineIcon(expanded ? QStringLiteral("down") : QStringLiteral("right")));
  toggle_->setAccessibleDescription(expanded ? tr("open") : tr("closed"));
  if (changed) {
    QSettings().setValue(settingsKey(name_), expanded);
  }
}

}  // namespace headscope::ui
