#include "ui/flags/flags_table.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLabel>
#include <QPushButton>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>
#include <set>

#include "ui/flags/flags_model.h"
#include "ui/flags/mask_exchange.h"
#include "ui/style/theme.h"
#include "ui/window/line_icon.h"
#include "ui/window/message_bar.h"

namespace headscope::ui {

FlagsTable::FlagsTable(Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      model_(new FlagsModel(session, this)),
      sorted_(new QSortFilterProxyModel(this)),
      view_(new QTableView(this)),
      messages_(new MessageBar(this)),
      empty_(new QLabel(tr("No head is flagged. Space flags the selected head; a note says why."), this)),
      export_(new QPushButton(lineIcon(QStringLiteral("export")), tr("Export mask…"), this)),
      clear_(new QPushButton(tr("Remove flags"), this)) {
  sorted_->setSourceModel(model_);
  sorted_->setSortRole(FlagsModel::SortRole);
  view_->setObjectName(QStringLiteral("flagsTable"));
  view_->setAccessibleName(tr("Flagged heads"));
  view_->setModel(sorted_);
  view_->setSortingEnabled(true);
  view_->sortByColumn(FlagsModel::Layer, Qt::AscendingOrder);
  view_->setSelectionBehavior(QAbstractItemView::SelectRows);
  view_->setEditTriggers(QAbstractItemView::EditKeyPressed | QAbstractItemView::DoubleClicked |
                         QAbstractItemView::SelectedClicked);
  view_->setShowGrid(false);
  view_->setTabKeyNavigation(false);
  view_->verticalHeader()->hide();
  view_->verticalHeader()->setDefaultSectionSize(QFontMetrics(textFont()).height() + 2 * kSpacing);
  view_->horizontalHeader()->setStretchLastSection(true);
  view_->horizontalHeader()->setHighlightSections(false);
  constexpr int widths[FlagsModel::kNote] = {64, 64, 140, 140, 100, 92, 112, 92, 104, 92, 112};
  for (int column = 0; column < FlagsModel::kNote; ++column) {
    view_->setColumnWidth(column, widths[column]);
  }
  view_->installEventFilter(this);
  setLook(empty_, "muted");

  auto* import = new QPushButton(lineIcon(QStringLiteral("import")), tr("Import mask…"), this);
  auto* buttons = new QHBoxLayout;
  buttons->setContentsMargins(2 * kSpacing, 0, 2 * kSpacing, kSpacing);
  for (QPushButton* button : {export_, import, clear_}) {
    button->setAutoDefault(false);
    buttons->addWidget(button);
  }
  buttons->addWidget(empty_, 1);
  buttons->addStretch(0);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(kSpacing);
  column->addWidget(messages_);
  column->addLayout(buttons);
  column->addWidget(view_, 1);

  connect(export_, &QPushButton::clicked, this, &FlagsTable::exportAsked);
  connect(import, &QPushButton::clicked, this, &FlagsTable::importAsked);
  connect(clear_, &QPushButton::clicked, this, [this] { session_->replaceFlags({}, tr("Remove all flags")); });
  connect(view_, &QTableView::doubleClicked, this, [this](const QModelIndex& index) {
    if (index.column() != FlagsModel::kNote) {
      session_->select(model_->headAt(sorted_->mapToSource(index).row()));
    }
  });
  connect(session_, &Session::flagsChanged, this, &FlagsTable::refresh);
  connect(&Appearance::instance(), &Appearance::changed, view_->viewport(), [this] { view_->viewport()->update(); });
  refresh();
}

void FlagsTable::setScores(const ScoreTable& scores) {
  model_->setScores(scores);
}

void FlagsTable::refresh() {
  const bool any = !session_->flags().empty();
  export_->setEnabled(any);
  clear_->setEnabled(any);
  empty_->setVisible(!any);
  view_->setVisible(any);
}

void FlagsTable::unflagSelected() {
  std::map<HeadId, QString> flags = session_->flags();
  for (const QModelIndex& index : view_->selectionModel()->selectedRows()) {
    flags.erase(model_->headAt(sorted_->mapToSource(index).row()));
  }
  session_->replaceFlags(flags, tr("Remove flags"));
}

bool FlagsTable::eventFilter(QObject* watched, QEvent* event) {
  if (watched == view_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const QModelIndex current = view_->currentIndex();
    if (key->key() == Qt::Key_Delete) {
      unflagSelected();
      return true;
    }
    if ((key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter) && key->modifiers() == Qt::NoModifier &&
        current.isValid()) {
      session_->select(model_->headAt(sorted_->mapToSource(current).row()));
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

FlagsSummary::FlagsSummary(Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      count_(new QLabel(this)),
      list_(new QLabel(this)),
      groups_(new QLabel(this)),
      export_(new QPushButton(tr("Export mask…"), this)) {
  auto* title = new QLabel(tr("Flagged heads"), this);
  setLook(title, "heading");
  setLook(count_, "small");
  setLook(groups_, "small");
  setLook(export_, "primary");
  export_->setAutoDefault(false);
  export_->setObjectName(QStringLiteral("exportMask"));
  list_->setTextFormat(Qt::RichText);
  list_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  list_->setMinimumSize(0, 0);
  list_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Ignored);
  groups_->setWordWrap(true);

  auto* top = new QHBoxLayout;
  top->addWidget(title);
  top->addStretch(1);
  top->addWidget(count_);
  auto* bottom = new QHBoxLayout;
  bottom->addWidget(groups_, 1);
  bottom->addWidget(export_, 0, Qt::AlignBottom);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(3 * kSpacing, kSpacing, 3 * kSpacing, 2 * kSpacing);
  column->setSpacing(kSpacing);
  column->addLayout(top);
  column->addWidget(list_, 1);
  column->addLayout(bottom);
  setMinimumWidth(220);

  connect(export_, &QPushButton::clicked, this, &FlagsSummary::exportAsked);
  connect(list_, &QLabel::linkActivated, this, [this](const QString& link) {
    session_->select({link.section(QLatin1Char('.'), 0, 0).toInt(), link.section(QLatin1Char('.'), 1, 1).toInt()});
  });
  connect(session_, &Session::flagsChanged, this, &FlagsSummary::refresh);
  connect(session_, &Session::modelChanged, this, &FlagsSummary::refresh);
  connect(&Appearance::instance(), &Appearance::changed, this, &FlagsSummary::refresh);
  refresh();
}

QString FlagsSummary::groupWords() const {
  return groups_->text();
}

void FlagsSummary::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  refresh();
}

void FlagsSummary::refresh() {
  const auto& flags = session_->flags();
  const int all = session_->layers() * session_->heads();
  count_->setText(flags.empty() ? tr("prune · query heads")
                                : tr("prune · query heads · %1 of %2").arg(flags.size()).arg(all));
  export_->setEnabled(!flags.empty());
  groups_->setText(kvGroupWords(*session_));
  if (flags.empty()) {
    list_->setText(QStringLiteral("<span style='color:%1'>%2</span>")
                       .arg(theme().muted.name(), tr("None yet. Space flags the selected head.").toHtmlEscaped()));
    return;
  }
  const int line = QFontMetrics(textFont()).height() + 3;
  const auto room = static_cast<std::size_t>(std::max(1, list_->height() / line));
  const bool tooMany = flags.size() > room;
  QString html = QStringLiteral("<table cellspacing='0' cellpadding='1'>");
  std::size_t shown = 0;
  for (const auto& [head, note] : flags) {
    if (shown == (tooMany ? room - 1 : room)) {
      break;
    }
    const QString text =
        QFontMetrics(textFont()).elidedText(note.simplified(), Qt::ElideRight, std::max(40, width() - 120));
    html += QStringLiteral(
                "<tr><td style='color:%1'>■&nbsp;</td><td><a href='%2.%3' style='color:%4; "
                "text-decoration:none'>L%2 · H%3</a>&nbsp;&nbsp;</td><td style='color:%5'>%6</td></tr>")
                .arg(theme().flag.name())
                .arg(head.layer)
                .arg(head.head)
                .arg(theme().text.name(), theme().muted.name(), text.toHtmlEscaped());
    ++shown;
  }
  html += QStringLiteral("</table>");
  if (tooMany) {
    html += QStringLiteral("<span style='color:%1'>%2</span>")
                .arg(theme().muted.name(), tr("and %1 more, in the Flags tab").arg(flags.size() - shown));
  }
  list_->setText(html);
}

}  // namespace headscope::ui
