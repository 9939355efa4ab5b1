#pragma once

// What a model's files say about it, read without any weights.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/capture/capture.h"

namespace headscope {

struct ModelInfo {
  std::filesystem::path path;
  std::string name;
  std::string format;  ///< "hf" or "gguf"
  std::string family;  ///< model_type
  int layers = 0, heads = 0, kvHeads = 0, headDim = 0;
  std::int64_t hidden = 0, vocab = 0;
  std::int64_t contextLength = 0;  ///< as the file states it; 0 if it doesn't
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;  ///< of the weights on disk
  std::string weightType;   ///< "f32", "bf16", "Q4_1" …, the most frequent by bytes
  bool tied = false;
  bool experts = false;                            ///< some layers are mixtures of experts
  std::vector<AttentionSpec> attention;            ///< [layers]
  std::vector<Rope> ropes;                         ///< for a short sequence, where they depend on its length
  std::vector<CaptureBuilder::LayerShape> shapes;  ///< [layers]
  std::vector<std::string> notes;                  ///< what a careful user should know
};

/// A Hugging Face folder or a .gguf file. Throws Error: a damaged or lying file, or (kind Unsupported) a family,
/// quantization or RoPE kind that can't be reproduced here, with the reason.
ModelInfo inspectModel(const std::filesystem::path& path);

}  // namespace headscope
