#include "ui/jobs/jobs_list.h"

#include <QElapsedTimer>
#include <QHBoxLayout>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QScrollArea>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr std::size_t kMostRows = 50;

QString secondsWords(double seconds) {
  return seconds < 100 ? QObject::tr("%1 s").arg(formatValue(seconds))
                       : QObject::tr("%1 min").arg(formatValue(seconds / 60));
}

}  // namespace

QString timeLeftWords(double seconds) {
  if (seconds < 0 || !std::isfinite(seconds)) {
    return {};
  }
  return seconds < 90 ? QObject::tr("%1 s left").arg(std::max(1.0, std::round(seconds)))
                      : QObject::tr("%1 min left").arg(std::round(seconds / 60));
}

/// One job. Columns have fixed widths, so that numbers don't jump.
class JobRow : public QWidget {
 public:
  JobRow(Engine* engine, quint64 id, QWidget* parent)
      : QWidget(parent),
        title_(new QLabel(this)),
        state_(new QLabel(this)),
        bar_(new QProgressBar(this)),
        percent_(new QLabel(this)),
        left_(new QLabel(this)),
        stop_(new QPushButton(tr("Stop"), this)) {
    setLook(state_, "muted");
    setLook(left_, "muted");
    percent_->setFont(monoFont());
    percent_->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    percent_->setFixedWidth(48);
    left_->setFixedWidth(96);
    bar_->setTextVisible(false);
    bar_->setFixedWidth(180);
    title_->setMinimumWidth(220);
    title_->setTextFormat(Qt::PlainText);
    state_->setTextFormat(Qt::PlainText);
    state_->setWordWrap(true);
    state_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    stop_->setAutoDefault(false);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(2 * kSpacing);
    row->addWidget(title_);
    row->addWidget(bar_);
    row->addWidget(percent_);
    row->addWidget(left_);
    row->addWidget(state_, 1);
    row->addWidget(stop_);
    connect(stop_, &QPushButton::clicked, engine, [engine, id] { engine->cancel(id); });
  }

  bool active() const { return active_; }

  void show(const JobStatus& status) {
    if (status.state == JobStatus::State::Running && !timer_.isValid()) {
      timer_.start();
    }
    active_ = status.active();
    title_->setText(status.title);
    const bool known = active_ && status.fraction >= 0;
    bar_->setRange(0, known || !active_ || status.state == JobStatus::State::Waiting ? 1000 : 0);
    bar_->setValue(status.state == JobStatus::State::Done ? 1000
                   : known                                ? static_cast<int>(1000 * status.fraction)
                                                          : 0);
    percent_->setText(known ? QStringLiteral("%1 %").arg(std::floor(100 * status.fraction)) : QString());
    left_->setText(active_                                ? timeLeftWords(status.secondsLeft)
                   : timer_.isValid() && !took_.isEmpty() ? took_
                                                          : finish());
    state_->setText(words(status));
    stop_->setVisible(active_ && status.cancellable);
    setAccessibleName(status.title + QStringLiteral(", ") + state_->text());
  }

 private:
  QString finish() {
    took_ = timer_.isValid() ? secondsWords(static_cast<double>(timer_.elapsed()) / 1000) : QString();
    return took_;
  }
  QString words(const JobStatus& status) const {
    switch (status.state) {
      case JobStatus::State::Waiting:
        return tr("waiting");
      case JobStatus::State::Running:
        return status.stage;
      case JobStatus::State::Done:
        return status.message.isEmpty() ? tr("done") : status.message;
      case JobStatus::State::Failed:
        return status.message;
      case JobStatus::State::Cancelled:
        return tr("stopped");
    }
    return {};
  }

  QLabel* title_;
  QLabel* state_;
  QProgressBar* bar_;
  QLabel* percent_;
  QLabel* left_;
  QPushButton* stop_;
  QElapsedTimer timer_;
  QString took_;
  bool active_ = true;
};

JobsList::JobsList(Engine* engine, QWidget* parent)
    : QWidget(parent), engine_(engine), empty_(new QLabel(tr("Nothing is running."), this)) {
  setObjectName(QStringLiteral("jobsList"));
  setLook(empty_, "muted");
  auto* content = new QWidget;
  auto* outer = new QVBoxLayout(content);
  outer->setContentsMargins(3 * kSpacing, kSpacing, 3 * kSpacing, kSpacing);
  outer->setSpacing(kSpacing);
  outer->addWidget(empty_);
  column_ = new QVBoxLayout;
  column_->setSpacing(kSpacing);
  outer->addLayout(column_);
  outer->addStretch(1);
  auto* scroll = new QScrollArea(this);
  scroll->setWidgetResizable(true);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->viewport()->setAutoFillBackground(false);
  content->setAutoFillBackground(false);
  scroll->setWidget(content);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(scroll);
  connect(engine_, &Engine::jobChanged, this, &JobsList::update);
}

int JobsList::active() const {
  return static_cast<int>(
      std::count_if(rows_.begin(), rows_.end(), [](const auto& row) { return row.second->active(); }));
}

void JobsList::update(const JobStatus& status) {
  const int before = active();
  JobRow*& row = rows_[status.id];
  if (row == nullptr) {
    row = new JobRow(engine_, status.id, this);
    column_->insertWidget(0, row);
  }
  row->show(status);
  empty_->hide();
  dropOldest();
  if (active() != before) {
    Q_EMIT activeChanged(active());
  }
}

void JobsList::dropOldest() {
  for (auto row = rows_.begin(); rows_.size() > kMostRows && row != rows_.end();) {
    if (row->second->active()) {
      ++row;
    } else {
      row->second->deleteLater();
      row = rows_.erase(row);
    }
  }
}

}  // namespace headscope::ui
