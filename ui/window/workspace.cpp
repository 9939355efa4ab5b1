#include "ui/window/workspace.h"

#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QSettings>
#include <cmath>

#include "core/base/error.h"
#include "ui/flags/mask_exchange.h"
#include "ui/jobs/jobs_list.h"
#include "ui/style/plot_style.h"
#include "ui/window/machine_menu.h"
#include "ui/window/recent_files.h"
#include "ui/window/resource_folder.h"

namespace headscope::ui {
namespace {

constexpr qint64 kPeekBytes = 4096;
constexpr char kColorMapKey[] = "map/colorMap";
constexpr char kScaleKey[] = "map/scale";

QString fileName(const QString& path) {
  return QFileInfo(path).fileName();
}

QByteArray beginningOf(const QString& path) {
  QFile file(path);
  return file.open(QIODevice::ReadOnly) ? file.read(kPeekBytes) : QByteArray();
}

}  // namespace

QString modelPathOf(const QString& path) {
  const QFileInfo info(path);
  const bool weights = info.suffix() == QLatin1String("safetensors") || info.suffix() == QLatin1String("bin") ||
                       info.fileName() == QLatin1String("config.json") ||
                       info.fileName().endsWith(QLatin1String(".index.json"));
  const bool beside = QFileInfo::exists(info.absoluteDir().filePath(QStringLiteral("config.json")));
  return info.isFile() && weights && beside ? info.absolutePath() : info.absoluteFilePath();
}

PathKind kindOfPath(const QString& path) {
  const QFileInfo info(modelPathOf(path));
  const QString ending = info.suffix().toLower();
  if (info.isDir() || ending == QLatin1String("gguf")) {
    return PathKind::Model;
  }
  if (ending == QLatin1String("safetensors")) {
    return PathKind::Capture;
  }
  if (ending == QLatin1String("headscope") || beginningOf(info.filePath()).contains("headscope-session")) {
    return PathKind::Session;
  }
  return ending == QLatin1String("txt") || ending == QLatin1String("md") ? PathKind::Text : PathKind::Unknown;
}

Workspace::Workspace(Engine* engine, Session* session, const QString& journalFolder, QObject* parent)
    : QObject(parent), engine_(engine), session_(session), journal_(*session, journalFolder) {
  connectEngine();
  machine_ = savedMachine();
  engine_->setMapDevice(QString::fromStdString(machine_.device));
  connect(&journal_, &SessionJournal::failed, this, [this](const QString& text) {
    Q_EMIT message(Zone::Flags, {text, tr("Flags are kept in memory only: save the session."), {}, {}, true});
  });
  restoreLooks();
  connect(session_, &Session::styleChanged, this, &Workspace::saveLooks);
}

void Workspace::connectEngine() {
  connect(engine_, &Engine::modelOpened, this, &Workspace::modelOpened);
  connect(engine_, &Engine::captureStarted, this, &Workspace::captureStarted);
  connect(engine_, &Engine::captureReady, this, &Workspace::captureReady);
  connect(engine_, &Engine::layerReady, session_, &Session::layerReady);
  connect(engine_, &Engine::jobChanged, this, &Workspace::jobChanged);
  connect(engine_, &Engine::failed, this, &Workspace::failed);
  connect(engine_, &Engine::textContinued, this, &Workspace::textContinued);
  connect(engine_, &Engine::scoresReady, this, [this](std::shared_ptr<const Report> report, bool complete) {
    scoresComplete_ = complete;
    session_->setReport(std::move(report));
  });
  connect(engine_, &Engine::noted, this, [this](const QString& text) {
    Q_EMIT message(Zone::Map, {text, {}, {}, {}, false});
  });
  connect(engine_, &Engine::needlesScored, this, [this](std::shared_ptr<const NeedleScores> scores) {
    Q_EMIT said(
        tr("retrieval scored on %1 needle prompts, %2 tokens to copy").arg(scores->prompts()).arg(scores->tokens()));
    session_->setNeedleScores(std::move(scores));
    Q_EMIT retrievalScored();
  });
  connect(engine_, &Engine::captureSaved, this, [this](const QString& path) {
    addRecentFile(path);
    Q_EMIT said(tr("saved capture %1").arg(fileName(path)));
  });
}

QString Workspace::keptWords() const {
  const QString name = session_->model()     ? QString::fromStdString(session_->model()->name)
                       : session_->capture() ? QString::fromStdString(session_->capture()->header().model)
                                             : QString();
  if (name.isEmpty()) {
    return {};
  }
  return session_->flags().empty()
             ? tr("%1 stays open.").arg(name)
             : tr("%1 stays open with its %n flag(s).", nullptr, static_cast<int>(session_->flags().size())).arg(name);
}

void Workspace::setOpening(const QString& path) {
  opening_ = path;
  Q_EMIT openingChanged(path.isEmpty() ? QString() : fileName(path));
}

void Workspace::setRunning(bool running) {
  if (running != running_) {
    running_ = running;
    Q_EMIT runningChanged(running);
  }
}

void Workspace::open(const QString& path) {
  selectWhenRun_.reset();
  switch (kindOfPath(path)) {
    case PathKind::Model:
      return openModel(modelPathOf(path));
    case PathKind::Capture:
      return openCapture(QFileInfo(path).absoluteFilePath());
    case PathKind::Session:
      return openSession(path);
    case PathKind::Text:
      return loadPrompt(path);
    case PathKind::Unknown:
      break;
  }
  const bool exists = QFileInfo::exists(path);
  Q_EMIT message(Zone::Map,
                 {exists ? tr("%1: is no model folder, .gguf file, capture (.safetensors), session or text").arg(path)
                         : tr("%1: does not exist").arg(path),
                  keptWords(), tr("Open another…"), [this] { Q_EMIT openAsked(); }, true});
}

void Workspace::openModel(const QString& path) {
  openingCapture_ = false;
  setOpening(path);
  engine_->openModel(path, machine_);
}

void Workspace::setMachine(const ModelOptions& machine) {
  machine_ = machine;
  saveMachine(machine);
  engine_->setMapDevice(QString::fromStdString(machine.device));
  if (session_->model() == nullptr) {
    return;
  }
  const bool ran = session_->capture() != nullptr;
  runWhenOpen_ = ran ? std::optional(session_->prompt()) : std::nullopt;
  selectWhenRun_ = ran ? std::optional(session_->selected()) : std::nullopt;
  openModel(QString::fromStdString(session_->model()->path.string()));
}

void Workspace::openCapture(const QString& path) {
  openingCapture_ = true;
  setOpening(path);
  engine_->openCapture(path);
}

void Workspace::openDemo() {
  const QString model = resourcePath(QStringLiteral("demo/headscope-demo"));
  if (model.isEmpty()) {
    Q_EMIT message(Zone::Map, {tr("The demo model is missing: resources/demo/headscope-demo was not found"),
                               keptWords(), tr("Open another…"), [this] { Q_EMIT openAsked(); }, true});
    return;
  }
  QString prompt;
  try {
    prompt = readTextFile(resourcePath(QStringLiteral("demo/prompt.txt")));
  } catch (const Error& error) {
    Q_EMIT message(Zone::Map, {QString::fromUtf8(error.what()), {}, {}, {}, true});
  }
  openAndRun(model, prompt);
  selectWhenRun_ = HeadId{5, 5};  // an induction head: finds what followed the same word before
}

void Workspace::openGallery(Case kind) {
  pending_.reset();
  runWhenOpen_.reset();
  openingCapture_ = true;
  selectWhenRun_ = HeadId{0, static_cast<int>(kind)};
  setOpening(tr("gallery of constructed heads"));
  engine_->openGallery();
}

void Workspace::scoreRetrieval() {
  if (!session_->model()) {
    Q_EMIT message(Zone::Map, {tr("Needle prompts need a model: nothing can run on a capture alone"), keptWords(),
                               tr("Open…"), [this] { Q_EMIT openAsked(); }, false});
    return;
  }
  const QString path = resourcePath(QStringLiteral("demo/haystack.txt"));
  try {
    engine_->scoreNeedles(readTextFile(path.isEmpty() ? QStringLiteral("demo/haystack.txt") : path));
  } catch (const Error& error) {
    Q_EMIT message(Zone::Map, {QString::fromUtf8(error.what()), keptWords(), {}, {}, true});
  }
}

void Workspace::openAndRun(const QString& path, const QString& prompt) {
  pending_.reset();
  runWhenOpen_ = prompt;
  session_->setPrompt(prompt);
  open(path);
}

void Workspace::modelOpened(std::shared_ptr<const ModelInfo> info, const QString& device, const QString& arithmetic) {
  device_ = device;
  arithmetic_ = arithmetic;
  scoresComplete_ = false;
  const QString path = QString::fromStdString(info->path.string());
  session_->setModel(std::move(info));
  setOpening(QString());
  if (path != resourcePath(QStringLiteral("demo/headscope-demo"))) {
    addRecentFile(path);
  }
  Q_EMIT settled(Zone::Map);
  const auto prompt = std::exchange(runWhenOpen_, std::nullopt);
  if (pending_) {
    restore();
  } else if (prompt && !prompt->isEmpty()) {
    session_->setPrompt(*prompt);
    run();
  }
}

void Workspace::captureStarted(std::shared_ptr<const Capture> capture) {
  scoresComplete_ = false;
  session_->setCapture(std::move(capture));
  if (selectWhenRun_) {
    session_->select(*selectWhenRun_);
    selectWhenRun_.reset();
  }
}

void Workspace::captureReady(std::shared_ptr<const Capture> capture, double seconds, double loss) {
  setRunning(false);
  if (openingCapture_ && !opening_.isEmpty()) {
    if (!capture->path().empty()) {  // the gallery is no file
      addRecentFile(opening_);
    }
    setOpening(QString());
    device_ = tr("capture");
    arithmetic_.clear();
    session_->setModel(nullptr);
    session_->setPrompt(QString::fromStdString(capture->header().text));
  }
  scoresComplete_ = false;
  session_->setCapture(capture);
  if (selectWhenRun_) {
    session_->select(*selectWhenRun_);
    selectWhenRun_.reset();
  }
  engine_->requestScores(capture);
  Q_EMIT settled(Zone::Map);
  if (pending_) {
    restore();
  }
  if (seconds > 0) {
    const double rate = static_cast<double>(capture->tokens()) / seconds;
    QString words = tr("ran %1 tokens in %2 s, %3 tokens/s")
                        .arg(formatCount(capture->tokens()), formatValue(seconds), formatValue(rate));
    if (!std::isnan(loss)) {
      words += tr(" · loss %1 nats").arg(formatValue(loss));
    }
    Q_EMIT said(words);
  }
}

void Workspace::run() {
  if (!session_->model()) {
    const bool capture = session_->capture() != nullptr;
    Q_EMIT message(Zone::Map, {capture ? tr("A capture has no weights: open its model to run another text")
                                       : tr("Open a model first"),
                               keptWords(), tr("Open…"), [this] { Q_EMIT openAsked(); }, false});
    return;
  }
  if (session_->prompt().isEmpty()) {
    Q_EMIT message(Zone::Map,
                   {tr("The prompt is empty"), {}, tr("Write one"), [this] { Q_EMIT promptAsked(); }, false});
    return;
  }
  setRunning(true);
  Q_EMIT settled(Zone::Map);
  engine_->run(session_->prompt(), session_->bos());
}

void Workspace::stop() {
  engine_->cancelAll();
}

void Workspace::continueText(int tokens) {
  if (session_->model() && session_->capture()) {
    engine_->continueText(tokens);
  } else {
    run();
  }
}

void Workspace::saveCapture(const QString& path) {
  if (session_->capture()) {
    engine_->saveCapture(session_->capture(), path);
  }
}

void Workspace::jobChanged(const JobStatus& status) {
  if (status.active()) {
    const QString left = timeLeftWords(status.secondsLeft);
    Q_EMIT progressed(status.fraction, left.isEmpty()
                                           ? QStringLiteral("%1: %2").arg(status.title, status.stage)
                                           : QStringLiteral("%1: %2, %3").arg(status.title, status.stage, left));
  } else if (status.state == JobStatus::State::Cancelled && !engine_->busy()) {
    setRunning(false);
    if (!opening_.isEmpty()) {
      setOpening(QString());
    }
    Q_EMIT said(tr("stopped: %1").arg(status.title));
  }
}

void Workspace::failed(const QString& what, const QString& text) {
  if (what == QLatin1String("open")) {
    const bool session = pending_.has_value();
    const QString path = opening_;
    setOpening(QString());
    runWhenOpen_.reset();
    QString kept = keptWords();
    if (session) {
      restoreFlags(*pending_);
      pending_.reset();
      kept = tr("Prompt, flags and notes of the session were loaded. Open its model elsewhere and they fit.");
    }
    Q_EMIT message(Zone::Map, {text, kept, tr("Open another…"), [this] { Q_EMIT openAsked(); }, true});
  } else if (what == QLatin1String("run") || what == QLatin1String("continue")) {
    setRunning(false);
    Q_EMIT message(Zone::Map, {text, session_->capture() ? tr("The last run stays.") : tr("The model stays open."),
                               tr("Edit prompt"), [this] { Q_EMIT promptAsked(); }, true});
  } else if (what == QLatin1String("save")) {
    Q_EMIT message(Zone::Map, {text, tr("The run is still here; nothing was half-written."), {}, {}, true});
  } else if (what == QLatin1String("detail")) {
    Q_EMIT message(Zone::Head,
                   {text, session_->interventions().any() ? tr("The original head is as it was.") : QString(),
                    session_->interventions().any() ? tr("Original") : QString(),
                    [this] { session_->setInterventions({}); }, true});
  } else if (what != QLatin1String("map")) {  // the map says so itself
    Q_EMIT message(Zone::Map, {text, {}, {}, {}, true});
  }
}

// Colours stay from one start to the next; what they show (value, pooling) starts as probability and max.
void Workspace::saveLooks() const {
  QSettings settings;
  settings.setValue(QLatin1String(kColorMapKey), session_->style().colorMap);
  settings.setValue(QLatin1String(kScaleKey), scaleName(session_->style().scale));
}

void Workspace::restoreLooks() {
  const QSettings settings;
  MapStyle style = session_->style();
  const QString colors = settings.value(QLatin1String(kColorMapKey)).toString();
  style.colorMap = isColorMapName(colors) ? colors : style.colorMap;
  style.scale = scaleFromName(settings.value(QLatin1String(kScaleKey)).toString()).value_or(style.scale);
  session_->setStyle(style);
}

}  // namespace headscope::ui
