#include "ui/flags/export_window.h"

#include <QComboBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>

#include "core/base/error.h"
#include "core/masks/head_mask.h"
#include "ui/style/theme.h"
#include "ui/window/file_dialogs.h"
#include "ui/window/message_bar.h"

namespace headscope::ui {

ExportWindow::ExportWindow(Session* session, QWidget* parent)
    : QDialog(parent, Qt::Dialog),
      session_(session),
      messages_(new MessageBar(this)),
      format_(new QComboBox(this)),
      axis_(new QComboBox(this)),
      rule_(new QComboBox(this)),
      meaning_(new QLabel(this)),
      effect_(new QLabel(this)),
      save_(new QPushButton(tr("Save as…"), this)) {
  setObjectName(QStringLiteral("exportWindow"));
  setWindowTitle(tr("Export mask"));
  setModal(false);
  for (const MaskFormat& format : maskFormats()) {
    format_->addItem(format.name, static_cast<int>(format.kind));
  }
  axis_->addItem(tr("query heads"), static_cast<int>(MaskAxis::Query));
  axis_->addItem(tr("KV heads"), static_cast<int>(MaskAxis::Kv));
  rule_->addItem(tr("kept if any of its query heads is kept"), static_cast<int>(GroupRule::Any));
  rule_->addItem(tr("kept if at least half are kept"), static_cast<int>(GroupRule::Mean));
  rule_->addItem(tr("kept only if all are kept"), static_cast<int>(GroupRule::All));
  format_->setAccessibleName(tr("Format"));
  axis_->setAccessibleName(tr("Axis"));
  rule_->setAccessibleName(tr("Rule from query heads to KV heads"));
  for (QLabel* label : {meaning_, effect_}) {
    label->setWordWrap(true);
    label->setMinimumHeight(2 * QFontMetrics(textFont()).height());
    label->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  }
  setLook(meaning_, "muted");
  setLook(save_, "primary");
  auto* close = new QPushButton(tr("Close"), this);

  auto* form = new QFormLayout;
  form->setHorizontalSpacing(4 * kSpacing);
  form->setVerticalSpacing(2 * kSpacing);
  form->addRow(tr("Format"), format_);
  form->addRow(tr("Axis"), axis_);
  form->addRow(tr("A KV head is"), rule_);
  form->addRow(tr("Meaning"), meaning_);
  form->addRow(tr("Contents"), effect_);
  auto* buttons = new QHBoxLayout;
  buttons->addStretch(1);
  buttons->addWidget(close);
  buttons->addWidget(save_);
  auto* column = new QVBoxLayout(this);
  column->setSpacing(3 * kSpacing);
  column->addWidget(messages_);
  column->addLayout(form);
  column->addStretch(1);
  column->addLayout(buttons);
  setMinimumWidth(460);

  for (QComboBox* box : {format_, axis_, rule_}) {
    connect(box, &QComboBox::currentIndexChanged, this, &ExportWindow::refresh);
  }
  connect(save_, &QPushButton::clicked, this, &ExportWindow::choosePath);
  connect(close, &QPushButton::clicked, this, &QDialog::close);
  connect(session_, &Session::flagsChanged, this, &ExportWindow::refresh);
  refresh();
}

MaskExport ExportWindow::wanted() const {
  const MaskFormat& format = maskFormats()[static_cast<std::size_t>(std::max(0, format_->currentIndex()))];
  MaskExport wanted;
  wanted.kind = format.kind;
  wanted.axis = format.anyAxis ? static_cast<MaskAxis>(axis_->currentData().toInt()) : MaskAxis::Query;
  wanted.rule = static_cast<GroupRule>(rule_->currentData().toInt());
  return wanted;
}

QString ExportWindow::effectWords() const {
  return effect_->text();
}

void ExportWindow::refresh() {
  const MaskFormat& format = maskFormats()[static_cast<std::size_t>(std::max(0, format_->currentIndex()))];
  const bool groups = session_->kvHeads() > 0 && session_->heads() % session_->kvHeads() == 0;
  axis_->setEnabled(format.anyAxis && groups);
  if (!axis_->isEnabled()) {
    axis_->setCurrentIndex(0);
  }
  const MaskExport wanted = this->wanted();
  rule_->setEnabled(wanted.axis == MaskAxis::Kv);
  meaning_->setText(format.meaning);
  const std::size_t flagged = session_->flags().size();
  QString words = tr("%1 of %2 query heads go").arg(flagged).arg(session_->layers() * session_->heads());
  if (wanted.axis == MaskAxis::Kv) {
    const HeadMask mask = toAxis(session_->mask(), HeadAxis::Kv, wanted.rule);
    words = tr("%1 of %2 KV heads go, from %3 flagged query heads")
                .arg(mask.pruned().size())
                .arg(session_->layers() * session_->kvHeads())
                .arg(flagged);
  }
  const QString freed = kvGroupWords(*session_);
  effect_->setText(freed.isEmpty() ? words + QLatin1Char('.')
                                   : words + QStringLiteral("; ") + freed + QLatin1Char('.'));
  save_->setEnabled(session_->layers() > 0);
}

void ExportWindow::choosePath() {
  const MaskFormat& format = maskFormats()[static_cast<std::size_t>(std::max(0, format_->currentIndex()))];
  saveFileDialog(this, tr("Export mask"), QStringLiteral("mask.") + format.ending,
                 tr("%1 (*.%2)").arg(format.name, format.ending), [this](const QString& path) { saveTo(path); });
}

void ExportWindow::saveTo(const QString& path) {
  try {
    exportFlags(*session_, scores_, wanted(), path);
  } catch (const Error& error) {
    messages_->show({QString::fromUtf8(error.what()), tr("Nothing was written; your flags are as they were."),
                     tr("Try elsewhere…"), [this] { choosePath(); }, true});
    return;
  }
  messages_->dismiss();
  Q_EMIT saved(path);
  close();
}

}  // namespace headscope::ui
