#include "core/maps/sweep.h"

namespace headscope {

Sweep::Sweep(const LogitRule& rule, const float* keys) : rule_(rule), keys_(keys), kernels_(headscope::kernels()) {
  const auto lanes = static_cast<std::size_t>(kernels_.lanes);
  panel_.resize(static_cast<std::size_t>(rule.dim) * lanes);
  init_.resize(lanes);
  shift_.resize(lanes);
  y_.resize(static_cast<std::size_t>(kernels_.block) * lanes);
}

void Sweep::load(std::span<const QueryRow> rows, bool relative) {
  const auto lanes = static_cast<std::size_t>(kernels_.lanes);
  // Base 2 is reached by scaling the queries, so that it costs nothing per pair; with a softcap, the cap does it.
  const float factor = rule_.softcap ? static_cast<float>(1.0 / *rule_.softcap) : static_cast<float>(kLog2E);
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  tokens_.clear();
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const bool used = lane < rows.size();
    for (int d = 0; d < rule_.dim; ++d) {
      panel_[static_cast<std::size_t>(d) * lanes + lane] = used ? rows[lane].q[d] * factor : 0.0f;
    }
    const float shift = !used ? kHidden : relative ? -toBase2(rows[lane].normalizer) : 0.0f;
    shift_[lane] = shift;
    init_[lane] = rule_.softcap ? 0.0f : shift;
    if (used) {
      tokens_.push_back(rows[lane].token);
    }
  }
}

void Sweep::compute(std::int64_t firstKey, int count) {
  kernels_.product(panel_.data(), keys_ + firstKey * rule_.dim, rule_.dim, count, init_.data(), y_.data());
  if (rule_.softcap) {
    kernels_.softcap(y_.data(), count, static_cast<float>(*rule_.softcap * kLog2E), shift_.data());
  }
  if (firstKey + count - 1 > tokens_.front() || firstKey < firstVisibleKey(rule_.window, tokens_.back())) {
    hideInvisible(firstKey, count);
  }
}

// Tokens rise from lane to lane: a key is hidden from the first lanes by causality and from the last ones by a window.
void Sweep::hideInvisible(std::int64_t firstKey, int count) {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const std::size_t lanes = static_cast<std::size_t>(kernels_.lanes);
  for (int i = 0; i < count; ++i) {
    float* y = y_.data() + static_cast<std::size_t>(i) * lanes;
    const std::int64_t key = firstKey + i;
    for (std::size_t lane = 0; lane < tokens_.size() && tokens_[lane] < key; ++lane) {
      y[lane] = kHidden;
    }
    for (std::size_t lane = tokens_.size(); lane > 0 && firstVisibleKey(rule_.window, tokens_[lane - 1]) > key;
         --lane) {
      y[lane - 1] = kHidden;
    }
  }
}

}  // namespace headscope
