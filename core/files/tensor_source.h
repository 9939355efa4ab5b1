#pragma once

// The weights of a Hugging Face folder: one model.safetensors, or the shards that model.safetensors.index.json names.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/files/safetensors.h"

namespace headscope {

class TensorSource {
 public:
  /// Opens all shards; reads headers only. Throws Error naming the file: no weights, weights in another format,
  /// a shard that is missing or lacks a tensor that the index puts there.
  static std::shared_ptr<const TensorSource> open(const std::filesystem::path& folder);

  /// The views live as long as this object.
  const TensorView* find(std::string_view name) const;
  const TensorView& at(std::string_view name) const;  ///< throws Error naming the file and the tensor
  std::vector<std::string> names() const;             ///< sorted
  const std::map<std::string, const TensorView*, std::less<>>& tensors() const noexcept { return tensors_; }

  /// model.safetensors, or the index: the file that is named when a tensor is missing.
  const std::filesystem::path& path() const noexcept { return path_; }
  /// The file that holds a tensor, for errors about its content; path() if there is no such tensor.
  const std::filesystem::path& fileOf(std::string_view name) const;
  const std::vector<std::shared_ptr<const SafetensorsFile>>& files() const noexcept { return files_; }

  std::uint64_t weightBytes() const noexcept;  ///< of the tensors
  std::uint64_t fileBytes() const noexcept;    ///< of the files, headers included

 private:
  TensorSource() = default;
  void openIndex();

  std::filesystem::path path_;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::map<std::string, const TensorView*, std::less<>> tensors_;
  std::map<std::string, std::size_t, std::less<>> fileOf_;  ///< index into files_; empty if there is one
};

}  // namespace headscope
