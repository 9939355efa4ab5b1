#include "core/analysis/retrieval.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "core/analysis/logit_rows.h"

namespace headscope {
namespace {

/// Two places at least `distance` (and `length`) apart where the same `length` ids stand, by rolling hashes that are
/// checked.
class RepeatSearch {
 public:
  RepeatSearch(std::span<const std::int64_t> ids, std::int64_t distance) : ids_(ids), distance_(distance) {}

  std::optional<NeedleSpan> ofLength(std::int64_t length) const {
    const auto count = static_cast<std::int64_t>(ids_.size());
    if (length < 1 || 2 * length > count) {
      return {};
    }
    constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15u;
    std::uint64_t hash = 0, top = 1;
    for (std::int64_t j = 0; j < length; ++j) {
      hash = hash * kFactor + id(j);
      top *= j > 0 ? kFactor : 1;
    }
    std::unordered_map<std::uint64_t, std::int64_t> first;
    for (std::int64_t start = 0;; ++start) {
      const auto [found, fresh] = first.try_emplace(hash, start);
      const std::int64_t apart = start - found->second;
      if (!fresh && apart >= std::max(length, distance_) && equal(found->second, start, length)) {
        return NeedleSpan{found->second, start, length};
      }
      if (start + length >= count) {
        return {};
      }
      hash = (hash - id(start) * top) * kFactor + id(start + length);
    }
  }

 private:
  std::uint64_t id(std::int64_t index) const {
    return static_cast<std::uint64_t>(ids_[static_cast<std::size_t>(index)]) + 1;
  }
  bool equal(std::int64_t a, std::int64_t b, std::int64_t length) const {
    return std::equal(ids_.begin() + a, ids_.begin() + a + length, ids_.begin() + b);
  }

  std::span<const std::int64_t> ids_;
  std::int64_t distance_;
};

}  // namespace

std::optional<NeedleSpan> findNeedle(std::span<const std::int64_t> ids, std::int64_t shortest, std::int64_t distance) {
  const RepeatSearch search(ids, distance);
  std::optional<NeedleSpan> best = search.ofLength(shortest);
  if (!best) {
    return {};
  }
  // If a stretch repeats, so do its parts: the longest is found by halving.
  std::int64_t low = shortest, high = static_cast<std::int64_t>(ids.size()) / 2;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (const auto found = search.ofLength(middle)) {
      best = found;
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return best;
}

RetrievalScore retrievalScore(const HeadVectors& head, std::span<const std::int64_t> ids, const NeedleSpan& span,
                              const JobControl& control) {
  RetrievalScore score;
  score.span = span;
  LogitRows rows(head);
  rows.visit({span.answer - 1, span.tokens}, [&](const AttentionRow& row) {
    control.checkpoint();
    const std::int64_t next = ids[static_cast<std::size_t>(row.t + 1)];
    std::int64_t best = row.firstKey;
    for (std::int64_t i = row.firstKey; i <= row.t; ++i) {
      best = row.p[i] > row.p[best] ? i : best;
    }
    for (std::int64_t i = std::max(span.needle, row.firstKey); i < span.needle + span.tokens; ++i) {
      if (ids[static_cast<std::size_t>(i)] == next) {
        score.mass += row.p[i] / static_cast<double>(span.tokens);
        score.copied += i == best ? 1 / static_cast<double>(span.tokens) : 0;
      }
    }
  });
  return score;
}

}  // namespace headscope
