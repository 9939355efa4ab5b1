#pragma once

// Rotary position embedding (RoPE; Su et al. 2021, arXiv 2104.09864) as a head's data: which dims rotate, in
// which pairs, how fast. How a model's configuration leads to these numbers is in core/model.

#include <cstdint>
#include <span>
#include <vector>

namespace headscope {

enum class RopePairing {
  Half,         ///< channel m = dims (m, m + rotaryDims/2): Llama and most Hugging Face models
  Interleaved,  ///< channel m = dims (2m, 2m + 1): GLM-4, Cohere, ERNIE 4.5, Helium
};

/// One set of rotary frequencies. Dims rotaryDims … head_dim−1 are not rotated.
struct Rope {
  RopePairing pairing = RopePairing::Half;
  std::vector<double> invFreq;    ///< [rotaryDims/2] radians per token, after the model's RoPE scaling
  double attentionScaling = 1.0;  ///< factor on cos and sin (yarn, longrope), on the rotary dims only
  int rotaryDims = 0;             ///< r, even
  double base = 10000.0;          ///< c in inv_freq = c^(−2m/r), before scaling

  int channels() const noexcept { return rotaryDims / 2; }
  /// The two dims of channel m.
  int first(int m) const noexcept { return pairing == RopePairing::Half ? m : 2 * m; }
  int second(int m) const noexcept { return pairing == RopePairing::Half ? m + rotaryDims / 2 : 2 * m + 1; }

  bool operator==(const Rope&) const = default;
};

/// Rotates rows of `data` [positions.size(), dim] in place. Angles are float32(position) · float32(inv_freq), as
/// Hugging Face computes them; for angles in double see rotateExactly.
void rotate(const Rope& rope, std::span<const std::int64_t> positions, int dim, float* data);

/// The same on doubles, with angles position · inv_freq in double.
void rotateExactly(const Rope& rope, std::span<const std::int64_t> positions, int dim, double* data);

}  // namespace headscope
