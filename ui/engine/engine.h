#pragma once

// The only door from the window to the core's work. One thread owns the model (load, run, continue); the tile service,
// scores, details and rows each have a thread of their own, so that none waits for another. Every call returns at
// once; answers come as signals on the UI thread, stale ones are dropped here. No exception leaves a job: failed()
// says what and where.

#include <QObject>
#include <QString>
#include <QVector>
#include <functional>
#include <memory>
#include <vector>

#include "core/analysis/experiments.h"
#include "core/analysis/report.h"
#include "core/capture/capture.h"
#include "core/maps/tile_service.h"
#include "core/maps/tiles.h"
#include "core/model/model.h"
#include "core/rope/interventions.h"
#include "core/tokenizer/tokenizer.h"
#include "ui/session/session.h"

namespace headscope::ui {

/// One running or finished piece of work, as the Jobs tab shows it.
struct JobStatus {
  quint64 id = 0;
  QString title;         ///< "Run demo on 512 tokens"
  QString stage;         ///< "prefill, layer 3"
  double fraction = -1;  ///< 0…1; −1 unknown
  double secondsLeft = -1;
  bool cancellable = true;
  enum class State { Waiting, Running, Done, Failed, Cancelled } state = State::Waiting;
  QString message;  ///< of a failure, one line that names the file; of a success, what is worth knowing

  bool active() const { return state == State::Waiting || state == State::Running; }
};

/// Pooled picture of one head for the wall.
struct Thumbnail {
  quint64 capture = 0;  ///< Capture::id()
  HeadId head;
  int size = 0;  ///< cells per side
  bool exact = false;
  Pool pool = Pool::Max;
  std::vector<float> values;  ///< [size, size], NaN = no value
};

/// What the engine works with; tests put their own model and devices in.
struct EngineParts {
  std::function<std::shared_ptr<Model>(const std::filesystem::path&, const ModelOptions&, const JobControl&)> openModel;
  std::function<std::shared_ptr<const Tokenizer>(const std::filesystem::path&)> openTokenizer;
  std::function<std::vector<DeviceInfo>()> listDevices;
  /// The GPU of this number for maps, or null and the reason.
  std::function<std::shared_ptr<GpuMaps>(int index, std::string& reason)> openGpuMaps;
  TileService::Options tiles;

  static EngineParts real();
};

class Engine : public QObject {
  Q_OBJECT
 public:
  explicit Engine(QObject* parent = nullptr);
  explicit Engine(const EngineParts& parts, QObject* parent = nullptr);
  ~Engine() override;  ///< stops and joins everything

  // Model thread. Opening anything stops a run; the open model stays until the next one is there.
  void openModel(const QString& path, const ModelOptions& options = {});
  void openCapture(const QString& path);
  void openGallery();  ///< the constructed heads, as if from a file
  void run(const QString& text, Bos bos = Bos::Auto,
           bool parseSpecialTokens = true);  ///< with the open model; a new run replaces a running one
  void continueText(int count);              ///< greedy continuation of the last run's text
  void saveCapture(std::shared_ptr<const Capture> capture, const QString& path);
  /// Retrieval of every head on needle prompts made from `haystack`, with the open model; the run in view stays.
  void scoreNeedles(const QString& haystack);
  void cancel(quint64 job);
  void cancelAll();  ///< every listed job; maps go on

  /// Answers with devicesListed. The first time, where there is a GPU's driver, its libraries are loaded.
  void requestDevices();

  /// Where coarse map tiles are computed: auto (a GPU where there is one), cpu, cuda, cuda:N. What was asked for by
  /// name and can't be had is said by noted().
  void setMapDevice(const QString& device);

  // Maps: see TileService. A pane is a view of one map, 0 for the main one.
  void showView(int pane, const ViewRequest& request);
  void clearView(int pane);
  TilePart bestTile(const TileKey& key) const;                   ///< never computes
  std::shared_ptr<const HeadView> headView(quint64 view) const;  ///< of a map in use, or null
  /// The wall's picture of a head, if there is one: no more than that of the head as it was captured.
  std::shared_ptr<const headscope::Thumbnail> thumbnail(const Capture& capture, HeadId head) const;
  quint64 viewId(const std::shared_ptr<const Capture>& capture, HeadId head, const Interventions& interventions) const;
  /// Thumbnails of these heads in this order; sampled ones come first, exact ones later. Finished ones come at once.
  void requestThumbnails(std::shared_ptr<const Capture> capture, const QVector<HeadId>& heads, int size, Pool pool);

  /// Scores of all heads, layer by layer; long texts first from sampled rows. A new request replaces the last one.
  void requestScores(std::shared_ptr<const Capture> capture);
  /// Part by part: lens, similarity, attention, cases, bounds.
  void requestDetail(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions);
  /// One row (attention of a query over all keys) for the text strip, and one column.
  void requestRow(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions,
                  qint64 query);
  void requestColumn(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions,
                     qint64 key);

  /// The paper's two experiments on one head. A new request replaces the last one.
  void requestReplay(std::shared_ptr<const Capture> capture, HeadId head);

  bool busy() const;                ///< a listed job waits or runs
  QVector<JobStatus> jobs() const;  ///< oldest first; the last 100
  std::uint64_t mapBytes() const;   ///< of cached tiles

  /// Blocks until every queue is empty and every answer was delivered to the event queue. For tests only.
  void waitIdle();

 Q_SIGNALS:
  /// Comes right before modelOpened: what the tokenizer puts in front of a text by itself; empty: nothing.
  void tokenizerOpened(QString before);
  void modelOpened(std::shared_ptr<const headscope::ModelInfo> info, QString device, QString arithmetic);
  void captureStarted(std::shared_ptr<const headscope::Capture> capture);  ///< layers follow
  void layerReady(int layer);
  void captureReady(std::shared_ptr<const headscope::Capture> capture, double seconds, double loss);
  void textContinued(QString text);
  void captureSaved(QString path);
  void jobChanged(headscope::ui::JobStatus status);
  void failed(QString what, QString message);  ///< what: "open", "run", "continue", "save", "map", "scores", "detail",
  /// "replay", "retrieval"

  void devicesListed(QVector<headscope::DeviceInfo> devices);  ///< "cpu" first
  void mapDeviceChanged(QString name);                         ///< of the GPU that computes maps; empty: none
  void noted(QString text);                                    ///< worth knowing, no failure: the GPU gave up, say

  void tileReady(std::shared_ptr<const headscope::Tile> tile);
  void viewStatus(int pane, headscope::ViewStatus status);
  void viewReady(quint64 view, std::shared_ptr<const headscope::HeadView> head);  ///< for exact values under the cursor
  void thumbnailReady(headscope::ui::Thumbnail thumbnail);
  void scoresReady(std::shared_ptr<const headscope::Report> report, bool complete);
  void detailReady(std::shared_ptr<const headscope::HeadDetail> detail);
  void replayReady(std::shared_ptr<const headscope::Replay> replay);
  void needlesScored(std::shared_ptr<const headscope::NeedleScores> scores);
  void rowReady(headscope::ui::HeadId head, qint64 query, QVector<float> probabilities);
  void columnReady(headscope::ui::HeadId head, qint64 key, QVector<float> probabilities);

 private:
  struct Private;
  std::unique_ptr<Private> d;
};

}  // namespace headscope::ui
