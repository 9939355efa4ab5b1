#include "core/masks/head_mask.h"

#include "core/base/error.h"

namespace headscope {
namespace {

int groupSize(const HeadMask& mask, int heads) {
  if (mask.kvHeads <= 0 || heads <= 0 || heads % mask.kvHeads != 0) {
    throw Error("", concat("a mask of ", heads, " query heads has no whole groups for ", mask.kvHeads, " KV heads"));
  }
  return heads / mask.kvHeads;
}

bool keptByRule(int kept, int size, GroupRule rule) {
  switch (rule) {
    case GroupRule::Any:
      return kept > 0;
    case GroupRule::All:
      return kept == size;
    case GroupRule::Mean:
      return 2 * kept >= size;
  }
  return true;
}

}  // namespace

HeadMask HeadMask::keepAll(HeadAxis axis, int layers, int heads, int kvHeads) {
  HeadMask mask;
  mask.axis = axis;
  mask.layers = layers;
  mask.heads = heads;
  mask.kvHeads = kvHeads;
  mask.keep.assign(static_cast<std::size_t>(layers) * static_cast<std::size_t>(heads), 1);
  return mask;
}

std::vector<std::pair<int, int>> HeadMask::pruned() const {
  std::vector<std::pair<int, int>> list;
  for (int layer = 0; layer < layers; ++layer) {
    for (int head = 0; head < heads; ++head) {
      if (!kept(layer, head)) {
        list.emplace_back(layer, head);
      }
    }
  }
  return list;
}

HeadMask toAxis(const HeadMask& mask, HeadAxis axis, GroupRule rule, int queryHeads) {
  if (mask.axis == axis) {
    return mask;
  }
  const int heads = mask.axis == HeadAxis::Query ? mask.heads : queryHeads;
  const int size = groupSize(mask, heads);
  HeadMask result = HeadMask::keepAll(axis, mask.layers, axis == HeadAxis::Query ? heads : mask.kvHeads, mask.kvHeads);
  for (int layer = 0; layer < mask.layers; ++layer) {
    for (int group = 0; group < mask.kvHeads; ++group) {
      if (axis == HeadAxis::Query) {
        for (int head = group * size; !mask.kept(layer, group) && head < (group + 1) * size; ++head) {
          result.prune(layer, head);
        }
        continue;
      }
      int kept = 0;
      for (int head = group * size; head < (group + 1) * size; ++head) {
        kept += mask.kept(layer, head) ? 1 : 0;
      }
      if (!keptByRule(kept, size, rule)) {
        result.prune(layer, group);
      }
    }
  }
  return result;
}

std::vector<KvGroup> kvGroups(const HeadMask& queryMask) {
  std::vector<KvGroup> groups;
  const int size = groupSize(queryMask, queryMask.heads);
  for (int layer = 0; layer < queryMask.layers; ++layer) {
    for (int kvHead = 0; kvHead < queryMask.kvHeads; ++kvHead) {
      KvGroup group{layer, kvHead, 0, size};
      for (int head = kvHead * size; head < (kvHead + 1) * size; ++head) {
        group.pruned += queryMask.kept(layer, head) ? 0 : 1;
      }
      if (group.pruned > 0) {
        groups.push_back(group);
      }
    }
  }
  return groups;
}

}  // namespace headscope
