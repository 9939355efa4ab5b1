#include "core/analysis/retrieval.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "core/analysis/logit_rows.h"
#include "core/analysis/row_kernels.h"

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
                              const JobControl& control, const RowSample& sample) {
  RetrievalScore score;
  score.span = span;
  std::unordered_map<std::int64_t, std::vector<std::int64_t>> places;  // of each token in the needle
  for (std::int64_t i = span.needle; i < span.needle + span.tokens; ++i) {
    places[ids[static_cast<std::size_t>(i)]].push_back(i);
  }
  LogitRows rows(head);
  std::int64_t seen = 0;
  for (const RowRun& run : rowRuns(span.tokens, sample.rows)) {
    control.checkpoint();
    rows.visit({span.answer - 1 + run.first, run.count}, [&](const AttentionRow& row) {
      ++seen;
      const double* first = row.p + row.firstKey;
      const double largest = rowKernels().maximum(first, row.keys());
      for (const std::int64_t i : places[ids[static_cast<std::size_t>(row.t + 1)]]) {
        if (i < row.firstKey) {
          continue;
        }
        score.mass += row.p[i];
        // Of equal probabilities the first counts.
        score.copied += row.p[i] == largest && std::find(first, row.p + i, largest) == row.p + i ? 1 : 0;
      }
    });
  }
  score.mass /= static_cast<double>(std::max<std::int64_t>(seen, 1));
  score.copied /= static_cast<double>(std::max<std::int64_t>(seen, 1));
  return score;
}

}  // namespace headscope
