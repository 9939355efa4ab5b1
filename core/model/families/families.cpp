#include "core/model/families/families.h"

#include <algorithm>
#include <array>

namespace headscope {
namespace {

using Group = std::span<const Family> (*)();

constexpr std::array<Group, 11> kGroups{llamaFamilies, mistralFamilies, qwenFamilies, phiFamilies,
                                        gemmaFamilies, gptNeoxFamilies, olmoFamilies, graniteFamilies,
                                        glmFamilies,   cohereFamilies,  otherFamilies};

struct Refused {
  const char* modelType;
  const char* reason;
};

constexpr const char* kLatent = "its keys and values are stored as a compressed latent, not per head";
constexpr const char* kHybrid =
    "it has state-space, linear-attention or convolution layers, which have no attention map";
constexpr const char* kNoRope = "its attention is not plain softmax attention with rotary positions";
constexpr const char* kOddRope = "its rotation differs from all RoPE kinds implemented here";

constexpr Refused kRefused[] = {
    {"deepseek_v2", kLatent},
    {"deepseek_v3", kLatent},
    {"deepseek_v32", kLatent},
    {"deepseek_v4", kLatent},
    {"minicpm3", kLatent},
    {"mistral4", kLatent},
    {"glm4_moe_lite", kLatent},
    {"kimi_k2", kLatent},
    {"kimi_linear", kLatent},
    {"longcat_flash", kLatent},
    {"mamba", kHybrid},
    {"mamba2", kHybrid},
    {"falcon_mamba", kHybrid},
    {"qwen3_next", kHybrid},
    {"qwen3_5", kHybrid},
    {"qwen3_5_moe", kHybrid},
    {"lfm2", kHybrid},
    {"lfm2_moe", kHybrid},
    {"bamba", kHybrid},
    {"falcon_h1", kHybrid},
    {"jamba", kHybrid},
    {"nemotron_h", kHybrid},
    {"zamba", kHybrid},
    {"zamba2", kHybrid},
    {"recurrent_gemma", kHybrid},
    {"rwkv", kHybrid},
    {"minimax", kHybrid},
    {"bloom", kNoRope},
    {"mpt", kNoRope},
    {"opt", kNoRope},
    {"gpt2", kNoRope},
    {"xglm", kNoRope},
    {"gpt_bigcode", kNoRope},
    {"llama4", kNoRope},
    {"llama4_text", kNoRope},
    {"gemma3n", kNoRope},
    {"gemma3n_text", kNoRope},
    {"nanochat", kOddRope},
    {"phimoe", kOddRope},
};

const Family* findFamily(const std::string& modelType) {
  for (const Group group : kGroups) {
    const std::span<const Family> families = group();
    const auto found = std::find_if(families.begin(), families.end(),
                                    [&](const Family& family) { return modelType == family.modelType; });
    if (found != families.end()) {
      return &*found;
    }
  }
  return nullptr;
}

}  // namespace

Architecture readArchitecture(const Config& config) {
  if (const Family* family = findFamily(config.family())) {
    return family->read(config);
  }
  for (const Refused& refused : kRefused) {
    if (config.family() == refused.modelType) {
      config.refuse(concat("model_type \"", config.family(), "\" can't be shown: ", refused.reason));
    }
  }
  config.refuse(concat("model_type \"", config.family().substr(0, 60),
                       "\" is not known here: a description of its attention is needed first"));
}

std::vector<std::string> coveredModelTypes() {
  std::vector<std::string> types;
  for (const Group group : kGroups) {
    for (const Family& family : group()) {
      types.emplace_back(family.modelType);
    }
  }
  std::sort(types.begin(), types.end());
  return types;
}

}  // namespace headscope
