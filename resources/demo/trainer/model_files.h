#pragma once

// The demo model as a Hugging Face folder: config.json, model.safetensors in bf16, and a card that says how it was
// made.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace headscope::demo {

struct Shape {
  std::int64_t vocabulary = 2048, hidden = 256, mlp = 480;
  int layers = 6, heads = 8, kvHeads = 4, headDim = 32;
  std::int64_t context = 2048;
};

struct TrainingReport {
  std::int64_t steps = 0, tokens = 0;
  double seconds = 0;
  double storyLoss = 0, grammarLoss = 0;  ///< on held-out text, nats a token
  std::string device;
};

void writeConfig(const Shape& shape, const std::filesystem::path& folder);

/// Rounds to bf16; the folder's other files are there already.
void writeWeights(const std::map<std::string, at::Tensor>& weights, const std::filesystem::path& folder);

void writeCard(const Shape& shape, const TrainingReport& report, const std::string& sample,
               const std::filesystem::path& folder);

}  // namespace headscope::demo
