#pragma once

// Which heads go. In memory always one thing: a set of pruned heads on a stated axis. File formats, with their own
// axes and directions, are in mask_file.h.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace headscope {

enum class HeadAxis {
  Query,  ///< one entry per query head
  Kv,     ///< one entry per KV head (a group of query heads)
};

/// How a query-head mask becomes a KV-head mask: a KV head is kept if any / all / at least half of its query heads are.
enum class GroupRule { Any, All, Mean };

struct HeadMask {
  HeadAxis axis = HeadAxis::Query;
  int layers = 0;
  int heads = 0;                   ///< entries per layer on this axis
  int kvHeads = 0;                 ///< KV heads per layer; 0 if unknown
  std::vector<std::uint8_t> keep;  ///< [layers · heads], 1 = keep, 0 = prune

  static HeadMask keepAll(HeadAxis axis, int layers, int heads, int kvHeads);
  bool kept(int layer, int head) const {
    return keep.at(static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads) +
                   static_cast<std::size_t>(head)) != 0;
  }
  void prune(int layer, int head) {
    keep.at(static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head)) = 0;
  }
  std::vector<std::pair<int, int>> pruned() const;  ///< (layer, head), ascending
  bool operator==(const HeadMask&) const = default;
};

/// KV → query repeats (`queryHeads` per layer, a multiple of kvHeads); query → KV uses the rule. Throws Error if the
/// heads don't divide into the KV heads.
HeadMask toAxis(const HeadMask& mask, HeadAxis axis, GroupRule rule, int queryHeads = 0);

/// What a query-head mask does to one KV group: only when all its query heads go, its keys and values go too.
struct KvGroup {
  int layer = 0, kvHead = 0;
  int pruned = 0, size = 0;  ///< query heads
  bool removable() const noexcept { return pruned == size; }
};
std::vector<KvGroup> kvGroups(const HeadMask& queryMask);  ///< those with at least one pruned query head

}  // namespace headscope
