#pragma once

// Captures of random queries and keys, of every kind that the format knows, and what a head's map must be: a dense
// softmax in double precision, written down as plainly as possible and sharing no code with core/maps.

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/capture/capture.h"

namespace headscope::test {

struct SyntheticCapture {
  int layers = 1, heads = 2, kvHeads = 1, dim = 8;
  std::int64_t tokens = 64;
  double scale = 0.35;
  double spread = 1.5;  ///< standard deviation of the elements of q and k
  std::optional<std::int64_t> window;
  std::optional<double> softcap;
  bool sinks = false;
  int rotaryDims = -1;  ///< −1: all dims; 0: no RoPE
  RopePairing pairing = RopePairing::Half;
  double base = 10000.0;
  double attentionScaling = 1.0;
  std::vector<PostRopeStep> postRope;
  FloatType type = FloatType::F32;
  bool values = false;
  bool lse = true;
  std::vector<std::int64_t> positions;
  std::vector<std::int64_t> ids;  ///< empty: 0 … 96, again and again
  unsigned seed = 1;
  std::filesystem::path file;
};

inline std::uint16_t floatToF16(float value) {
  if (value == 0.0f) {
    return 0;
  }
  int exponent = 0;
  const float fraction = std::frexp(std::abs(value), &exponent);  // value = fraction · 2^exponent, fraction in [0.5, 1)
  const int lowest = std::max(exponent - 11, -24);
  const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(fraction, exponent - lowest)));
  const std::uint32_t bits =
      lowest == -24 ? units : (static_cast<std::uint32_t>(lowest + 24) << 10) + units;  // the hidden bit adds 1 there
  return static_cast<std::uint16_t>(bits | (value < 0 ? 0x8000u : 0u));
}

inline void storeFloat(std::byte* target, FloatType type, std::size_t index, float value) {
  if (type == FloatType::F32) {
    std::memcpy(target + 4 * index, &value, 4);
    return;
  }
  const std::uint16_t bits = type == FloatType::BF16 ? floatToBf16(value) : floatToF16(value);
  std::memcpy(target + 2 * index, &bits, 2);
}

/// One head, dense, in double.
struct DenseHead {
  std::int64_t tokens = 0;
  std::vector<double> logits;         ///< [tokens, tokens]; −inf where the key is not visible
  std::vector<double> probabilities;  ///< [tokens, tokens]
  std::vector<double> lse;            ///< [tokens], without sink

  double logit(std::int64_t t, std::int64_t i) const { return logits[static_cast<std::size_t>(t * tokens + i)]; }
  double probability(std::int64_t t, std::int64_t i) const {
    return probabilities[static_cast<std::size_t>(t * tokens + i)];
  }
};

/// RoPE and the steps after it on one row, in double; angles are the float32 product as Hugging Face has it.
inline std::vector<double> denseRow(const Rope* rope, const AttentionSpec& spec, bool query, std::int64_t position,
                                    std::vector<double> row) {
  for (int m = 0; rope != nullptr && m < rope->channels(); ++m) {
    const double angle = static_cast<float>(position) * static_cast<float>(rope->invFreq[static_cast<std::size_t>(m)]);
    const double c = std::cos(angle) * rope->attentionScaling;
    const double s = std::sin(angle) * rope->attentionScaling;
    double& x = row[static_cast<std::size_t>(rope->first(m))];
    double& y = row[static_cast<std::size_t>(rope->second(m))];
    const double turned = x * c - y * s;
    y = y * c + x * s;
    x = turned;
  }
  for (const PostRopeStep& step : spec.postRope) {
    double factor = 1;
    if (step.kind == PostRopeStep::Kind::PositionScale && query) {
      factor = 1 + step.beta * std::log(1 + std::floor(static_cast<double>(position / step.original)));
    } else if (step.kind == PostRopeStep::Kind::RmsNorm) {
      double squares = 0;
      for (const double x : row) {
        squares += x * x;
      }
      factor = 1 / std::sqrt(squares / static_cast<double>(row.size()) + step.eps);
    }
    for (std::size_t d = 0; d < row.size(); ++d) {
      row[d] *= factor;
      if (step.kind == PostRopeStep::Kind::RmsNorm) {
        row[d] *= static_cast<double>((query ? step.q : step.k)[d]);
      }
    }
  }
  return row;
}

inline std::vector<double> capturedRow(const FloatRows& rows, std::int64_t index) {
  std::vector<float> values(static_cast<std::size_t>(rows.dim));
  rows.read(index, 1, values.data());
  return {values.begin(), values.end()};
}

/// `sinkWeight` = exp(sink), 0 without one; `rope` is the layer's own unless a test looks at changed frequencies.
inline DenseHead denseHead(const CaptureHeader& header, const AttentionSpec& spec, const FloatRows& q,
                           const FloatRows& k, double sinkWeight, const Rope* rope) {
  DenseHead dense;
  const std::int64_t tokens = dense.tokens = q.rows;
  const auto position = [&header](std::int64_t t) {
    return header.positions.empty() ? t : header.positions[static_cast<std::size_t>(t)];
  };
  std::vector<std::vector<double>> queries, keys;
  for (std::int64_t t = 0; t < tokens; ++t) {
    queries.push_back(denseRow(rope, spec, true, position(t), capturedRow(q, t)));
    keys.push_back(denseRow(rope, spec, false, position(t), capturedRow(k, t)));
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    double sum = 0;
    std::vector<double> row(static_cast<std::size_t>(tokens), -std::numeric_limits<double>::infinity());
    for (std::int64_t i = 0; i <= t; ++i) {
      if (spec.window && i <= t - *spec.window) {
        continue;
      }
      double dot = 0;
      for (std::size_t d = 0; d < queries[0].size(); ++d) {
        dot += queries[static_cast<std::size_t>(t)][d] * keys[static_cast<std::size_t>(i)][d];
      }
      dot *= spec.scale;
      row[static_cast<std::size_t>(i)] = spec.softcap ? *spec.softcap * std::tanh(dot / *spec.softcap) : dot;
      sum += std::exp(row[static_cast<std::size_t>(i)]);
    }
    dense.lse.push_back(std::log(sum));
    for (const double logit : row) {
      dense.logits.push_back(logit);
      dense.probabilities.push_back(std::exp(logit) / (sum + sinkWeight));
    }
  }
  return dense;
}

inline DenseHead denseHead(const Capture& capture, int layer, int head) {
  const CaptureLayer& data = capture.layer(layer);
  const double sinkWeight =
      data.sinks.empty() ? 0.0 : std::exp(static_cast<double>(data.sinks[static_cast<std::size_t>(head)]));
  return denseHead(capture.header(), capture.attention(layer), data.q[static_cast<std::size_t>(head)],
                   data.k[static_cast<std::size_t>(data.kvHead(head))], sinkWeight, capture.rope(layer));
}

inline CaptureHeader syntheticHeader(const SyntheticCapture& options) {
  CaptureHeader header;
  header.model = "synthetic";
  header.family = "llama";
  header.layers = options.layers;
  header.heads = options.heads;
  header.kvHeads = options.kvHeads;
  header.headDim = options.dim;
  AttentionSpec spec;
  spec.scale = options.scale;
  spec.window = options.window;
  spec.softcap = options.softcap;
  spec.postRope = options.postRope;
  const int rotary = options.rotaryDims < 0 ? options.dim : options.rotaryDims;
  if (rotary > 0) {
    Rope rope;
    rope.pairing = options.pairing;
    rope.rotaryDims = rotary;
    rope.base = options.base;
    rope.attentionScaling = options.attentionScaling;
    for (int m = 0; m < rotary / 2; ++m) {
      rope.invFreq.push_back(std::pow(options.base, -2.0 * m / rotary));
    }
    header.ropes.push_back(rope);
    spec.rope = 0;
  }
  header.attention.assign(static_cast<std::size_t>(options.layers), spec);
  for (std::int64_t t = 0; t < options.tokens; ++t) {
    header.tokens.push_back(concat("t", t));
    header.ids.push_back(t % 97);
  }
  if (!options.ids.empty()) {
    header.ids = options.ids;
  }
  header.text = "synthetic text";
  header.positions = options.positions;
  return header;
}

inline CaptureBuilder::Options syntheticOptions(const SyntheticCapture& options) {
  CaptureBuilder::Options built;
  built.type = options.type;
  built.values = options.values;
  built.lse = options.lse;
  built.file = options.file;
  built.shapes.assign(static_cast<std::size_t>(options.layers), {options.heads, options.kvHeads, options.dim});
  if (options.sinks) {
    std::vector<float> sinks;
    for (int head = 0; head < options.heads; ++head) {
      sinks.push_back(0.5f * static_cast<float>(head) - 0.4f);
    }
    built.sinks.assign(static_cast<std::size_t>(options.layers), sinks);
  }
  return built;
}

inline void fillRandom(std::byte* target, FloatType type, std::int64_t count, double spread, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, static_cast<float>(spread));
  for (std::int64_t i = 0; target != nullptr && i < count; ++i) {
    storeFloat(target, type, static_cast<std::size_t>(i), normal(random));
  }
}

/// Small captures: the lse comes from the dense softmax.
inline std::shared_ptr<const Capture> makeCapture(const SyntheticCapture& options) {
  CaptureBuilder builder(syntheticHeader(options), options.tokens, syntheticOptions(options));
  std::mt19937 random(options.seed);
  const std::int64_t rows = options.tokens * options.dim;
  for (int layer = 0; layer < options.layers; ++layer) {
    const CaptureBuilder::Target target = builder.target(layer);
    fillRandom(target.q, options.type, options.heads * rows, options.spread, random);
    fillRandom(target.k, options.type, options.kvHeads * rows, options.spread, random);
    fillRandom(target.v, options.type, options.kvHeads * rows, options.spread, random);
    builder.finishLayer(layer);
    for (int head = 0; options.lse && head < options.heads; ++head) {
      const DenseHead dense = denseHead(*builder.capture(), layer, head);
      for (std::int64_t t = 0; t < options.tokens; ++t) {
        target.lse[head * options.tokens + t] = static_cast<float>(dense.lse[static_cast<std::size_t>(t)]);
      }
    }
  }
  builder.finish();
  return builder.capture();
}

/// One of each kind: grouped heads, windows, softcap, sinks, partial and interleaved RoPE, scaling, later steps.
inline std::vector<std::pair<std::string, SyntheticCapture>> capturesOfEveryKind(std::int64_t tokens) {
  std::vector<std::pair<std::string, SyntheticCapture>> kinds;
  SyntheticCapture plain;
  plain.tokens = tokens;
  kinds.emplace_back("plain", plain);
  SyntheticCapture next = plain;
  next.heads = 6;
  next.kvHeads = 2;
  next.dim = 20;
  next.scale = 0.2;
  kinds.emplace_back("grouped heads, dim 20", next);
  next = plain;
  next.window = 13;
  kinds.emplace_back("window", next);
  next.sinks = true;
  next.softcap = 3.0;
  next.dim = 12;
  kinds.emplace_back("window, sinks and softcap", next);
  next = plain;
  next.softcap = 2.0;
  kinds.emplace_back("softcap", next);
  next = plain;
  next.sinks = true;
  kinds.emplace_back("sinks", next);
  next = plain;
  next.dim = 16;
  next.rotaryDims = 4;
  kinds.emplace_back("partial RoPE", next);
  next.rotaryDims = 8;
  next.pairing = RopePairing::Interleaved;
  next.attentionScaling = 1.3;
  next.positions.resize(static_cast<std::size_t>(tokens));
  for (std::int64_t t = 0; t < tokens; ++t) {
    next.positions[static_cast<std::size_t>(t)] = 3 * t + 5;
  }
  kinds.emplace_back("interleaved, scaled, with positions", next);
  next = plain;
  next.rotaryDims = 0;
  kinds.emplace_back("no RoPE", next);
  next = plain;
  next.type = FloatType::BF16;
  kinds.emplace_back("bf16", next);
  next.type = FloatType::F16;
  kinds.emplace_back("f16", next);
  next = plain;
  next.postRope = {{PostRopeStep::Kind::PositionScale, 0.1, 16, 0, {}, {}}};
  kinds.emplace_back("position scale", next);
  next.postRope = {{PostRopeStep::Kind::RmsNorm, 0, 1, 1e-6, {}, {}}};
  for (int d = 0; d < next.dim; ++d) {
    next.postRope[0].q.push_back(1.0f + 0.1f * static_cast<float>(d));
    next.postRope[0].k.push_back(1.5f - 0.1f * static_cast<float>(d));
  }
  next.scale = 1.0;
  kinds.emplace_back("norm after RoPE", next);
  return kinds;
}

}  // namespace headscope::test
