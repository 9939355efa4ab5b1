#include "app/cli/head_options.h"

#include <charconv>
#include <limits>

#include "app/cli/command.h"

namespace headscope::cli {
namespace {

std::optional<std::int64_t> wholeNumber(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text[0] == '-' || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

int channel(const std::string& option, std::string_view text) {
  const auto value = wholeNumber(text);
  if (!value || *value > std::numeric_limits<int>::max()) {
    wrongUse(concat(option, " has \"", text, "\", which is no channel number"));
  }
  return static_cast<int>(*value);
}

}  // namespace

void addHead(CLI::App& command, HeadOptions& head, bool required) {
  command.add_option("--layer", head.layer, "Layer, from 0")->required(required)->check(CLI::Range(0, 1 << 30));
  command.add_option("--head", head.head, "Query head, from 0")->required(required)->check(CLI::Range(0, 1 << 30));
}

void addInterventions(CLI::App& command, InterventionOptions& options) {
  command.add_option("--rope-base", options.ropeBase, "Recompute the unscaled RoPE frequencies X^(-2i/r)")
      ->check(CLI::Range(1e-300, 1e300));
  command.add_option("--drop-channels", options.dropChannels, "m,...: zero these RoPE channels in q");
  command.add_option("--move-channel", options.moveChannels, "m:n: exchange channels m and n in q and k before RoPE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_flag("--no-rope", options.noRope, "All RoPE angles 0")->excludes("--rope-base");
}

Interventions InterventionOptions::interventions() const {
  Interventions result;
  result.ropeBase = ropeBase;
  result.noRope = noRope;
  for (std::size_t at = 0; at < dropChannels.size() + (dropChannels.empty() ? 0 : 1);) {
    const std::size_t end = std::min(dropChannels.find(',', at), dropChannels.size());
    result.dropChannels.push_back(channel("--drop-channels", std::string_view(dropChannels).substr(at, end - at)));
    at = end + 1;
  }
  for (const std::string& move : moveChannels) {
    const std::size_t colon = move.find(':');
    if (colon == std::string::npos) {
      wrongUse("--move-channel is \"" + move + "\", expected m:n");
    }
    result.moveChannels.emplace_back(channel("--move-channel", std::string_view(move).substr(0, colon)),
                                     channel("--move-channel", std::string_view(move).substr(colon + 1)));
  }
  return result;
}

std::pair<std::int64_t, std::int64_t> parseRange(const std::string& option, const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto begin = wholeNumber(std::string_view(text).substr(0, colon));
  const auto end = colon == std::string::npos ? std::nullopt : wholeNumber(std::string_view(text).substr(colon + 1));
  if (!begin || !end || *begin >= *end) {
    wrongUse(concat(option, " is \"", text, "\", expected a:b with a before b (b is left out)"));
  }
  return {*begin, *end};
}

}  // namespace headscope::cli
