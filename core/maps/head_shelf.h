#pragma once

// Prepared heads (q and k after RoPE) of maps in use, least recently used first by bytes. Inside core/maps only: one
// thread prepares, any thread may look up.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "core/base/job_control.h"
#include "core/maps/head_view.h"
#include "core/maps/tile_service.h"

namespace headscope {

class HeadShelf {
 public:
  struct Head {
    std::shared_ptr<HeadView> view;
    bool complete = false;      ///< every row has its log-sum-exp; until then only sampled rows have
    std::int64_t rowsDone = 0;  ///< of computing it
    std::uint64_t lastUse = 0;
  };

  explicit HeadShelf(std::uint64_t bytes) : limit_(bytes) {}

  /// Prepares it if it isn't there; `used` are views that must not be dropped meanwhile.
  Head& get(std::uint64_t view, const HeadSource& source, const std::set<std::uint64_t>& used,
            const JobControl& control);

  /// Computes log-sum-exps worth about `work` multiply-adds; sets `complete` at the end.
  void completeStep(Head& head, double work, const JobControl& control);

  /// All log-sum-exps were filled in by somebody else.
  void markComplete(Head& head);

  /// A complete head or null.
  std::shared_ptr<const HeadView> find(std::uint64_t view) const;

 private:
  void trim(const std::set<std::uint64_t>& used);

  std::uint64_t limit_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Head> heads_;
  std::uint64_t clock_ = 0;
};

}  // namespace headscope
