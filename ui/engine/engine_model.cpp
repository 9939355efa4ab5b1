// Engine's work with models and files.

#include <unistd.h>

#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>
#include <utility>

#include "ui/engine/engine_private.h"
#include "ui/style/plot_style.h"

namespace headscope::ui {
namespace {

std::filesystem::path toPath(const QString& path) {
  return std::filesystem::path(QFile::encodeName(path).toStdString());
}

QString nameOf(const QString& path) {
  return QFileInfo(QDir(path).absolutePath()).fileName();
}

std::uint64_t physicalBytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void Engine::Private::cancelModelWork() {
  ++runGeneration;
  modelQueue->cancelTag("run");
  modelQueue->cancelTag("continue");
  modelQueue->cancelTag("retrieval");
}

void Engine::openModel(const QString& path, const ModelOptions& options) {
  d->cancelModelWork();
  const quint64 generation = ++d->openGeneration;
  d->start(*d->modelQueue, {"open", tr("Open %1").arg(nameOf(path)), QStringLiteral("open")},
           [this, generation, options, file = toPath(path)](Private::Run& run) {
             d->openModel(run, generation, file, options);
           });
}

void Engine::Private::openModel(Run& run, quint64 generation, const std::filesystem::path& path,
                                const ModelOptions& options) {
  // The tokenizer first: it is quick, and where it fails the weights need not be read.
  auto newTokenizer = parts.openTokenizer(path);
  auto newModel = parts.openModel(path, options, run.control());
  run.control().checkpoint();
  model = std::move(newModel);
  tokenizer = std::move(newTokenizer);
  lastIds.clear();
  QStringList notes;
  for (const std::string& note : model->info().notes) {
    notes.append(QString::fromStdString(note));
  }
  run.note = notes.join(QStringLiteral("; "));
  QString before;
  if (tokenizer) {
    for (const std::string& piece : tokenizer->pieces(tokenizer->addedBefore())) {
      before += QString::fromStdString(piece);
    }
  }
  post([this, generation, before, info = std::make_shared<const ModelInfo>(model->info()),
        device = QString::fromStdString(model->device()), arithmetic = QString::fromStdString(model->arithmetic())] {
    if (generation == openGeneration) {
      Q_EMIT q->tokenizerOpened(before);
      Q_EMIT q->modelOpened(info, device, arithmetic);
    }
  });
}

void Engine::openCapture(const QString& path) {
  d->cancelModelWork();
  d->modelQueue->cancelTag("open");
  const quint64 generation = ++d->openGeneration;
  d->start(*d->fileQueue, {"open", tr("Open %1").arg(nameOf(path)), QStringLiteral("open"), true, false},
           [this, generation, file = toPath(path)](Private::Run& run) {
             const auto capture = Capture::open(file);
             run.post([this, generation, capture] {
               if (generation == d->openGeneration) {
                 Q_EMIT captureReady(capture, 0, std::numeric_limits<double>::quiet_NaN());
               }
             });
           });
}

void Engine::run(const QString& text, Bos bos, bool parseSpecialTokens) {
  d->modelQueue->cancelTag("continue");
  const quint64 generation = ++d->runGeneration;
  d->start(*d->modelQueue, {"run", tr("Run"), QStringLiteral("run")},
           [this, generation, utf8 = text.toStdString(), bos, parseSpecialTokens](Private::Run& run) {
             d->runModel(run, generation, utf8, bos, parseSpecialTokens);
           });
}

void Engine::Private::runModel(Run& run, quint64 generation, const std::string& text, Bos bos,
                               bool parseSpecialTokens) {
  if (!model) {
    throw Error({}, "no model is open");
  }
  const std::string name = model->info().name;
  if (!tokenizer) {
    throw Error(model->info().path.string(), "this model comes without a tokenizer, so a text can't be run");
  }
  const Encoding encoding = tokenizer->encode(text, bos, parseSpecialTokens);
  if (encoding.ids.empty()) {
    throw Error({}, "the text is empty");
  }
  run.setTitle(Engine::tr("Run %1 on %2 tokens")
                   .arg(QString::fromStdString(name), formatCount(static_cast<qint64>(encoding.ids.size()))));
  const auto current = [this, generation](const std::function<void()>& call) {
    post([this, generation, call] {
      if (generation == runGeneration) {
        call();
      }
    });
  };
  RunOptions options;
  options.text = text;
  options.tokens = tokenizer->pieces(encoding.ids);
  options.file = captureFile(model->info(), encoding.ids.size());
  options.deviceRows = true;  // the scores come next
  options.started = [this, current](std::shared_ptr<const Capture> capture) {
    current([this, capture] { Q_EMIT q->captureStarted(capture); });
  };
  options.layerDone = [this, current](int layer) { current([this, layer] { Q_EMIT q->layerReady(layer); }); };
  const RunResult result = model->run(encoding.ids, options, run.control());
  lastIds = encoding.ids;
  QStringList notes{
      Engine::tr("%1 tokens/s").arg(formatValue(static_cast<double>(lastIds.size()) / std::max(result.seconds, 1e-9)))};
  for (const std::string& note : result.notes) {
    notes.append(QString::fromStdString(note));
  }
  run.note = notes.join(QStringLiteral("; "));
  current([this, result] { Q_EMIT q->captureReady(result.capture, result.seconds, result.loss); });
}

// Where a capture goes that would take more than a quarter of the machine's memory; empty: memory. The file before the
// last one is removed: nobody maps it any more, or the mapping outlives its name.
std::filesystem::path Engine::Private::captureFile(const ModelInfo& info, std::size_t tokens) {
  std::uint64_t floatsPerToken = 0;
  for (const CaptureBuilder::LayerShape& shape : info.shapes) {
    floatsPerToken += static_cast<std::uint64_t>(shape.heads + shape.kvHeads) * static_cast<std::uint64_t>(shape.dim);
  }
  if (floatsPerToken * tokens * sizeof(float) < physicalBytes() / 4) {
    return {};
  }
  if (!captureFolder) {
    const QString folder = QStandardPaths::writableLocation(QStandardPaths::CacheLocation);
    QDir().mkpath(folder);
    captureFolder = std::make_unique<QTemporaryDir>(folder + QStringLiteral("/capture-XXXXXX"));
  }
  if (!captureFolder->isValid()) {
    throw Error(captureFolder->path().toStdString(), captureFolder->errorString().toStdString());
  }
  const auto fileName = [this](int number) {
    return toPath(captureFolder->filePath(QStringLiteral("%1.safetensors").arg(number)));
  };
  std::error_code ignored;
  std::filesystem::remove(fileName(captureNumber), ignored);
  return fileName(++captureNumber);
}

void Engine::continueText(int count) {
  const quint64 generation = d->runGeneration;
  d->start(*d->modelQueue, {"continue", tr("Continue by %1 tokens").arg(count), QStringLiteral("continue")},
           [this, generation, count](Private::Run& run) { d->continueModel(run, generation, count); });
}

void Engine::Private::continueModel(Run& run, quint64 generation, int count) {
  if (!model || !tokenizer || lastIds.empty()) {
    throw Error({}, "there is no text to continue: run one first");
  }
  const JobControl control = run.control();
  std::int64_t done = 0;
  GenerateOptions options;
  options.count = count;
  if (const auto eos = tokenizer->eos()) {
    options.stopIds = {*eos};
  }
  options.token = [&](std::int64_t) { control.checkpoint("continue", ++done, count); };
  std::vector<std::int64_t> ids = lastIds;
  const std::vector<std::int64_t> added = model->generate(lastIds, options, control);
  // Decoded together with the text, as a tokenizer may strip what stands in front; the text itself is cut off again.
  const std::string before = tokenizer->decode(ids);
  ids.insert(ids.end(), added.begin(), added.end());
  const std::string whole = tokenizer->decode(ids);
  const std::string text = whole.starts_with(before) ? whole.substr(before.size()) : tokenizer->decode(added);
  post([this, generation, continuation = QString::fromStdString(text)] {
    if (generation == runGeneration) {
      Q_EMIT q->textContinued(continuation);
    }
  });
}

void Engine::saveCapture(std::shared_ptr<const Capture> capture, const QString& path) {
  d->start(*d->fileQueue, {"save " + path.toStdString(), tr("Save %1").arg(nameOf(path)), QStringLiteral("save")},
           [this, capture = std::move(capture), path](Private::Run& run) {
             if (!capture) {
               throw Error(path.toStdString(), "there is no capture to save");
             }
             capture->save(toPath(path), run.control());
             run.post([this, path] { Q_EMIT captureSaved(path); });
           });
}

}  // namespace headscope::ui
