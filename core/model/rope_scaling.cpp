#include "core/model/rope_scaling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/base/error.h"

namespace headscope {
namespace {

constexpr double kPi = std::numbers::pi;

std::vector<double> powers(double base, int rotaryDims, int dims) {
  std::vector<double> result(static_cast<std::size_t>(rotaryDims / 2));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = std::pow(base, -2.0 * static_cast<double>(i) / dims);
  }
  return result;
}

std::vector<double> dynamicNtk(const RopeParameters& p, std::int64_t tokens) {
  const int r = p.rotaryDims();
  const double length = static_cast<double>(std::max(tokens, p.maxPositions));
  const double stretch = p.factor * length / static_cast<double>(p.maxPositions) - (p.factor - 1);
  return powers(p.base * std::pow(stretch, static_cast<double>(r) / (r - 2)), r, r);
}

std::vector<double> llama3(const RopeParameters& p) {
  std::vector<double> result = powers(p.base, p.rotaryDims(), p.rotaryDims());
  const double original = static_cast<double>(p.originalPositions);
  for (double& frequency : result) {
    const double wavelength = 2 * kPi / frequency;
    if (wavelength > original / p.lowFrequency) {
      frequency /= p.factor;
    } else if (wavelength >= original / p.highFrequency) {
      const double t = (original / wavelength - p.lowFrequency) / (p.highFrequency - p.lowFrequency);
      frequency = (1 - t) * frequency / p.factor + t * frequency;
    }
  }
  return result;
}

// The dim (not rounded) whose wave turns `rotations` times within the original context.
double yarnDim(const RopeParameters& p, double rotations) {
  const double original = static_cast<double>(p.originalPositions);
  return p.rotaryDims() * std::log(original / (rotations * 2 * kPi)) / (2 * std::log(p.base));
}

std::vector<double> yarn(const RopeParameters& p) {
  double low = yarnDim(p, p.betaFast);
  double high = yarnDim(p, p.betaSlow);
  if (p.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, p.rotaryDims() - 1.0);
  if (low == high) {
    high += 0.001;
  }
  std::vector<double> result = powers(p.base, p.rotaryDims(), p.rotaryDims());
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    result[i] = result[i] * (1 - ramp) + result[i] / p.factor * ramp;
  }
  return result;
}

double yarnMagnitude(double factor, double weight) {
  return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

double yarnScaling(const RopeParameters& p) {
  if (p.attentionFactor) {
    return *p.attentionFactor;
  }
  if (p.mscale && p.mscaleAllDim && *p.mscale != 0 && *p.mscaleAllDim != 0) {
    return yarnMagnitude(p.factor, *p.mscale) / yarnMagnitude(p.factor, *p.mscaleAllDim);
  }
  return yarnMagnitude(p.factor, 1);
}

double longRopeScaling(const RopeParameters& p) {
  if (p.attentionFactor) {
    return *p.attentionFactor;
  }
  return p.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(p.factor) / std::log(static_cast<double>(p.originalPositions)));
}

std::vector<double> divided(const RopeParameters& p, const std::vector<double>& divisors) {
  std::vector<double> result = powers(p.base, p.rotaryDims(), p.rotaryDims());
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] /= divisors[i];
  }
  return result;
}

std::vector<double> proportional(const RopeParameters& p) {
  const auto rotated = static_cast<std::size_t>(p.partial * p.headDim / 2);
  std::vector<double> result = powers(p.base, p.headDim, p.headDim);
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = i < rotated ? result[i] / p.factor : 0.0;
  }
  return result;
}

std::vector<double> frequencies(const RopeParameters& p, std::int64_t tokens) {
  const int r = p.rotaryDims();
  switch (p.kind) {
    case RopeKind::Dynamic:
      return dynamicNtk(p, tokens);
    case RopeKind::NtkAlpha:
      return powers(p.base * std::pow(p.alpha, static_cast<double>(r) / (r - 2)), r, r);
    case RopeKind::Llama3:
      return llama3(p);
    case RopeKind::Yarn:
      return yarn(p);
    case RopeKind::LongRope:
      return divided(p, tokens > p.originalPositions ? p.longFactors : p.shortFactors);
    case RopeKind::Divisors:
      return divided(p, p.shortFactors);
    case RopeKind::Proportional:
      return proportional(p);
    case RopeKind::Linear: {
      std::vector<double> result = powers(p.base, r, r);
      std::for_each(result.begin(), result.end(), [&](double& frequency) { frequency /= p.factor; });
      return result;
    }
    case RopeKind::Default:
      break;
  }
  return powers(p.base, r, r);
}

void checkParameters(const RopeParameters& p, const std::string& where) {
  const int r = p.rotaryDims();
  if (r < 0 || r > p.headDim || r % 2 != 0) {
    throw Error(where, concat("RoPE would rotate ", r, " of ", p.headDim, " dims; it needs an even number of them"));
  }
  if (!(p.base > 0) || p.base == 1) {
    throw Error(where, concat("the RoPE base is ", p.base, ", expected a number above 0 and not 1"));
  }
  if (!(p.factor > 0)) {
    throw Error(where, concat("the RoPE scaling factor is ", p.factor, ", expected a number above 0"));
  }
  const bool needsMax = p.kind == RopeKind::Dynamic;
  if (needsMax && p.maxPositions < 1) {
    throw Error(where, "dynamic RoPE scaling needs max_position_embeddings");
  }
  const bool needsOriginal = p.kind == RopeKind::Llama3 || p.kind == RopeKind::Yarn || p.kind == RopeKind::LongRope;
  if (needsOriginal && p.originalPositions < 2) {
    throw Error(where, "this RoPE scaling needs original_max_position_embeddings");
  }
  for (const std::vector<double>* list : {&p.shortFactors, &p.longFactors}) {
    const bool used = p.kind == RopeKind::LongRope || (p.kind == RopeKind::Divisors && list == &p.shortFactors);
    if (used && list->size() != static_cast<std::size_t>(r / 2)) {
      throw Error(where, concat("RoPE has ", list->size(), " factors for ", r / 2, " frequencies"));
    }
  }
  if ((p.kind == RopeKind::Dynamic || p.kind == RopeKind::NtkAlpha) && r < 4) {
    throw Error(where, concat("this RoPE scaling needs at least 4 rotary dims, not ", r));
  }
}

}  // namespace

std::optional<RopeKind> ropeKind(std::string_view name) noexcept {
  static constexpr std::array kinds{
      std::pair{std::string_view("default"), RopeKind::Default},
      std::pair{std::string_view("linear"), RopeKind::Linear},
      std::pair{std::string_view("dynamic"), RopeKind::Dynamic},
      std::pair{std::string_view("llama3"), RopeKind::Llama3},
      std::pair{std::string_view("yarn"), RopeKind::Yarn},
      std::pair{std::string_view("longrope"), RopeKind::LongRope},
      std::pair{std::string_view("proportional"), RopeKind::Proportional},
  };
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.first == name; });
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

int RopeParameters::rotaryDims() const noexcept {
  return kind == RopeKind::Proportional ? headDim : static_cast<int>(headDim * partial);
}

Rope makeRope(const RopeParameters& parameters, std::int64_t tokens, const std::string& where) {
  checkParameters(parameters, where);
  Rope rope;
  rope.pairing = parameters.pairing;
  rope.base = parameters.base;
  rope.rotaryDims = parameters.rotaryDims();
  rope.invFreq = frequencies(parameters, tokens);
  if (parameters.kind == RopeKind::Yarn) {
    rope.attentionScaling = yarnScaling(parameters);
  } else if (parameters.kind == RopeKind::LongRope) {
    rope.attentionScaling = longRopeScaling(parameters);
  }
  const bool sound = std::all_of(rope.invFreq.begin(), rope.invFreq.end(),
                                 [](double value) { return std::isfinite(value) && value >= 0; });
  if (!sound || !std::isfinite(rope.attentionScaling) || rope.attentionScaling <= 0) {
    throw Error(where, "the RoPE parameters give no finite frequencies");
  }
  return rope;
}

}  // namespace headscope
