#include "core/model/detail/generate.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/softmax.h>

#include "core/model/detail/layer_step.h"
#include "core/model/detail/prefill.h"

namespace headscope {
namespace {

constexpr std::int64_t kPromptBlock = 512;

class Generation {
 public:
  Generation(const Engine& engine, std::span<const std::int64_t> prompt, const GenerateOptions& options,
             const JobControl& control)
      : engine_(engine),
        options_(options),
        control_(control),
        ids_(prompt.begin(), prompt.end()),
        capacity_(static_cast<std::int64_t>(prompt.size()) + options.count),
        random_(options.seed) {}

  std::vector<std::int64_t> run() {
    std::vector<std::int64_t> made;
    while (static_cast<std::int64_t>(made.size()) < options_.count) {
      control_.checkpoint("generating", static_cast<std::int64_t>(made.size()), options_.count);
      const std::int64_t id = choose(nextLogits());
      made.push_back(id);
      ids_.push_back(id);
      if (options_.token) {
        options_.token(id);
      }
      if (std::find(options_.stopIds.begin(), options_.stopIds.end(), id) != options_.stopIds.end()) {
        break;
      }
    }
    return made;
  }

 private:
  // Logits [V] behind the last id; feeds what the cache lacks.
  at::Tensor nextLogits() {
    const auto length = static_cast<std::int64_t>(ids_.size());
    std::vector<Rope> ropes = ropesFor(engine_.decoder(), length);
    if (!step_ || ropes != ropes_) {
      ropes_ = std::move(ropes);
      tables_ = std::make_unique<RotaryTables>(engine_.decoder(), ropes_, capacity_);
      step_ = std::make_unique<LayerStep>(engine_, *tables_, capacity_);
      fed_ = 0;
    }
    at::Tensor last;
    while (fed_ < length) {
      const std::int64_t count = std::min(kPromptBlock, length - fed_);
      last = feed(fed_, count);
      fed_ += count;
    }
    const at::Tensor normed = applyNorm(engine_.weights, engine_.decoder().finalNorm,
                                        placed(last.narrow(0, last.size(0) - 1, 1), engine_.placement.head));
    const at::Tensor logits = headLogits(engine_.weights, engine_.decoder(), normed).select(0, 0).to(at::kCPU);
    if (!std::isfinite(logits.sum().item<float>())) {
      throw Error(engine_.files.path.string(), notFinite(engine_.type()));
    }
    return logits;
  }

  at::Tensor feed(std::int64_t first, std::int64_t count) {
    const at::Tensor ids =
        at::from_blob(ids_.data() + first, {count}, at::kLong).to(engine_.placement.embedding.device);
    at::Tensor x = embed(engine_.weights, engine_.decoder(), ids);
    const at::Tensor extra = perLayerInputs(engine_.weights, engine_.decoder(), ids, x);
    for (int layer = 0; layer < engine_.layers(); ++layer) {
      control_.checkpoint();
      const Place& place = engine_.place(layer);
      const at::Tensor own = extra.defined() ? placed(extra.select(1, layer), place) : at::Tensor();
      x = step_->run(layer, first, placed(x, place), own, nullptr);
    }
    return x;
  }

  std::int64_t choose(const at::Tensor& logits) {
    if (options_.temperature <= 0) {
      return at::argmax(logits).item<std::int64_t>();
    }
    const at::Tensor shares = at::softmax(logits.to(at::kDouble) / options_.temperature, -1);
    const double* p = shares.data_ptr<double>();
    double rest = std::uniform_real_distribution<double>()(random_);
    for (std::int64_t id = 0; id < shares.numel(); ++id) {
      rest -= p[id];
      if (rest < 0) {
        return id;
      }
    }
    return at::argmax(logits).item<std::int64_t>();
  }

  const Engine& engine_;
  const GenerateOptions& options_;
  const JobControl& control_;
  std::vector<std::int64_t> ids_;
  std::int64_t capacity_;
  std::mt19937_64 random_;
  std::vector<Rope> ropes_;
  std::unique_ptr<RotaryTables> tables_;
  std::unique_ptr<LayerStep> step_;
  std::int64_t fed_ = 0;
};

}  // namespace

std::vector<std::int64_t> generateIds(const Engine& engine, std::span<const std::int64_t> prompt,
                                      const GenerateOptions& options, const JobControl& control) {
  checkIds(engine.decoder(), prompt);
  return Generation(engine, prompt, options, control).run();
}

}  // namespace headscope
