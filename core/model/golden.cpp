#include "core/model/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/rope/rope.h"

namespace headscope {
namespace {

using Floats = std::vector<float>;

Floats floatsOf(const TensorView& view) {
  Floats values(static_cast<std::size_t>(view.elements()));
  toFloats(view.bytes.data(), floatType(view.type).value(), values.size(), values.data());
  return values;
}

std::vector<std::int64_t> idsOf(const TensorView& view) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(view.elements()));
  std::memcpy(ids.data(), view.bytes.data(), view.bytes.size());
  return ids;
}

// How a kind of tensor is compared: |difference| / (floor or max |reference|).
struct Rule {
  const char* quantity;
  double tolerance;
  const char* definition;
  double floor;        ///< the scale is at least this
  bool byMagnitude;    ///< the scale is the largest magnitude of the reference tensor
  bool elementwise;    ///< relative to each element
  bool added = false;  ///< relative to floor + each element
};

constexpr Rule kBefore{"q, k before RoPE", 1e-5, "max(1, largest magnitude)", 1, true, false};
constexpr Rule kAfter{"q, k after RoPE", 1e-5, "max(1, largest magnitude)", 1, true, false};
constexpr Rule kValues{"v", 1e-5, "max(1, largest magnitude)", 1, true, false};
constexpr Rule kEmbedding{"embedding", 1e-5, "max(1, largest magnitude)", 1, true, false};
constexpr Rule kProbabilities{"probabilities", 1e-5, "1", 1, false, false};
// stories260K: logits reach 180 there, where neighbouring float32 differ by 1.5e-5.
constexpr Rule kLooseProbabilities{"probabilities", 1e-5, "1 + each probability", 1, false, false, true};
constexpr Rule kHidden{"hidden states", 2e-5, "largest magnitude", 1e-30, true, false};
constexpr Rule kLogits{"logits", 1e-4, "largest magnitude", 1e-30, true, false};
constexpr Rule kFrequencies{"RoPE frequencies", 1e-6, "each frequency", 1e-30, false, true};
constexpr Rule kRowSums{"rows sum to 1", 1e-5, "max(1, log-sum-exp), which is float32", 1, false, false};

class Comparison {
 public:
  Comparison(Model& model, const std::filesystem::path& path, double slack)
      : model_(model), file_(SafetensorsFile::open(path)), slack_(slack) {
    report_.name = path.parent_path().filename().string();
    report_.family = model.info().family;
    const auto metadata = file_->metadata().find("headscope_golden");
    if (metadata != file_->metadata().end()) {
      const Json json = parseJson(metadata->second, path.string());
      strict_ = true;
      report_.reference = "transformers " + JsonReader(json, path.string()).stringOr("transformers", "");
    }
  }

  GoldenReport run(const JobControl& control) {
    const std::vector<std::int64_t> ids = idsOf(file_->at("ids"));
    tokens_ = static_cast<std::int64_t>(ids.size());
    RunOptions options;
    options.logits = true;
    options.values = true;
    std::map<int, Floats> streams;
    options.hidden = [&](int layer, std::int64_t, std::span<const float> rows) {
      streams[layer].insert(streams[layer].end(), rows.begin(), rows.end());
    };
    const RunResult result = model_.run(ids, options, control);
    compareStreams(streams);
    for (int layer = 0; layer < result.capture->header().layers; ++layer) {
      compareLayer(*result.capture, layer);
    }
    compare(kLogits, "logits", result.logits);
    for (auto& [quantity, check] : checks_) {
      report_.checks.push_back(check);
    }
    return std::move(report_);
  }

 private:
  void compareStreams(const std::map<int, Floats>& streams) {
    const int layers = model_.info().layers;
    // stories260K calls layer 0's input hidden.0; the families call it embed and layer 0's output hidden.0.
    const bool byInput = file_->find("embed") == nullptr;
    compare(kEmbedding, "embed", streams.at(0));
    for (const auto& [layer, values] : streams) {
      if (layer <= layers && (byInput ? layer < layers : layer > 0)) {
        compare(kHidden, concat("hidden.", byInput ? layer : layer - 1), values);
      }
    }
    compare(kHidden, byInput ? concat("hidden.", layers) : "final", streams.at(layers + 1));
  }

  void compareLayer(const Capture& capture, int layer) {
    const CaptureLayer& data = capture.layer(layer);
    const Floats q = gather(data.q, data.dim);
    const Floats k = gather(data.k, data.dim);
    compare(kBefore, concat("q_pre.", layer), q);
    compare(kBefore, concat("k_pre.", layer), k);
    if (!data.v.empty()) {
      compare(kValues, concat("v.", layer), gather(data.v, data.dim));
    }
    compareFrequencies(capture, layer);
    const Floats qAfter = afterRope(capture, layer, q, true);
    const Floats kAfterRope = afterRope(capture, layer, k, false);
    compare(kAfter, concat("q_post.", layer), qAfter);
    compare(kAfter, concat("k_post.", layer), kAfterRope);
    compare(strict_ ? kProbabilities : kLooseProbabilities, concat("probs.", layer),
            probabilities(capture, layer, qAfter, kAfterRope));
  }

  void compareFrequencies(const Capture& capture, int layer) {
    const Rope* rope = capture.rope(layer);
    Floats frequencies;
    if (rope != nullptr) {
      frequencies.assign(rope->invFreq.begin(), rope->invFreq.end());
    }
    const std::string name = concat("inv_freq.", layer);
    compare(kFrequencies, file_->find(name) == nullptr && layer == 0 ? "inv_freq" : name, frequencies);
  }

  Floats gather(const std::vector<FloatRows>& heads, int dim) const {
    Floats all(heads.size() * static_cast<std::size_t>(tokens_ * dim));
    for (std::size_t head = 0; head < heads.size(); ++head) {
      heads[head].read(0, tokens_, all.data() + head * static_cast<std::size_t>(tokens_ * dim));
    }
    return all;
  }

  Floats afterRope(const Capture& capture, int layer, Floats rows, bool queries) const {
    const int dim = capture.layer(layer).dim;
    std::vector<std::int64_t> positions(static_cast<std::size_t>(tokens_));
    for (std::int64_t t = 0; t < tokens_; ++t) {
      positions[static_cast<std::size_t>(t)] = t;
    }
    const auto heads = static_cast<std::int64_t>(rows.size()) / (tokens_ * dim);
    for (std::int64_t head = 0; head < heads; ++head) {
      float* data = rows.data() + head * tokens_ * dim;
      if (const Rope* rope = capture.rope(layer)) {
        rotate(*rope, positions, dim, data);
      }
      for (const PostRopeStep& step : capture.attention(layer).postRope) {
        applyStep(step, dim, queries, data);
      }
    }
    return rows;
  }

  void applyStep(const PostRopeStep& step, int dim, bool queries, float* data) const {
    for (std::int64_t t = 0; t < tokens_; ++t, data += dim) {
      if (step.kind == PostRopeStep::Kind::PositionScale) {
        const double scale = 1 + step.beta * std::log(1 + std::floor(static_cast<double>(t) / step.original));
        std::for_each(data, data + dim, [&](float& x) { x *= static_cast<float>(queries ? scale : 1.0); });
        continue;
      }
      double squares = 0;
      std::for_each(data, data + dim, [&](float x) { squares += static_cast<double>(x) * x; });
      const double factor = 1 / std::sqrt(squares / dim + step.eps);
      const std::vector<float>& weight = queries ? step.q : step.k;
      for (int d = 0; d < dim; ++d) {
        data[d] = static_cast<float>(data[d] * factor * weight[static_cast<std::size_t>(d)]);
      }
    }
  }

  // exp(logit − lse) with the captured lse, so that a wrong one shows here; a run in 16 bits keeps none.
  Floats probabilities(const Capture& capture, int layer, const Floats& q, const Floats& k) {
    const CaptureLayer& data = capture.layer(layer);
    Floats result(static_cast<std::size_t>(data.heads * tokens_ * tokens_), 0.0F);
    for (int head = 0; head < data.heads; ++head) {
      const float* keys = k.data() + data.kvHead(head) * tokens_ * data.dim;
      for (std::int64_t t = 0; t < tokens_; ++t) {
        const std::int64_t row = head * tokens_ + t;
        const std::vector<double> logits =
            rowLogits(capture.attention(layer), q.data() + row * data.dim, keys, data.dim, t);
        const double lse = data.lse.empty() ? logSumExp(logits) : data.lse[static_cast<std::size_t>(row)];
        double divisor = lse;
        if (!data.sinks.empty()) {
          const double sink = data.sinks[static_cast<std::size_t>(head)];
          divisor += std::log1p(std::exp(sink - divisor));
        }
        float* target = result.data() + row * tokens_;
        std::transform(logits.begin(), logits.end(), target + (t + 1 - static_cast<std::int64_t>(logits.size())),
                       [divisor](double logit) { return static_cast<float>(std::exp(logit - divisor)); });
        noteRowSum(target, lse, divisor, layer);
      }
    }
    return result;
  }

  // Of the visible keys; the last is t itself.
  static std::vector<double> rowLogits(const AttentionSpec& spec, const float* q, const float* keys, int dim,
                                       std::int64_t t) {
    std::vector<double> logits;
    for (std::int64_t i = spec.window ? std::max<std::int64_t>(0, t - *spec.window + 1) : 0; i <= t; ++i) {
      double logit = 0;
      for (int d = 0; d < dim; ++d) {
        logit += static_cast<double>(q[d]) * keys[i * dim + d];
      }
      logit *= spec.scale;
      logits.push_back(spec.softcap ? *spec.softcap * std::tanh(logit / *spec.softcap) : logit);
    }
    return logits;
  }

  static double logSumExp(const std::vector<double>& logits) {
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    std::for_each(logits.begin(), logits.end(), [&](double logit) { sum += std::exp(logit - largest); });
    return largest + std::log(sum);
  }

  void noteRowSum(const float* row, double lse, double divisor, int layer) {
    const double expected = std::exp(lse - divisor);  // 1 without a sink
    double sum = 0;
    std::for_each(row, row + tokens_, [&](float p) { sum += p; });
    note(kRowSums, concat("probs.", layer), std::abs(sum - expected) / std::max(1.0, std::abs(divisor)));
  }

  void compare(const Rule& rule, const std::string& name, std::span<const float> values) {
    const TensorView* view = file_->find(name);
    if (view == nullptr) {
      return;
    }
    const Floats expected = floatsOf(*view);
    if (expected.size() != values.size()) {
      note(rule, concat(name, " (", values.size(), " instead of ", expected.size(), " numbers)"),
           std::numeric_limits<double>::infinity());
      return;
    }
    double scale = rule.floor;
    if (rule.byMagnitude) {
      std::for_each(expected.begin(), expected.end(), [&](float x) { scale = std::max<double>(scale, std::abs(x)); });
    }
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double magnitude = std::abs(expected[i]);
      const double own = rule.elementwise ? std::max(rule.floor, magnitude)
                         : rule.added     ? rule.floor + magnitude
                                          : scale;
      const double error = std::abs(static_cast<double>(values[i]) - expected[i]) / own;
      worst = error <= worst ? worst : std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
    }
    note(rule, name, worst);
  }

  void note(const Rule& rule, const std::string& name, double error) {
    GoldenCheck& check = checks_[rule.quantity];
    if (check.quantity.empty() || error > check.error) {
      check = {rule.quantity, error, rule.tolerance * slack_, rule.definition, name};
    }
  }

  Model& model_;
  std::shared_ptr<const SafetensorsFile> file_;
  double slack_;
  bool strict_ = false;  ///< a file of the families' set
  std::int64_t tokens_ = 0;
  std::map<std::string, GoldenCheck> checks_;
  GoldenReport report_;
};

}  // namespace

bool GoldenReport::passed() const noexcept {
  return !checks.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const GoldenCheck& check) { return check.passed(); });
}

const GoldenCheck* GoldenReport::find(const std::string& quantity) const noexcept {
  const auto found =
      std::find_if(checks.begin(), checks.end(), [&](const GoldenCheck& check) { return check.quantity == quantity; });
  return found == checks.end() ? nullptr : &*found;
}

GoldenReport checkGolden(Model& model, const std::filesystem::path& golden, double slack, const JobControl& control) {
  return Comparison(model, golden, slack).run(control);
}

}  // namespace headscope
