#include "ui/engine/engine.h"

#include <QMetaObject>
#include <QPointer>
#include <filesystem>
#include <utility>

#include "core/maps/gpu_maps.h"
#include "ui/engine/engine_private.h"

namespace headscope::ui {
namespace {

constexpr std::size_t kFinishedJobs = 100;
constexpr double kSecondsBeforeListing = 0.4;

}  // namespace

EngineParts EngineParts::real() {
  EngineParts parts;
  parts.openModel = [](const std::filesystem::path& path, const ModelOptions& options, const JobControl& control) {
    return Model::open(path, options, control);
  };
  parts.openTokenizer = [](const std::filesystem::path& path) { return Tokenizer::openIfPresent(path); };
  parts.listDevices = [] { return headscope::listDevices(); };
  parts.openGpuMaps = [](int index, std::string& reason) { return GpuMaps::open(index, reason); };
  parts.tiles.background = true;
  return parts;
}

Engine::Engine(QObject* parent) : Engine(EngineParts::real(), parent) {}

Engine::Engine(const EngineParts& parts, QObject* parent) : QObject(parent), d(std::make_unique<Private>(this, parts)) {
  qRegisterMetaType<headscope::ui::JobStatus>();
  qRegisterMetaType<headscope::ui::Thumbnail>();
  qRegisterMetaType<headscope::ui::HeadId>();
}

Engine::~Engine() = default;

Engine::Private::Private(Engine* owner, EngineParts chosen) : q(owner), parts(std::move(chosen)) {
  startTiles();
  modelQueue = std::make_unique<JobQueue>();
  fileQueue = std::make_unique<JobQueue>();
  scoresQueue = std::make_unique<JobQueue>(Patience::Background);
  detailQueue = std::make_unique<JobQueue>();
  rowQueue = std::make_unique<JobQueue>();
  replayQueue = std::make_unique<JobQueue>();
  deviceQueue = std::make_unique<JobQueue>(Patience::Background);
}

std::array<JobQueue*, 7> Engine::Private::queues() const {
  return {modelQueue.get(), fileQueue.get(),   scoresQueue.get(), detailQueue.get(),
          rowQueue.get(),   replayQueue.get(), deviceQueue.get()};
}

Engine::Private::~Private() {
  // All are asked to stop before the first is waited for.
  for (JobQueue* queue : queues()) {
    queue->cancelAll();
  }
}

void Engine::Private::post(std::function<void()> call) const {
  QMetaObject::invokeMethod(q, std::move(call), Qt::QueuedConnection);
}

quint64 Engine::Private::start(JobQueue& queue, const JobSheet& sheet, std::function<void(Run&)> work) {
  const quint64 id = nextId++;
  if (sheet.announce) {
    JobStatus status;
    status.id = id;
    status.title = sheet.title;
    status.cancellable = sheet.cancellable;
    statuses.emplace(id, status);
    Q_EMIT q->jobChanged(status);
  } else {
    hidden.emplace(id, sheet);
  }
  JobQueue::Job job;
  job.id = id;
  job.tag = sheet.tag;
  job.dropped = [this, id] { post([this, id] { finish(id, JobStatus::State::Cancelled, {}); }); };
  job.work = [this, id, what = sheet.what, work = std::move(work)](const std::stop_token& stop) {
    Run run;
    run.d = this;
    run.id = id;
    run.stop = stop;
    post([this, id] { change(id, [](JobStatus& status) { status.state = JobStatus::State::Running; }); });
    try {
      work(run);
      post([this, id, note = run.note] { finish(id, JobStatus::State::Done, note); });
    } catch (const Cancelled&) {
      post([this, id] { finish(id, JobStatus::State::Cancelled, {}); });
    } catch (const std::bad_alloc&) {
      post([this, id, what] {
        const QString message = Engine::tr("not enough memory");
        finish(id, JobStatus::State::Failed, message);
        Q_EMIT q->failed(what, message);
      });
    } catch (const std::exception& error) {
      post([this, id, what, message = QString::fromUtf8(error.what())] {
        finish(id, JobStatus::State::Failed, message);
        Q_EMIT q->failed(what, message);
      });
    }
  };
  queue.submit(std::move(job));
  return id;
}

JobControl Engine::Private::Run::control() {
  JobControl control;
  control.stop = stop;
  control.progress = [this](const Progress& progress) {
    if (const auto reading = meter.update(progress)) {
      post([owner = d, job = id, reading = *reading] { owner->announceLater(job, reading); });
    }
  };
  return control;
}

void Engine::Private::Run::setTitle(const QString& title) {
  post([owner = d, job = id, title] { owner->change(job, [&title](JobStatus& status) { status.title = title; }); });
}

void Engine::Private::change(quint64 id, const std::function<void(JobStatus&)>& edit) {
  const auto found = statuses.find(id);
  if (found != statuses.end()) {
    edit(found->second);
    Q_EMIT q->jobChanged(found->second);
  }
}

// A job that is not listed becomes so when it turns out to take long.
void Engine::Private::announceLater(quint64 id, const ProgressMeter::Reading& reading) {
  const auto found = hidden.find(id);
  if (found != hidden.end()) {
    if (reading.secondsLeft < kSecondsBeforeListing) {
      return;
    }
    JobStatus status;
    status.id = id;
    status.title = found->second.title;
    status.cancellable = found->second.cancellable;
    status.state = JobStatus::State::Running;
    statuses.emplace(id, status);
    hidden.erase(found);
  }
  change(id, [&reading](JobStatus& status) {
    status.stage = QString::fromStdString(reading.stage);
    status.fraction = reading.fraction;
    status.secondsLeft = reading.secondsLeft;
  });
}

void Engine::Private::finish(quint64 id, JobStatus::State state, const QString& message) {
  hidden.erase(id);
  change(id, [&](JobStatus& status) {
    status.state = state;
    status.message = message;
    status.secondsLeft = state == JobStatus::State::Done ? 0 : -1;
    status.fraction = state == JobStatus::State::Done ? 1 : status.fraction;
  });
  for (auto it = statuses.begin(); it != statuses.end() && statuses.size() > kFinishedJobs;) {
    it = it->second.active() ? std::next(it) : statuses.erase(it);
  }
}

void Engine::cancel(quint64 job) {
  for (JobQueue* queue : d->queues()) {
    queue->cancel(job);
  }
}

void Engine::cancelAll() {
  for (JobQueue* queue : d->queues()) {
    queue->cancelAll();
  }
}

bool Engine::busy() const {
  return std::any_of(d->statuses.begin(), d->statuses.end(), [](const auto& entry) { return entry.second.active(); });
}

QVector<JobStatus> Engine::jobs() const {
  QVector<JobStatus> list;
  for (const auto& [id, status] : d->statuses) {
    list.append(status);
  }
  return list;
}

void Engine::waitIdle() {
  for (JobQueue* queue : d->queues()) {
    if (queue != d->deviceQueue.get()) {  // nothing that is shown waits for a compiler
      queue->waitIdle();
    }
  }
  d->tiles->waitIdle();
}

}  // namespace headscope::ui
