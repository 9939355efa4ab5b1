#include "core/rope/interventions.h"

#include <cmath>

#include "core/base/error.h"

namespace headscope {

Rope intervenedRope(const Rope& rope, const Interventions& interventions) {
  Rope changed = rope;
  if (interventions.ropeBase) {
    const double base = *interventions.ropeBase;
    if (!std::isfinite(base) || base <= 0) {
      throw Error("", concat("RoPE base ", base, " is not positive"));
    }
    changed.base = base;
    for (int m = 0; m < rope.channels(); ++m) {
      changed.invFreq[static_cast<std::size_t>(m)] = std::pow(base, -2.0 * m / rope.rotaryDims);
    }
  }
  if (interventions.noRope) {
    changed.invFreq.assign(changed.invFreq.size(), 0.0);
  }
  return changed;
}

void checkChannels(const Rope* rope, const Interventions& interventions) {
  const int channels = rope != nullptr ? rope->channels() : 0;
  const auto check = [channels](int m) {
    if (m < 0 || m >= channels) {
      throw Error("", channels == 0 ? concat("channel ", m, " does not exist: this layer has no RoPE")
                                    : concat("channel ", m, " does not exist: there are 0 to ", channels - 1));
    }
  };
  for (const int m : interventions.dropChannels) {
    check(m);
  }
  for (const auto& [m, n] : interventions.moveChannels) {
    check(m);
    check(n);
  }
}

}  // namespace headscope
