#pragma once

// GGUF files, versions 2 and 3, little-endian: metadata (key → value), then tensor descriptions, then the data.
// Checked as ggml does (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and its reader); nothing is
// allocated before the counts were compared with the file's size. Tensor data and metadata arrays stay in the file.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/files/gguf_type.h"
#include "core/files/mapped_file.h"

namespace headscope {

/// Types of metadata values, with their numbers in the file.
enum class GgufValueType : std::int32_t {
  U8 = 0,
  I8 = 1,
  U16 = 2,
  I16 = 3,
  U32 = 4,
  I32 = 5,
  F32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  U64 = 10,
  I64 = 11,
  F64 = 12,
};

const char* ggufValueTypeName(GgufValueType type) noexcept;

/// An array as it lies in the file. Strings have a u64 length in front each; their bounds were checked.
struct GgufArray {
  GgufValueType type = GgufValueType::U8;  ///< never Array
  std::uint64_t count = 0;
  std::span<const std::byte> bytes;
};

/// Integers are widened to 64 bits, F32 to double; strings point into the file and may be any bytes.
using GgufValue = std::variant<bool, std::uint64_t, std::int64_t, double, std::string_view, GgufArray>;

struct GgufTensor {
  std::string name;
  GgufType type = GgufType::F32;
  std::vector<std::int64_t> shape;  ///< slowest axis first, as in PyTorch (the file has it reversed)
  std::span<const std::byte> bytes;

  std::int64_t elements() const noexcept;
  std::int64_t rowElements() const noexcept { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const noexcept { return elements() / rowElements(); }
};

class GgufFile {
 public:
  using Tensors = std::map<std::string, GgufTensor, std::less<>>;
  using Metadata = std::map<std::string, GgufValue, std::less<>>;

  /// Opens a file, and all parts of a split one when given its first part (…-00001-of-0000N.gguf).
  /// Throws Error naming the file and the key or tensor.
  static std::shared_ptr<const GgufFile> open(const std::filesystem::path& path);

  /// Views and strings point into this object's mapping: keep the object as long as they are used.
  const Tensors& tensors() const noexcept { return tensors_; }
  const GgufTensor* find(std::string_view name) const;
  const GgufTensor& at(std::string_view name) const;  ///< throws Error naming the file and the tensor

  const Metadata& metadata() const noexcept { return metadata_; }  ///< of the first part
  const GgufValue* value(std::string_view key) const;

  const std::filesystem::path& path() const noexcept { return files_.front()->path(); }
  std::size_t parts() const noexcept { return files_.size(); }
  std::uint64_t fileBytes() const noexcept;

 private:
  GgufFile() = default;
  void openParts();

  std::vector<std::shared_ptr<const MappedFile>> files_;
  Tensors tensors_;
  Metadata metadata_;
};

}  // namespace headscope
