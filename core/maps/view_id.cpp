#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <sstream>

#include "core/maps/tile_service.h"

namespace headscope {
namespace {

// Everything that a map depends on, as text.
std::string describe(const HeadSource& source) {
  std::ostringstream text;
  const Interventions& change = source.interventions;
  text << source.capture->id() << '/' << source.layer << '/' << source.head << std::hexfloat;
  if (change.ropeBase) {
    text << " base " << *change.ropeBase;
  }
  for (const int m : change.dropChannels) {
    text << " drop " << m;
  }
  for (const auto& [m, n] : change.moveChannels) {
    text << " move " << m << ':' << n;
  }
  if (change.noRope) {
    text << " no rope";
  }
  return text.str();
}

}  // namespace

std::uint64_t viewId(const HeadSource& source) {
  static std::mutex mutex;
  static std::map<std::string, std::uint64_t> ids;
  const std::string text = describe(source);
  const std::lock_guard lock(mutex);
  return ids.emplace(text, ids.size() + 1).first->second;
}

int levelFor(double tokensPerPixel, std::int64_t tokens) {
  const int coarsest = tileLevels(tokens) - 1;
  if (!(tokensPerPixel > 1)) {
    return 0;
  }
  // A hair's breadth of rounding in the caller's zoom must not cost a level.
  return std::clamp(static_cast<int>(std::ceil(std::log2(tokensPerPixel) - 1e-9)), 0, coarsest);
}

}  // namespace headscope
