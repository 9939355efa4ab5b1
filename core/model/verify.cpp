#include "core/model/verify.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/rope/rope.h"

namespace headscope {
namespace {

constexpr FamilyVerification kVerifications[] = {
#include "core/model/verified_families.inl"
};

constexpr std::int64_t kTokens = 48;

std::vector<std::int64_t> someIds(std::int64_t vocab) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < kTokens; ++i) {
    ids.push_back((i * i * 7919 + i * 104729 + 1) % vocab);
  }
  return ids;
}

double relativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 1e-30, difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    const double own = std::abs(static_cast<double>(a[i]) - b[i]);
    difference = std::isnan(own) ? std::numeric_limits<double>::infinity() : std::max(difference, own);
  }
  return difference / largest;
}

std::vector<double> row(const FloatRows& rows, std::int64_t index) {
  std::vector<float> floats(static_cast<std::size_t>(rows.dim));
  rows.read(index, 1, floats.data());
  return {floats.begin(), floats.end()};
}

void applySteps(const AttentionSpec& spec, std::int64_t position, bool query, std::vector<double>& x) {
  for (const PostRopeStep& step : spec.postRope) {
    if (step.kind == PostRopeStep::Kind::PositionScale) {
      const double turns = std::floor(static_cast<double>(position) / static_cast<double>(step.original));
      const double scale = query ? 1 + step.beta * std::log(1 + turns) : 1.0;
      std::for_each(x.begin(), x.end(), [scale](double& value) { value *= scale; });
      continue;
    }
    double squares = 0;
    std::for_each(x.begin(), x.end(), [&](double value) { squares += value * value; });
    const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + step.eps);
    for (std::size_t d = 0; d < x.size(); ++d) {
      x[d] *= factor * static_cast<double>((query ? step.q : step.k)[d]);
    }
  }
}

std::vector<double> turned(const Rope* rope, std::vector<double> x, std::int64_t position) {
  if (rope != nullptr) {
    const std::int64_t positions[] = {position};
    rotateExactly(*rope, positions, static_cast<int>(x.size()), x.data());
  }
  return x;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) {
    sum += a[d] * b[d];
  }
  return sum;
}

constexpr double kRowSumTolerance = 1e-5;

// |Σ exp(logit − lse) − 1| of one row, in double from the captured q and k. Relative to 1, or to what float32 rounds
// dot products of vectors as long as these by, over the tolerance.
double rowSumError(const Capture& capture, int layer, int head, std::int64_t t) {
  const CaptureLayer& data = capture.layer(layer);
  const AttentionSpec& spec = capture.attention(layer);
  const double lse = data.lse[static_cast<std::size_t>(head * capture.tokens() + t)];
  std::vector<double> q = turned(capture.rope(layer), row(data.q[static_cast<std::size_t>(head)], t), t);
  applySteps(spec, t, true, q);
  double sum = 0, longest = 0;
  for (std::int64_t i = spec.window ? std::max<std::int64_t>(0, t - *spec.window + 1) : 0; i <= t; ++i) {
    std::vector<double> k = turned(capture.rope(layer), row(data.k[static_cast<std::size_t>(data.kvHead(head))], i), i);
    applySteps(spec, i, false, k);
    const double logit = spec.scale * dot(q, k);
    longest = std::max(longest, dot(k, k));
    sum += std::exp((spec.softcap ? *spec.softcap * std::tanh(logit / *spec.softcap) : logit) - lse);
  }
  const double reach = spec.scale * std::sqrt(dot(q, q) * longest);
  return std::abs(sum - 1) / std::max(1.0, reach * std::numeric_limits<float>::epsilon() / kRowSumTolerance);
}

VerifyCheck rowSums(const Capture& capture) {
  VerifyCheck check{
      "rows_sum_to_1",
      "|sum of a row's probabilities - 1| / max(1, float32's rounding of |q||k| / 1e-5), in double from captured "
      "q, k and lse",
      0, kRowSumTolerance};
  for (int layer = 0; layer < capture.header().layers; ++layer) {
    const CaptureLayer& data = capture.layer(layer);
    for (int head = 0; head < data.heads; ++head) {
      for (const std::int64_t t : {std::int64_t{0}, capture.tokens() / 2, capture.tokens() - 1}) {
        const double error = rowSumError(capture, layer, head, t);
        check.value = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(check.value, error);
      }
    }
  }
  return check;
}

// The product of a rotated query and key depends on their distance alone; lengths change by the scaling only.
VerifyCheck relativePositions(const Capture& capture) {
  VerifyCheck check{"rope_is_relative",
                    "change of q.k when both move by 1000 positions, relative to |q||k| x scaling^2", 0, 1e-9};
  for (int layer = 0; layer < capture.header().layers; ++layer) {
    const Rope* rope = capture.rope(layer);
    if (rope == nullptr) {
      continue;
    }
    const CaptureLayer& data = capture.layer(layer);
    const std::vector<double> q = row(data.q.front(), capture.tokens() - 1), k = row(data.k.front(), 1);
    const double near = dot(turned(rope, q, 40), turned(rope, k, 7));
    const double far = dot(turned(rope, q, 1040), turned(rope, k, 1007));
    const double scale = std::sqrt(dot(q, q) * dot(k, k)) * std::max(1.0, std::pow(rope->attentionScaling, 2));
    check.value = std::max(check.value, std::abs(near - far) / std::max(scale, 1e-30));
  }
  return check;
}

VerifyCheck decodingEqualsPrefill(Model& model, const std::vector<std::int64_t>& ids, const RunResult& result,
                                  const JobControl& control) {
  const auto vocab = static_cast<std::size_t>(model.info().vocab);
  const float* last = result.logits.data() + (ids.size() - 1) * vocab;
  GenerateOptions options;
  options.count = 1;
  const auto id = static_cast<std::size_t>(model.generate(ids, options, control).front());
  const float best = *std::max_element(last, last + vocab);
  const double range = std::max(1.0F, std::abs(best));
  return {"decoding_equals_prefill", "logit lost by the id that the key-value cache leads to, of the best one",
          static_cast<double>(best - last[id]) / range, 1e-3};
}

bool allFinite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

std::string referenceText(const FamilyVerification* verification, const std::string& family) {
  if (verification == nullptr) {
    return concat("no golden file covers ", family);
  }
  return concat(verification->reference, ", ", verification->goldens, " golden files of ", family,
                ", largest relative error ", verification->largest());
}

}  // namespace

double FamilyVerification::largest() const noexcept {
  return std::max({queries, probabilities, hidden, logits});
}

std::span<const FamilyVerification> familyVerifications() {
  return kVerifications;
}

const FamilyVerification* findVerification(const std::string& family) {
  const auto found = std::find_if(std::begin(kVerifications), std::end(kVerifications),
                                  [&](const FamilyVerification& entry) { return family == entry.family; });
  return found == std::end(kVerifications) ? nullptr : &*found;
}

VerifyReport verifyModel(Model& model, const JobControl& control) {
  const bool exact = model.arithmetic() == "f32";
  const std::vector<std::int64_t> ids = someIds(model.info().vocab);
  RunOptions options;
  options.logits = true;
  const RunResult fused = model.run(ids, options, control);
  options.block = 7;
  const RunResult blocks = model.run(ids, options, control);
  options.block = 0;
  options.fusedAttention = false;
  const RunResult plain = model.run(ids, options, control);

  VerifyReport report;
  report.family = model.info().family;
  // In short arithmetic a router may choose other experts: more than rounding.
  const double tolerance = exact ? 1e-4 : model.info().experts ? 0.5 : 5e-2;
  report.checks.push_back(
      {"logits_are_finite", "1 if a logit is infinite or no number", allFinite(fused.logits) ? 0.0 : 1.0, 0.5});
  if (exact) {  // a run in 16 bits keeps no log-sum-exp
    report.checks.push_back(rowSums(*fused.capture));
  }
  report.checks.push_back({"fused_equals_plain",
                           "LibTorch's attention kernel against matrix products: logits, of the largest",
                           relativeDifference(plain.logits, fused.logits), tolerance});
  report.checks.push_back({"blocks_do_not_matter", "prefill in blocks of 7 against one block: logits, of the largest",
                           relativeDifference(fused.logits, blocks.logits), tolerance});
  report.checks.push_back(relativePositions(*fused.capture));
  report.checks.push_back(decodingEqualsPrefill(model, ids, fused, control));
  const FamilyVerification* verification = findVerification(report.family);
  report.reference = referenceText(verification, report.family);
  const bool sound =
      std::all_of(report.checks.begin(), report.checks.end(), [](const VerifyCheck& check) { return check.passed(); });
  report.status = !sound ? "failed" : verification != nullptr ? "verified" : "self-checked";
  return report;
}

}  // namespace headscope
