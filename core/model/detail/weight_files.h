#pragma once

// The weights of a model on disk under their Hugging Face names, whatever the format. No LibTorch.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/files/float_type.h"
#include "core/files/gguf.h"
#include "core/files/tensor_source.h"
#include "core/model/detail/plan.h"

namespace headscope {

struct StoredTensor {
  std::vector<std::int64_t> shape;
  std::string type;  ///< as people call it: "f32", "bf16", "Q4_1"
  std::uint64_t bytes = 0;
  bool readable = true;             ///< a type that read() decodes
  std::optional<FloatType> plain;   ///< stored as plain floats in row-major order: `data` can be used as it is
  std::span<const std::byte> data;  ///< of plain tensors; any alignment
};

class WeightFiles {
 public:
  virtual ~WeightFiles() = default;

  virtual std::optional<StoredTensor> find(const std::string& name) const = 0;
  /// Whether a tensor of the shape `stored` is one of the shape `asked`, with the same elements in the same order.
  virtual bool fits(const std::vector<std::int64_t>& stored, const std::vector<std::int64_t>& asked) const {
    return stored == asked;
  }
  virtual std::filesystem::path fileOf(const std::string& name) const = 0;
  /// Rows (along the last axis) [first, first + count) as float32. May be called from several threads.
  virtual void readRows(const std::string& name, std::int64_t first, std::int64_t count, float* target) const = 0;
  virtual std::int64_t count() const = 0;      ///< tensors in the files
  virtual std::uint64_t bytes() const = 0;     ///< of all tensors
  virtual std::string commonType() const = 0;  ///< the most frequent type by bytes
};

/// safetensors files of a Hugging Face folder. `wrapped`: the decoder is a part of a multimodal model, and its
/// tensors stand behind one of the prefixes that transformers has used.
std::shared_ptr<const WeightFiles> safetensorsWeights(std::shared_ptr<const TensorSource> source, bool wrapped);

/// The tensors of a GGUF file under their own names.
std::shared_ptr<const WeightFiles> ggufWeights(std::shared_ptr<const GgufFile> file);

/// A whole tensor as float32.
std::vector<float> readTensor(const WeightFiles& files, const std::string& name);

/// Checks that all tensors of `decoder` are there, with their shapes, as floats. Throws Error naming file and tensor.
void checkWeights(const plan::Decoder& decoder, const WeightFiles& files);

/// A tied model whose files hold a head of its own that differs from the embedding is not tied (as in
/// transformers). Returns whether the plan was changed.
bool untieIfDifferent(plan::Decoder& decoder, const WeightFiles& files, const std::string& headName);

/// Number of parameters that `decoder` reads, each stored tensor once.
std::int64_t parameterCount(const plan::Decoder& decoder);

}  // namespace headscope
