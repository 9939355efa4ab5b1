#pragma once

// How a configuration leads to rotary frequencies: every RoPE scaling kind of Hugging Face's
// modeling_rope_utils, plus those of HunYuan, Gemma 4 and GGUF. The formulas are in
// ../shared/reference/models.md 2.3.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/rope/rope.h"

namespace headscope {

enum class RopeKind {
  Default,       ///< b_i = base^(−2i/R)
  Linear,        ///< b_i / factor
  Dynamic,       ///< NTK by sequence length: base grows once the text is longer than maxPositions
  NtkAlpha,      ///< HunYuan: base · alpha^(R/(R−2)), whatever the length
  Llama3,        ///< long waves divided by factor, short ones kept, blended between
  Yarn,          ///< ramp between b_i and b_i/factor over the dims, and an attention scaling
  LongRope,      ///< a divisor per dim; another list beyond originalPositions
  Proportional,  ///< Gemma 4: base^(−2i/D), and 0 behind the first `partial` share
  Divisors,      ///< GGUF: b_i / divisor_i
};

/// The kind of a `rope_type`, if it is known here.
std::optional<RopeKind> ropeKind(std::string_view name) noexcept;

struct RopeParameters {
  RopeKind kind = RopeKind::Default;
  RopePairing pairing = RopePairing::Half;
  double base = 10000.0;
  int headDim = 0;
  double partial = 1.0;  ///< rotated share of the head's dims
  double factor = 1.0;
  std::int64_t maxPositions = 0;                   ///< max_position_embeddings
  std::int64_t originalPositions = 0;              ///< original_max_position_embeddings
  double alpha = 1.0;                              ///< NtkAlpha
  double lowFrequency = 1.0, highFrequency = 4.0;  ///< Llama3
  double betaFast = 32.0, betaSlow = 1.0;          ///< Yarn
  bool truncate = true;                            ///< Yarn: the ramp's ends are rounded outwards to whole dims
  std::optional<double> mscale, mscaleAllDim;      ///< Yarn
  std::optional<double> attentionFactor;           ///< Yarn, LongRope: given instead of derived
  std::vector<double> shortFactors, longFactors;   ///< LongRope [R/2]; Divisors uses shortFactors

  int rotaryDims() const noexcept;
  /// Frequencies depend on the length of the text: every q and k changes when it grows past a limit.
  bool dependsOnLength() const noexcept { return kind == RopeKind::Dynamic || kind == RopeKind::LongRope; }
};

/// Frequencies for a text of `tokens` tokens. Throws Error (naming `where`) for parameters that give no finite
/// frequencies: base ≤ 0, factor 0, lists of the wrong length, an odd number of rotary dims.
Rope makeRope(const RopeParameters& parameters, std::int64_t tokens, const std::string& where);

}  // namespace headscope
