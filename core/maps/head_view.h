#pragma once

// One head ready for drawing: q and k after RoPE (and after interventions), float32, so that any logit is one dot
// product: logit(t, i) = softcap(q_t · k_i) with the scale already inside q. 8·tokens·dim bytes.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/job_control.h"
#include "core/capture/capture.h"
#include "core/maps/sweep.h"
#include "core/rope/interventions.h"

namespace headscope {

struct HeadView {
  std::int64_t tokens = 0;
  int dim = 0;
  std::vector<float> q;    ///< [tokens, dim] after RoPE, × scale
  std::vector<float> k;    ///< [tokens, dim] after RoPE
  std::vector<float> lse;  ///< [tokens] natural log Σ exp(logit) over visible keys (without sink)
  std::optional<std::int64_t> window;
  std::optional<double> softcap;
  std::optional<float> sink;  ///< p = exp(logit) / (exp(lse) + exp(sink))

  /// First visible key of row t; the last is t itself.
  std::int64_t firstKey(std::int64_t t) const noexcept { return window && t >= *window ? t - *window + 1 : 0; }
  float logit(std::int64_t t, std::int64_t i) const noexcept;        ///< −inf if i is not visible
  float probability(std::int64_t t, std::int64_t i) const noexcept;  ///< 0 if i is not visible
  float normalizer(std::int64_t t) const noexcept;  ///< log of a row's divisor: lse, and the sink if there is one
  LogitRule rule() const;
};

/// Reads, rotates, and takes or computes the log-sum-exp (recomputed under interventions).
std::shared_ptr<const HeadView> makeHeadView(const Capture& capture, int layer, int head,
                                             const Interventions& interventions = {}, const JobControl& control = {});

/// The same without computing a log-sum-exp: NaN where it is not stored. Then fillLogSumExp before a row is used.
std::shared_ptr<HeadView> prepareHeadView(const Capture& capture, int layer, int head,
                                          const Interventions& interventions = {}, const JobControl& control = {});

/// A capture without log-sum-exp (kept in 16 bits, or from elsewhere) with the one that follows from its q and k:
/// tokens² · dim / 2 multiply-adds a head, on all cores.
std::shared_ptr<const Capture> completeLogSumExp(const Capture& capture, const JobControl& control = {});

/// Computes the log-sum-exp of those of the given rows (rising) where it is NaN. On all cores.
void fillLogSumExp(HeadView& head, std::span<const std::int64_t> rows, const JobControl& control = {});

}  // namespace headscope
