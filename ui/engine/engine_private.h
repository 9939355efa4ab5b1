#pragma once

// What is behind Engine. Everything in here belongs to the UI thread unless it says otherwise; workers reach it by
// post() only.

#include <QStringList>
#include <QTemporaryDir>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "core/tokenizer/tokenizer.h"
#include "ui/engine/engine.h"
#include "ui/engine/job_queue.h"
#include "ui/engine/progress_meter.h"

namespace headscope::ui {

/// How a job looks from the outside.
struct JobSheet {
  std::string tag;
  QString title;
  QString what;          ///< for failed()
  bool announce = true;  ///< false: not listed until it has run for a while
  bool cancellable = true;
};

struct Engine::Private {
  Private(Engine* owner, EngineParts chosen);
  ~Private();

  /// What a job's work sees: runs on a worker thread.
  struct Run {
    Private* d = nullptr;
    quint64 id = 0;
    std::stop_token stop;
    QString note;  ///< becomes JobStatus::message of a success
    ProgressMeter meter;

    JobControl control();
    void setTitle(const QString& title);
    /// For the UI thread, in order. Dropped if the engine is gone.
    void post(std::function<void()> call) const { d->post(std::move(call)); }
  };

  quint64 start(JobQueue& queue, const JobSheet& sheet, std::function<void(Run&)> work);
  void post(std::function<void()> call) const;
  void change(quint64 id, const std::function<void(JobStatus&)>& edit);
  void announceLater(quint64 id, const ProgressMeter::Reading& reading);
  void finish(quint64 id, JobStatus::State state, const QString& message);
  void cancelModelWork();
  void startTiles();
  std::array<JobQueue*, 7> queues() const;
  void useMapDevice(Run& run, quint64 generation, const std::string& device);
  void useScoreDevice(quint64 generation, const std::string& device);
  void tileCame(int pane, std::uint64_t view);  ///< service thread: posts viewReady once a view's head is complete

  // Work of the queues; worker threads.
  void openModel(Run& run, quint64 generation, const std::filesystem::path& path, const ModelOptions& options);
  void runModel(Run& run, quint64 generation, const std::string& text, Bos bos, bool parseSpecialTokens);
  void continueModel(Run& run, quint64 generation, int count);
  void scoreNeedles(Run& run, quint64 generation, const std::string& haystack);
  std::filesystem::path captureFile(const ModelInfo& info, std::size_t tokens);
  void scores(Run& run, quint64 generation, const std::shared_ptr<const Capture>& capture, const std::string& device);
  void detail(Run& run, quint64 generation, const std::shared_ptr<const Capture>& capture, HeadId head,
              const Interventions& interventions);
  std::shared_ptr<const HeadView> rowSource(Run& run, const HeadSource& source);

  Engine* q;
  EngineParts parts;
  quint64 nextId = 1;
  quint64 openGeneration = 0, runGeneration = 0, scoresGeneration = 0, detailGeneration = 0;
  quint64 rowGeneration = 0, columnGeneration = 0, mapDeviceGeneration = 0, replayGeneration = 0;
  std::map<quint64, JobStatus> statuses;  ///< listed jobs
  std::map<quint64, JobSheet> hidden;     ///< jobs that are not listed yet

  std::string scoreDevice = "cpu";  ///< UI thread only: the GPU that maps use, once it is ready for scores
  quint64 thumbnailCapture = 0;
  std::atomic<Pool> thumbnailPool{Pool::Max};

  // Model thread only.
  std::shared_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<std::int64_t> lastIds;
  std::unique_ptr<QTemporaryDir> captureFolder;
  int captureNumber = 0;

  // Row thread only.
  std::shared_ptr<const HeadView> rowView;
  std::uint64_t rowViewId = 0;

  std::mutex paneMutex;
  std::map<int, std::uint64_t> paneViews;
  std::set<std::uint64_t> announcedViews;

  // Last, so that they join before anything above goes.
  std::unique_ptr<TileService> tiles;
  std::unique_ptr<JobQueue> modelQueue, fileQueue, scoresQueue, detailQueue, rowQueue, replayQueue, deviceQueue;
};

}  // namespace headscope::ui
