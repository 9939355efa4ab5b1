#pragma once

// From a path to a checked plan and its weights on disk. No LibTorch.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/model/detail/plan.h"
#include "core/model/detail/weight_files.h"
#include "core/model/model_info.h"

namespace headscope {

struct ModelFiles {
  std::filesystem::path path;
  std::string format;  ///< "hf" or "gguf"
  plan::Decoder decoder;
  std::shared_ptr<const WeightFiles> weights;
};

/// Reads configuration and headers, and checks that every tensor that the plan reads is there in its shape.
ModelFiles openModelFiles(const std::filesystem::path& path);

ModelInfo modelInfo(const ModelFiles& files);

/// attentionSpec() of every layer, with the weights of norms after RoPE.
std::vector<AttentionSpec> attentionSpecs(const ModelFiles& files);
/// [layers] each [heads] or empty.
std::vector<std::vector<float>> sinksOf(const ModelFiles& files);
std::vector<CaptureBuilder::LayerShape> layerShapes(const plan::Decoder& decoder);
/// The plan's RoPEs for a text of that length.
std::vector<Rope> ropesFor(const plan::Decoder& decoder, std::int64_t tokens);

}  // namespace headscope
