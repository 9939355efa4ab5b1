#pragma once

// Reading one safetensors file: u64 header length, JSON header (name → dtype, shape, data_offsets), data.
// The file is mapped, no weight is read before it is used. https://github.com/huggingface/safetensors#format

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/files/mapped_file.h"
#include "core/files/tensor_view.h"

namespace headscope {

class SafetensorsFile {
 public:
  using Tensors = std::map<std::string, TensorView, std::less<>>;
  using Metadata = std::map<std::string, std::string, std::less<>>;

  /// Longest header that is read (the limit of the reference reader).
  static constexpr std::uint64_t kHeaderLimit = 100'000'000;

  /// Checks the whole header: the tensors must cover the data without gap, overlap or rest, and each must be as long
  /// as its type and shape say. Duplicate keys are refused. Throws Error naming the file and the tensor.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);

  /// The views point into this object's mapping: keep the object as long as they are used.
  const Tensors& tensors() const noexcept { return tensors_; }
  const TensorView* find(std::string_view name) const;
  const TensorView& at(std::string_view name) const;  ///< throws Error naming the file and the tensor

  const Metadata& metadata() const noexcept { return metadata_; }
  const std::filesystem::path& path() const noexcept { return file_->path(); }
  std::uint64_t fileBytes() const noexcept { return file_->bytes().size(); }

 private:
  SafetensorsFile() = default;

  std::shared_ptr<const MappedFile> file_;
  Tensors tensors_;
  Metadata metadata_;
};

}  // namespace headscope
