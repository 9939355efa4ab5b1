// Llama and its close relatives.

#include "core/model/families/families.h"

namespace headscope {
namespace {

Architecture llama(const Config& config) {
  Architecture a = config.decoder();
  const bool attention = config.flag("attention_bias", false);
  a.bias = {.q = attention, .k = attention, .v = attention, .o = attention, .mlp = config.flag("mlp_bias", false)};
  return a;
}

constexpr Family kFamilies[] = {
    {"llama", llama},
};

}  // namespace

std::span<const Family> llamaFamilies() {
  return kFamilies;
}

}  // namespace headscope
