#include "ui/head/head_header.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSignalBlocker>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"
#include "ui/window/line_icon.h"

namespace headscope::ui {

HeadHeader::HeadHeader(Session* session, QWidget* parent)
    : QWidget(parent),
      session_(session),
      title_(new QLabel(this)),
      chip_(new QLabel(this)),
      flag_(new QPushButton(this)),
      previous_(new QToolButton(this)),
      next_(new QToolButton(this)),
      place_(new QLabel(this)),
      about_(new QLabel(this)),
      note_(new QLineEdit(this)) {
  setLook(title_, "title");
  setLook(chip_, "chip");
  setLook(flag_, "flag");
  setLook(place_, "small");
  about_->setWordWrap(true);
  about_->setObjectName(QStringLiteral("headAbout"));
  flag_->setCheckable(true);
  flag_->setAutoDefault(false);
  flag_->setFocusPolicy(Qt::TabFocus);
  flag_->setToolTip(tr("Propose this head for pruning (Space)"));
  flag_->setObjectName(QStringLiteral("flagButton"));
  flag_->setMinimumWidth(flag_->fontMetrics().horizontalAdvance(tr("Flagged")) + 7 * kSpacing);
  note_->setPlaceholderText(tr("Note on this head"));
  note_->setAccessibleName(tr("Note on this head"));
  note_->setObjectName(QStringLiteral("noteField"));
  previous_->setIcon(lineIcon(QStringLiteral("left")));
  next_->setIcon(lineIcon(QStringLiteral("right")));
  previous_->setToolTip(tr("Previous head like this"));
  next_->setToolTip(tr("Next head like this"));
  for (QToolButton* button : {previous_, next_}) {
    button->setIconSize(QSize(12, 12));
    button->setFocusPolicy(Qt::TabFocus);
    button->setAccessibleName(button->toolTip());
  }

  auto* first = new QHBoxLayout;
  first->setSpacing(kSpacing);
  first->addWidget(title_);
  first->addSpacing(kSpacing);
  first->addWidget(chip_);
  first->addStretch(1);
  first->addWidget(flag_);
  auto* second = new QHBoxLayout;
  second->setSpacing(0);
  second->addWidget(place_, 1);
  second->addWidget(previous_);
  second->addWidget(next_);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(kSpacing);
  column->addLayout(first);
  column->addLayout(second);
  column->addWidget(about_);
  column->addWidget(note_);

  connect(flag_, &QPushButton::clicked, this, [this] { session_->toggleFlag(session_->selected()); });
  connect(note_, &QLineEdit::textEdited, this,
          [this](const QString& text) { session_->setNote(session_->selected(), text); });
  connect(previous_, &QToolButton::clicked, this, [this] { stepAlike(-1); });
  connect(next_, &QToolButton::clicked, this, [this] { stepAlike(1); });
  for (const auto signal : {&Session::flagsChanged, &Session::captureChanged, &Session::modelChanged}) {
    connect(session_, signal, this, &HeadHeader::refresh);
  }
  connect(session_, &Session::selectionChanged, this, [this] {
    cases_.reset();
    refresh();
  });
  refresh();
}

void HeadHeader::setScores(const ScoreTable& scores) {
  scores_ = scores;
  refresh();
}

void HeadHeader::setCases(const CaseResult& cases) {
  cases_ = cases;
  refresh();
}

std::vector<HeadId> HeadHeader::alike() const {
  std::vector<HeadId> heads;
  const HeadReport* own = scores_.find(session_->selected());
  if (own == nullptr) {
    return heads;
  }
  const Case wanted = own->cases.label;
  for (int layer = 0; layer < session_->layers(); ++layer) {
    for (int head = 0; head < session_->heads(); ++head) {
      const HeadReport* other = scores_.find({layer, head});
      if (other != nullptr && other->cases.label == wanted) {
        heads.push_back({layer, head});
      }
    }
  }
  const int metric = metricOf(wanted);
  std::stable_sort(heads.begin(), heads.end(),
                   [this, metric](HeadId a, HeadId b) { return scores_.value(a, metric) > scores_.value(b, metric); });
  return heads;
}

QString HeadHeader::about() const {
  return about_->text();
}

QString HeadHeader::caseWords() const {
  return chip_->isHidden() ? QString() : chip_->text();
}

void HeadHeader::stepAlike(int steps) {
  const std::vector<HeadId> heads = alike();
  const auto here = std::find(heads.begin(), heads.end(), session_->selected());
  if (here == heads.end()) {
    return;
  }
  const auto count = static_cast<std::ptrdiff_t>(heads.size());
  const std::ptrdiff_t target = ((here - heads.begin() + steps) % count + count) % count;
  session_->select(heads[static_cast<std::size_t>(target)]);
}

void HeadHeader::refresh() {
  const HeadId head = session_->selected();
  const bool open = session_->layers() > 0;
  title_->setText(open ? QStringLiteral("L%1 · H%2").arg(head.layer).arg(head.head) : tr("No head"));
  const HeadReport* report = scores_.find(head);
  const CaseResult* cases = cases_ ? &*cases_ : report != nullptr ? &report->cases : nullptr;
  chip_->setVisible(cases != nullptr);
  if (cases != nullptr) {
    chip_->setText(caseName(cases->label) + QLatin1Char(' ') +
                   QString::number(cases->scores[static_cast<std::size_t>(cases->label)], 'f', 2));
    chip_->setToolTip(tr("The case that its attention shows, and its score (0 … 1)"));
  }
  const bool flagged = session_->flagged(head);
  flag_->setChecked(flagged);
  flag_->setText(flagged ? tr("Flagged") : tr("Flag"));
  flag_->setEnabled(open);
  note_->setEnabled(open);
  if (note_->text() != session_->note(head)) {
    note_->setText(session_->note(head));
  }
  const auto capture = session_->capture();
  const std::string_view about = capture ? capture->header().headNote(head.layer, head.head) : std::string_view();
  about_->setText(QString::fromUtf8(about.data(), static_cast<qsizetype>(about.size())));
  about_->setVisible(!about.empty());
  const std::vector<HeadId> others = alike();
  const auto here = std::find(others.begin(), others.end(), head);
  for (QToolButton* button : {previous_, next_}) {
    button->setEnabled(others.size() > 1);
  }
  if (here != others.end() && report != nullptr) {
    place_->setText(
        tr("%1 of %2 %3 heads").arg(here - others.begin() + 1).arg(others.size()).arg(caseName(report->cases.label)));
  } else {
    place_->setText(open && session_->capture() ? tr("scores are being computed …") : QString());
  }
}

}  // namespace headscope::ui
