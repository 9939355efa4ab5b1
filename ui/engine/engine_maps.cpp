// Engine's work with maps, scores, details and rows.

#include <algorithm>
#include <thread>
#include <utility>

#include "core/maps/attention_map.h"
#include "core/maps/gpu_maps.h"
#include "core/maps/head_view.h"
#include "ui/engine/engine_private.h"

namespace headscope::ui {
namespace {

// Row-wise scores cost tokens² · dim a head. Up to here everything is exact at once; above, sampled rows come first.
constexpr std::int64_t kExactAtOnce = 2048;
constexpr std::int64_t kSampledRows = 512;
constexpr std::int64_t kSampledLags = 16384;
// Multiply-adds for exact scores of all heads, or for one head's detail, beyond which the sample stays.
constexpr double kMostScoreWork = 4e12;
constexpr double kMostScoreWorkOfGpu = 16 * kMostScoreWork;
constexpr double kMostDetailWork = 1e11;

double rowWork(const Capture& capture) {
  return static_cast<double>(capture.tokens()) * static_cast<double>(capture.tokens()) * capture.header().headDim;
}

// One core stays free for the map, where there are several.
int analysisThreads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) - 1);
}

QString titleOf(HeadId head) {
  return QStringLiteral("L%1·H%2").arg(head.layer).arg(head.head);
}

const std::vector<float>& valuesOf(const headscope::Thumbnail& thumbnail, Pool pool) {
  return pool == Pool::Max ? thumbnail.max : thumbnail.mass;
}

Thumbnail toUi(const headscope::Thumbnail& thumbnail, Pool pool) {
  Thumbnail result;
  result.capture = thumbnail.captureId;
  result.head = {thumbnail.layer, thumbnail.head};
  result.size = thumbnail.size;
  result.exact = thumbnail.exact;
  result.pool = pool;
  result.values = valuesOf(thumbnail, pool);
  return result;
}

}  // namespace

void Engine::Private::startTiles() {
  TileService::Callbacks callbacks;
  callbacks.tileReady = [this](int pane, std::shared_ptr<const Tile> tile) {
    tileCame(pane, tile->key.view);
    post([this, tile = std::move(tile)] { Q_EMIT q->tileReady(tile); });
  };
  callbacks.status = [this](int pane, const ViewStatus& status) {
    tileCame(pane, status.view);
    post([this, pane, status] { Q_EMIT q->viewStatus(pane, status); });
  };
  callbacks.thumbnailReady = [this](std::shared_ptr<const headscope::Thumbnail> thumbnail) {
    post([this, picture = toUi(*thumbnail, thumbnailPool), id = thumbnail->captureId] {
      if (id == thumbnailCapture && picture.pool == thumbnailPool) {
        Q_EMIT q->thumbnailReady(picture);
      }
    });
  };
  callbacks.failed = [this](int pane, const std::string& problem) {
    post([this, pane, message = QString::fromStdString(problem)] {
      Q_EMIT q->failed(pane < 0 ? QStringLiteral("thumbnail") : QStringLiteral("map"), message);
    });
  };
  callbacks.note = [this](const std::string& text) {
    post([this, note = QString::fromStdString(text)] { Q_EMIT q->noted(note); });
  };
  tiles = std::make_unique<TileService>(parts.tiles, std::move(callbacks));
}

// "auto" takes the first GPU and is silent where there is none.
void Engine::Private::useMapDevice(Run& run, quint64 generation, const std::string& device) {
  std::shared_ptr<GpuMaps> gpu;
  std::string reason;
  const std::vector<DeviceInfo> devices = device == "cpu" ? std::vector<DeviceInfo>() : parts.listDevices();
  if (device == "auto" ? devices.size() > 1 : device.starts_with("cuda")) {
    const std::size_t colon = device.find(':');
    gpu = parts.openGpuMaps(colon == std::string::npos ? 0 : std::atoi(device.c_str() + colon + 1), reason);
  }
  run.post([this, generation, gpu, device, reason] {
    if (generation != mapDeviceGeneration) {
      return;
    }
    tiles->setGpu(gpu);
    scoreDevice = "cpu";
    if (gpu) {
      useScoreDevice(generation, device.starts_with("cuda:") ? device : "cuda:0");
    }
    if (!reason.empty()) {
      Q_EMIT q->noted(Engine::tr("%1: %2: maps are computed on the processor")
                          .arg(QString::fromStdString(device), QString::fromStdString(reason)));
    }
    Q_EMIT q->mapDeviceChanged(gpu ? QString::fromStdString(gpu->name()) : QString());
  });
}

/// Until the GPU's program is compiled, seconds the first time on a machine, scores come from the processor.
void Engine::Private::useScoreDevice(quint64 generation, const std::string& device) {
  start(*deviceQueue,
        {"score device", Engine::tr("Prepare %1 for scores").arg(QString::fromStdString(device)),
         QStringLiteral("device"), false},
        [this, generation, device](Run& run) {
          prepareScoring(device, FloatType::BF16);
          prepareScoring(device, FloatType::F32);
          run.post([this, generation, device] {
            if (generation == mapDeviceGeneration) {
              scoreDevice = device;
            }
          });
        });
}

void Engine::setMapDevice(const QString& device) {
  const quint64 generation = ++d->mapDeviceGeneration;
  d->start(
      *d->fileQueue, {"map device", tr("Prepare %1 for maps").arg(device), QStringLiteral("device"), false},
      [this, generation, name = device.toStdString()](Private::Run& run) { d->useMapDevice(run, generation, name); });
}

void Engine::requestDevices() {
  d->start(
      *d->fileQueue, {"devices", tr("Look for devices"), QStringLiteral("device"), false}, [this](Private::Run& run) {
        const std::vector<DeviceInfo> found = d->parts.listDevices();
        run.post([this, devices = QVector<DeviceInfo>(found.begin(), found.end())] { Q_EMIT devicesListed(devices); });
      });
}

void Engine::Private::tileCame(int pane, std::uint64_t view) {
  {
    const std::lock_guard lock(paneMutex);
    const auto shown = paneViews.find(pane);
    if (shown == paneViews.end() || shown->second != view || announcedViews.contains(view)) {
      return;
    }
  }
  if (auto head = tiles->headView(view)) {
    {
      const std::lock_guard lock(paneMutex);
      announcedViews.insert(view);
    }
    post([this, view, head = std::move(head)] { Q_EMIT q->viewReady(view, head); });
  }
}

void Engine::showView(int pane, const ViewRequest& request) {
  {
    const std::uint64_t view = headscope::viewId(request.source);
    const std::lock_guard lock(d->paneMutex);
    std::uint64_t& shown = d->paneViews[pane];
    if (shown != view) {
      shown = view;
      d->announcedViews.erase(view);  // a view that comes back is announced again
    }
  }
  d->tiles->setView(pane, request);
}

void Engine::clearView(int pane) {
  {
    const std::lock_guard lock(d->paneMutex);
    d->paneViews.erase(pane);
  }
  d->tiles->clearView(pane);
}

TilePart Engine::bestTile(const TileKey& key) const {
  return d->tiles->best(key);
}

std::shared_ptr<const HeadView> Engine::headView(quint64 view) const {
  return d->tiles->headView(view);
}

std::shared_ptr<const headscope::Thumbnail> Engine::thumbnail(const Capture& capture, HeadId head) const {
  return d->tiles->thumbnail(capture.id(), head.layer, head.head);
}

quint64 Engine::viewId(const std::shared_ptr<const Capture>& capture, HeadId head,
                       const Interventions& interventions) const {
  return headscope::viewId({capture, head.layer, head.head, interventions});
}

std::uint64_t Engine::mapBytes() const {
  return d->tiles->statistics().bytes;
}

void Engine::requestThumbnails(std::shared_ptr<const Capture> capture, const QVector<HeadId>& heads, int size,
                               Pool pool) {
  d->thumbnailPool = pool;
  d->thumbnailCapture = capture ? capture->id() : 0;
  ThumbnailRequest request;
  request.capture = capture;
  request.size = size;
  for (const HeadId head : heads) {
    request.heads.push_back({head.layer, head.head});
  }
  d->tiles->setThumbnails(request);
  for (const HeadId head : heads) {
    const auto done = capture ? d->tiles->thumbnail(capture->id(), head.layer, head.head) : nullptr;
    if (done && done->size == size) {
      d->post([this, picture = toUi(*done, pool)] {
        if (picture.capture == d->thumbnailCapture && picture.pool == d->thumbnailPool) {
          Q_EMIT thumbnailReady(picture);
        }
      });
    }
  }
}

void Engine::requestScores(std::shared_ptr<const Capture> capture) {
  const quint64 generation = ++d->scoresGeneration;
  if (!capture) {
    d->scoresQueue->cancelTag("scores");
    return;
  }
  d->start(*d->scoresQueue, {"scores", tr("Scores of all heads"), QStringLiteral("scores")},
           [this, generation, capture, device = d->scoreDevice](Private::Run& run) {
             d->scores(run, generation, capture, device);
           });
}

void Engine::Private::scores(Run& run, quint64 generation, const std::shared_ptr<const Capture>& capture,
                             const std::string& device) {
  const auto deliver = [this, generation](std::shared_ptr<const Report> report, bool complete) {
    post([this, generation, report = std::move(report), complete] {
      if (generation == scoresGeneration) {
        Q_EMIT q->scoresReady(report, complete);
      }
    });
  };
  const CaptureHeader& header = capture->header();
  // Layer by layer at first; a later pass replaces the whole.
  const auto pass = [&](AnalysisOptions options, bool byLayer, bool last) {
    options.threads = analysisThreads();
    options.device = device;
    auto growing = std::make_shared<Report>();
    growing->exact = options.sample.exact(capture->tokens());
    growing->tokens = capture->tokens();
    if (byLayer) {
      options.onLayer = [&deliver, growing](const LayerReport& layer) {
        const auto place = std::lower_bound(growing->layers.begin(), growing->layers.end(), layer.layer,
                                            [](const LayerReport& a, int b) { return a.layer < b; });
        growing->layers.insert(place, layer);
        deliver(std::make_shared<const Report>(*growing), false);
      };
    }
    const auto report = std::make_shared<const Report>(analyzeCapture(*capture, options, run.control()));
    deliver(report, last);
    if (last) {
      capture->dropDeviceRows();  // maps need the memory more
      run.note = QString::fromStdString(report->note);
    }
  };
  if (capture->tokens() <= kExactAtOnce) {
    pass({}, true, true);
    return;
  }
  pass(estimateOptions(), true, false);
  AnalysisOptions better;
  if (rowWork(*capture) * header.layers * header.heads > (device == "cpu" ? kMostScoreWork : kMostScoreWorkOfGpu)) {
    better.sample.rows = kSampledRows;
    better.boundSample = RowSample{kSampledRows / 8};
    better.lagTokens = kSampledLags;
  }
  pass(better, false, true);
}

void Engine::requestDetail(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions) {
  const quint64 generation = ++d->detailGeneration;
  if (!capture) {
    d->detailQueue->cancelTag("detail");
    return;
  }
  d->start(*d->detailQueue, {"detail", tr("Details of %1").arg(titleOf(head)), QStringLiteral("detail"), false},
           [this, generation, capture, head, interventions](Private::Run& run) {
             d->detail(run, generation, capture, head, interventions);
           });
}

void Engine::Private::detail(Run& run, quint64 generation, const std::shared_ptr<const Capture>& capture, HeadId head,
                             const Interventions& interventions) {
  const auto deliver = [this, generation](const HeadDetail& detail) {
    post([this, generation, copy = std::make_shared<const HeadDetail>(detail)] {
      if (generation == detailGeneration) {
        Q_EMIT q->detailReady(copy);
      }
    });
  };
  DetailOptions options;
  options.interventions = interventions;
  options.onPart = [&](DetailPart, const HeadDetail& detail) { deliver(detail); };
  const bool atOnce = capture->tokens() <= kExactAtOnce;
  options.sample.rows = atOnce ? 0 : kSampledRows;
  deliver(analyzeHead(*capture, head.layer, head.head, options, run.control()));
  if (!atOnce && rowWork(*capture) <= kMostDetailWork) {
    options.sample.rows = 0;
    options.onPart = {};
    deliver(analyzeHead(*capture, head.layer, head.head, options, run.control()));
  }
}

std::shared_ptr<const HeadView> Engine::Private::rowSource(Run& run, const HeadSource& source) {
  const std::uint64_t view = headscope::viewId(source);
  if (view != rowViewId || !rowView) {
    rowView = tiles->headView(view);
    if (!rowView) {
      rowView = makeHeadView(*source.capture, source.layer, source.head, source.interventions, run.control());
    }
    rowViewId = view;
  }
  return rowView;
}

void Engine::requestRow(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions,
                        qint64 query) {
  const quint64 generation = ++d->rowGeneration;
  d->start(
      *d->rowQueue, {"row", tr("Row of %1").arg(titleOf(head)), QStringLiteral("map"), false},
      [=, this](Private::Run& run) {
        if (!capture || query < 0 || query >= capture->tokens() || !capture->ready(head.layer)) {
          return;
        }
        const auto view = d->rowSource(run, {capture, head.layer, head.head, interventions});
        const std::vector<float> row = probabilities(*view, {query, query + 1, 0, capture->tokens()}, run.control());
        run.post([this, generation, head, query, values = QVector<float>(row.begin(), row.end())] {
          if (generation == d->rowGeneration) {
            Q_EMIT rowReady(head, query, values);
          }
        });
      });
}

void Engine::requestColumn(std::shared_ptr<const Capture> capture, HeadId head, const Interventions& interventions,
                           qint64 key) {
  const quint64 generation = ++d->columnGeneration;
  d->start(
      *d->rowQueue, {"column", tr("Column of %1").arg(titleOf(head)), QStringLiteral("map"), false},
      [=, this](Private::Run& run) {
        if (!capture || key < 0 || key >= capture->tokens() || !capture->ready(head.layer)) {
          return;
        }
        const auto view = d->rowSource(run, {capture, head.layer, head.head, interventions});
        const std::vector<float> column = probabilities(*view, {0, capture->tokens(), key, key + 1}, run.control());
        run.post([this, generation, head, key, values = QVector<float>(column.begin(), column.end())] {
          if (generation == d->columnGeneration) {
            Q_EMIT columnReady(head, key, values);
          }
        });
      });
}

}  // namespace headscope::ui
