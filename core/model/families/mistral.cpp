// Mistral's models without experts.

#include "core/model/families/families.h"

namespace headscope {
namespace {

// Mistral-7B-v0.1 to Nemo: all layers slide if there is a window; an absent key is the class default 4096.
Architecture mistral(const Config& config) {
  Architecture a = config.decoder();
  const bool absent = !config.contains("sliding_window");
  slideAll(a, absent ? std::optional<std::int64_t>(4096) : config.window());
  return a;
}

constexpr Family kFamilies[] = {
    {"mistral", mistral},
};

}  // namespace

std::span<const Family> mistralFamilies() {
  return kFamilies;
}

}  // namespace headscope
