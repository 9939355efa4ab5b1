#pragma once

// --layer, --head, and what-if changes of that head: --rope-base, --drop-channels, --move-channel, --no-rope.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/rope/interventions.h"

namespace headscope::cli {

struct HeadOptions {
  int layer = -1, head = -1;
};
void addHead(CLI::App& command, HeadOptions& head, bool required);

struct InterventionOptions {
  std::optional<double> ropeBase;
  std::string dropChannels;
  std::vector<std::string> moveChannels;
  bool noRope = false;

  Interventions interventions() const;  ///< throws Error of kind Usage if a list is malformed
};
void addInterventions(CLI::App& command, InterventionOptions& options);

/// "a:b" → (a, b) with 0 ≤ a < b. Throws Error of kind Usage naming `option`.
std::pair<std::int64_t, std::int64_t> parseRange(const std::string& option, const std::string& text);

}  // namespace headscope::cli
