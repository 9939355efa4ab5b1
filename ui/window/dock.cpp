#include "ui/window/dock.h"

#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/style/theme.h"
#include "ui/window/line_icon.h"

namespace headscope::ui {
namespace {

QToolButton* smallButton(const QString& icon, const QString& tip, QWidget* parent) {
  auto* button = new QToolButton(parent);
  button->setIcon(lineIcon(icon));
  button->setIconSize(QSize(12, 12));
  button->setFocusPolicy(Qt::NoFocus);
  button->setToolTip(tip);
  button->setAccessibleName(tip);
  setLook(button, "link");
  return button;
}

}  // namespace

Dock::Dock(const QString& name, const QString& title, QWidget* content, QWidget* parent)
    : QDockWidget(title, parent), title_(new QLabel(title)), remark_(new QLabel) {
  setObjectName(name);
  setFeatures(DockWidgetMovable | DockWidgetFloatable | DockWidgetClosable);
  setLook(title_, "heading");
  setLook(remark_, "muted");
  remark_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
  remark_->setMinimumWidth(0);
  remark_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);

  // The title bar must not swallow mouse events, or the dock couldn't be dragged by it: plain QWidgets don't.
  auto* bar = new QFrame(this);
  setLook(bar, "panel");
  row_ = new QHBoxLayout(bar);
  row_->setContentsMargins(3 * kSpacing, kSpacing, kSpacing, kSpacing);
  row_->setSpacing(kSpacing);
  row_->addWidget(title_);
  row_->addWidget(remark_, 1);
  QToolButton* floating = smallButton(QStringLiteral("float"), tr("Float or dock %1").arg(title), bar);
  QToolButton* closing =
      smallButton(QStringLiteral("close"), tr("Close %1 (View menu brings it back)").arg(title), bar);
  row_->addWidget(floating);
  row_->addWidget(closing);
  setTitleBarWidget(bar);

  auto* frame = new QFrame(this);
  setLook(frame, "panel");
  auto* column = new QVBoxLayout(frame);
  column->setContentsMargins(0, 0, 0, 0);
  column->addWidget(content);
  setWidget(frame);

  connect(floating, &QToolButton::clicked, this, [this] { setFloating(!isFloating()); });
  connect(closing, &QToolButton::clicked, this, &QDockWidget::close);
}

void Dock::setRemark(const QString& text) {
  remark_->setText(text);
}

QString Dock::remark() const {
  return remark_->text();
}

void Dock::setTitleContent(QWidget* widget) {
  title_->hide();
  row_->insertWidget(0, widget);
}

}  // namespace headscope::ui
