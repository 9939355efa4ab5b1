// Engine's work for TAPPA's teaching and proofs: gallery, experiments, needle prompts.

#include <utility>

#include "core/analysis/constructed_heads.h"
#include "core/analysis/needle_prompt.h"
#include "ui/engine/engine_private.h"

namespace headscope::ui {

void Engine::openGallery() {
  d->cancelModelWork();
  d->modelQueue->cancelTag("open");
  const quint64 generation = ++d->openGeneration;
  d->start(*d->fileQueue, {"open", tr("Build the gallery"), QStringLiteral("open"), true, false},
           [this, generation](Private::Run& run) {
             run.post([this, generation, capture = galleryCapture()] {
               if (generation == d->openGeneration) {
                 Q_EMIT captureReady(capture, 0, std::numeric_limits<double>::quiet_NaN());
               }
             });
           });
}

void Engine::requestReplay(std::shared_ptr<const Capture> capture, HeadId head) {
  const quint64 generation = ++d->replayGeneration;
  const QString title = tr("Experiments on L%1·H%2").arg(head.layer).arg(head.head);
  d->start(*d->replayQueue, {"replay", title, QStringLiteral("replay"), false},
           [this, generation, capture = std::move(capture), head](Private::Run& run) {
             auto replay =
                 std::make_shared<const Replay>(replayExperiments(*capture, head.layer, head.head, run.control()));
             run.post([this, generation, replay = std::move(replay)] {
               if (generation == d->replayGeneration) {
                 Q_EMIT replayReady(replay);
               }
             });
           });
}

void Engine::scoreNeedles(const QString& haystack) {
  const quint64 generation = d->openGeneration;
  d->start(
      *d->modelQueue, {"retrieval", tr("Score retrieval on needle prompts"), QStringLiteral("retrieval")},
      [this, generation, utf8 = haystack.toStdString()](Private::Run& run) { d->scoreNeedles(run, generation, utf8); });
}

void Engine::Private::scoreNeedles(Run& run, quint64 generation, const std::string& haystack) {
  if (!model || !tokenizer) {
    throw Error({}, "retrieval needs an open model with a tokenizer");
  }
  auto scores = std::make_shared<NeedleScores>();
  const std::vector<NeedlePrompt> prompts = needlePrompts(haystack);
  const JobControl control = run.control();
  for (std::size_t index = 0; index < prompts.size(); ++index) {
    JobControl part = control;
    part.progress = [&control, index, count = prompts.size()](const Progress& progress) {
      control.progress(
          {concat("prompt ", index + 1, " of ", count, ", ", progress.stage), progress.done, progress.total});
    };
    RunOptions options;
    options.loss = false;
    const auto ids = tokenizer->encode(prompts[index].text, Bos::Auto, false).ids;
    scores->add(*model->run(ids, options, part).capture, part);
  }
  run.note = Engine::tr("%1 prompts, %2 tokens to copy").arg(scores->prompts()).arg(scores->tokens());
  post([this, generation, scores = std::shared_ptr<const NeedleScores>(std::move(scores))] {
    if (generation == openGeneration) {
      Q_EMIT q->needlesScored(scores);
    }
  });
}

}  // namespace headscope::ui
