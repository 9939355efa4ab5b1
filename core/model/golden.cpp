#include "core/model/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
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

// What an error is relative to.
enum class Scale {
  Absolute,
  OneOrRounding,  ///< rows' sums: see noteRowSum()
  Tensor,         ///< the largest magnitude of the reference tensor
  TensorOrOne,    ///< likewise, but at least 1
  Element,        ///< the magnitude of each element
  ElementOnTop,   ///< 1 + the magnitude of each element: "abs + rel"
};

const char* definitionOf(Scale scale) {
  switch (scale) {
    case Scale::Tensor:
      return "largest magnitude";
    case Scale::TensorOrOne:
      return "max(1, largest magnitude)";
    case Scale::Element:
      return "each magnitude";
    case Scale::ElementOnTop:
      return "1 + each magnitude";
    case Scale::OneOrRounding:
      return "max(1, float32's rounding of products as long as |q||k| / 1e-5)";
    case Scale::Absolute:
      break;
  }
  return "1";
}

struct Rule {
  const char* quantity;
  double tolerance;
  Scale scale;
};

// The tolerances of a set of golden files, as its README states them.
struct Rules {
  Rule before, after, values, embedding, probabilities, hidden, logits, frequencies, rowSums;
};

// ../shared/models/families
constexpr Rules kFamilies{{"q, k before RoPE", 1e-5, Scale::TensorOrOne},
                          {"q, k after RoPE", 1e-5, Scale::TensorOrOne},
                          {"v", 1e-5, Scale::TensorOrOne},
                          {"embedding", 1e-5, Scale::TensorOrOne},
                          {"probabilities", 1e-5, Scale::Absolute},
                          {"hidden states", 2e-5, Scale::Tensor},
                          {"logits", 1e-4, Scale::Tensor},
                          {"RoPE frequencies", 1e-6, Scale::Element},
                          {"rows sum to 1", 1e-5, Scale::OneOrRounding}};
// ../shared/models/stories260K and gguf-types
constexpr Rules kOthers{{"q, k before RoPE", 1e-5, Scale::ElementOnTop},
                        {"q, k after RoPE", 1e-5, Scale::ElementOnTop},
                        {"v", 1e-5, Scale::ElementOnTop},
                        {"embedding", 1e-5, Scale::ElementOnTop},
                        {"probabilities", 1e-5, Scale::ElementOnTop},
                        {"hidden states", 1e-5, Scale::ElementOnTop},
                        {"logits", 1e-4, Scale::Absolute},
                        {"RoPE frequencies", 1e-6, Scale::Element},
                        {"rows sum to 1", 1e-5, Scale::OneOrRounding}};

class Comparison {
 public:
  Comparison(Model& model, const std::filesystem::path& path, double slack)
      : model_(model), file_(SafetensorsFile::open(path)), slack_(slack) {
    report_.name = path.parent_path().filename().string();
    report_.family = model.info().family;
    const auto metadata = file_->metadata().find("headscope_golden");
    if (metadata != file_->metadata().end()) {
      const Json json = parseJson(metadata->second, path.string());
      rules_ = kFamilies;
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
    compare(rules_.logits, "logits", result.logits);
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
    compare(rules_.embedding, "embed", streams.at(0));
    for (const auto& [layer, values] : streams) {
      if (layer <= layers && (byInput ? layer < layers : layer > 0)) {
        compare(rules_.hidden, concat("hidden.", byInput ? layer : layer - 1), values);
      }
    }
    compare(rules_.hidden, byInput ? concat("hidden.", layers) : "final", streams.at(layers + 1));
  }

  void compareLayer(const Capture& capture, int layer) {
    const CaptureLayer& data = capture.layer(layer);
    const Floats q = gather(data.q, data.dim);
    const Floats k = gather(data.k, data.dim);
    compare(rules_.before, concat("q_pre.", layer), q);
    compare(rules_.before, concat("k_pre.", layer), k);
    if (!data.v.empty()) {
      compare(rules_.values, concat("v.", layer), gather(data.v, data.dim));
    }
    compareFrequencies(capture, layer);
    const Floats qAfter = afterRope(capture, layer, q, true);
    const Floats kAfterRope = afterRope(capture, layer, k, false);
    compare(rules_.after, concat("q_post.", layer), qAfter);
    compare(rules_.after, concat("k_post.", layer), kAfterRope);
    compare(rules_.probabilities, concat("probs.", layer), probabilities(capture, layer, qAfter, kAfterRope));
  }

  void compareFrequencies(const Capture& capture, int layer) {
    const Rope* rope = capture.rope(layer);
    Floats frequencies;
    if (rope != nullptr) {
      frequencies.assign(rope->invFreq.begin(), rope->invFreq.end());
    }
    const std::string name = concat("inv_freq.", layer);
    compare(rules_.frequencies, file_->find(name) == nullptr && layer == 0 ? "inv_freq" : name, frequencies);
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
        const auto [logits, reach] = rowLogits(capture.attention(layer), q.data() + row * data.dim, keys, data.dim, t);
        const double lse = data.lse.empty() ? logSumExp(logits) : data.lse[static_cast<std::size_t>(row)];
        double divisor = lse;
        if (!data.sinks.empty()) {
          const double sink = data.sinks[static_cast<std::size_t>(head)];
          divisor += std::log1p(std::exp(sink - divisor));
        }
        float* target = result.data() + row * tokens_;
        std::transform(logits.begin(), logits.end(), target + (t + 1 - static_cast<std::int64_t>(logits.size())),
                       [divisor](double logit) { return static_cast<float>(std::exp(logit - divisor)); });
        noteRowSum(target, std::exp(lse - divisor), reach, layer);
      }
    }
    return result;
  }

  struct RowLogits {
    std::vector<double> logits;  ///< of the visible keys; the last is t itself
    double reach = 0;            ///< scale · |q| · largest |k|: what logits cancel down from
  };

  static RowLogits rowLogits(const AttentionSpec& spec, const float* q, const float* keys, int dim, std::int64_t t) {
    RowLogits row;
    const double length = std::sqrt(std::inner_product(q, q + dim, q, 0.0));
    for (std::int64_t i = spec.window ? std::max<std::int64_t>(0, t - *spec.window + 1) : 0; i <= t; ++i) {
      double logit = 0;
      for (int d = 0; d < dim; ++d) {
        logit += static_cast<double>(q[d]) * keys[i * dim + d];
      }
      logit *= spec.scale;
      const float* key = keys + i * dim;
      row.reach = std::max(row.reach, spec.scale * length * std::sqrt(std::inner_product(key, key + dim, key, 0.0)));
      row.logits.push_back(spec.softcap ? *spec.softcap * std::tanh(logit / *spec.softcap) : logit);
    }
    return row;
  }

  static double logSumExp(const std::vector<double>& logits) {
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    std::for_each(logits.begin(), logits.end(), [&](double logit) { sum += std::exp(logit - largest); });
    return largest + std::log(sum);
  }

  // A float32 dot product is off by as much as eps · |q||k|, and so is a log-sum-exp of such: where that is more than
  // the tolerance (|q||k| above 84, as in stories260K), it counts instead.
  void noteRowSum(const float* row, double expected, double reach, int layer) {
    double sum = 0;
    std::for_each(row, row + tokens_, [&](float p) { sum += p; });
    const double rounding = reach * std::numeric_limits<float>::epsilon() / rules_.rowSums.tolerance;
    note(rules_.rowSums, concat("probs.", layer), std::abs(sum - expected) / std::max(1.0, rounding));
  }

  static double scaleOf(Scale scale, double magnitude, double largest) {
    constexpr double kSmallest = 1e-30;
    switch (scale) {
      case Scale::Tensor:
        return std::max(largest, kSmallest);
      case Scale::TensorOrOne:
        return std::max(largest, 1.0);
      case Scale::Element:
        return std::max(magnitude, kSmallest);
      case Scale::ElementOnTop:
        return 1 + magnitude;
      case Scale::Absolute:
      case Scale::OneOrRounding:
        break;
    }
    return 1;
  }

  void compare(const Rule& rule, const std::string& name, std::span<const float> values) {
    const TensorView* view = file_->find(name);
    if (view == nullptr) {
      return;
    }
    const Floats expected = floatsOf(*view);
    if (expected.empty() && values.empty()) {
      return;
    }
    if (expected.size() != values.size()) {
      note(rule, concat(name, " (", values.size(), " instead of ", expected.size(), " numbers)"),
           std::numeric_limits<double>::infinity());
      return;
    }
    const double largest = std::abs(*std::max_element(expected.begin(), expected.end(),
                                                      [](float a, float b) { return std::abs(a) < std::abs(b); }));
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double error = std::abs(static_cast<double>(values[i]) - expected[i]) /
                           scaleOf(rule.scale, std::abs(static_cast<double>(expected[i])), largest);
      worst = error <= worst ? worst : std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
    }
    note(rule, name, worst);
  }

  void note(const Rule& rule, const std::string& name, double error) {
    GoldenCheck& check = checks_[rule.quantity];
    if (check.quantity.empty() || error > check.error) {
      check = {rule.quantity, error, rule.tolerance * slack_, definitionOf(rule.scale), name};
    }
  }

  Model& model_;
  std::shared_ptr<const SafetensorsFile> file_;
  double slack_;
  Rules rules_ = kOthers;
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
