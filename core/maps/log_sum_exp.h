#pragma once

// Row log-sum-exp of a head whose capture lacks it, or whose logits were changed by an intervention.

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/job_control.h"
#include "core/maps/sweep.h"

namespace headscope {

/// Natural log Σ exp(logit) over the visible keys of rows 0 … tokens − 1; q and k are [tokens, dim]. On all cores.
std::vector<float> logSumExp(const LogitRule& rule, const float* q, const float* k, std::int64_t tokens,
                             const JobControl& control = {});

/// The same for some rows (rising tokens); fills their `normalizer`.
void fillNormalizers(const LogitRule& rule, const float* keys, std::span<QueryRow> rows);

/// log(exp(lse) + exp(sink)): a sink takes its share of every row and is then dropped.
inline float withSink(float lse, std::optional<float> sink) noexcept {
  if (!sink) {
    return lse;
  }
  const float larger = lse > *sink ? lse : *sink;
  const float smaller = lse > *sink ? *sink : lse;
  return larger + std::log1p(std::exp(smaller - larger));
}

}  // namespace headscope
