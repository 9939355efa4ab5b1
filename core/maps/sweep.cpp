#include "core/maps/sweep.h"

namespace headscope {

Sweep::Sweep(const LogitRule& rule, const float* keys) : rule_(rule), keys_(keys), kernels_(headscope::kernels()) {
  y_.resize(static_cast<std::size_t>(kernels_.block) * static_cast<std::size_t>(kernels_.lanes));
}

void Sweep::load(std::span<const QueryRow> rows, bool relative) {
  const auto lanes = static_cast<std::size_t>(kernels_.lanes);
  used_ = (rows.size() + lanes - 1) / lanes;
  if (panels_.size() < used_) {
    panels_.resize(used_);
  }
  for (std::size_t p = 0; p < used_; ++p) {
    fill(panels_[p], rows.subspan(p * lanes, std::min(lanes, rows.size() - p * lanes)), relative);
  }
}

void Sweep::fill(Panel& panel, std::span<const QueryRow> rows, bool relative) const {
  const auto lanes = static_cast<std::size_t>(kernels_.lanes);
  // Base 2 is reached by scaling the queries, so that it costs nothing per pair; with a softcap, the cap does it.
  const float factor = static_cast<float>(rule_.softcap ? 1.0 / *rule_.softcap : kLog2E);
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  panel.tokens.clear();
  panel.queries.resize(static_cast<std::size_t>(rule_.dim) * lanes);
  panel.init.resize(lanes);
  panel.shift.resize(lanes);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const bool used = lane < rows.size();
    for (int d = 0; d < rule_.dim; ++d) {
      panel.queries[static_cast<std::size_t>(d) * lanes + lane] = used ? rows[lane].q[d] * factor : 0.0f;
    }
    const float shift = !used ? kHidden : relative ? -toBase2(rows[lane].normalizer) : 0.0f;
    panel.shift[lane] = shift;
    panel.init[lane] = rule_.softcap ? 0.0f : shift;
    if (used) {
      panel.tokens.push_back(rows[lane].token);
    }
  }
  panel.firstKey = firstVisibleKey(rule_.window, panel.tokens.front());
}

void Sweep::compute(const Panel& panel, std::int64_t firstKey, int count) {
  kernels_.product(panel.queries.data(), keys_ + firstKey * rule_.dim, rule_.dim, count, panel.init.data(), y_.data());
  if (rule_.softcap) {
    kernels_.softcap(y_.data(), count, static_cast<float>(*rule_.softcap * kLog2E), panel.shift.data());
  }
  if (firstKey + count - 1 > panel.tokens.front() || firstKey < firstVisibleKey(rule_.window, panel.tokens.back())) {
    hideInvisible(panel, firstKey, count);
  }
}

// Tokens rise from lane to lane: a key is hidden from the first lanes by causality and from the last ones by a window.
void Sweep::hideInvisible(const Panel& panel, std::int64_t firstKey, int count) {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const std::vector<std::int64_t>& tokens = panel.tokens;
  for (int i = 0; i < count; ++i) {
    float* y = y_.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(kernels_.lanes);
    const std::int64_t key = firstKey + i;
    for (std::size_t lane = 0; lane < tokens.size() && tokens[lane] < key; ++lane) {
      y[lane] = kHidden;
    }
    for (std::size_t lane = tokens.size(); lane > 0 && firstVisibleKey(rule_.window, tokens[lane - 1]) > key; --lane) {
      y[lane - 1] = kHidden;
    }
  }
}

}  // namespace headscope
