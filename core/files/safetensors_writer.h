#pragma once

// Writing a safetensors file piece by piece: all tensors are declared first, so that every byte has its place, and
// their data may then arrive in any order, from several threads, through writes or through memory. Nothing is kept
// in memory, and the target appears only with commit().

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/files/atomic_file.h"
#include "core/files/tensor_view.h"

namespace headscope {

struct TensorDeclaration {
  std::string name;
  TensorType type = TensorType::F32;
  std::vector<std::int64_t> shape;
};

class SafetensorsWriter {
 public:
  using Metadata = std::map<std::string, std::string>;

  /// The data begins at a multiple of this many bytes.
  static constexpr std::uint64_t kAlignment = 64;

  /// Lays the file out (widest types first, otherwise as declared; equal declarations give equal bytes) and reserves
  /// its space on the disk, filled with zeros. Throws Error naming `target`.
  SafetensorsWriter(std::filesystem::path target, std::span<const TensorDeclaration> tensors,
                    const Metadata& metadata = {});
  ~SafetensorsWriter();  ///< without commit(), nothing is left of the file
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// Puts `bytes` at byte `offset` of a tensor; may be called from several threads for different bytes.
  /// Throws Error if they would lie outside of the tensor or can't be written.
  void write(std::string_view tensor, std::uint64_t offset, std::span<const std::byte> bytes);

  /// The tensor's bytes in the file as memory, to be filled by the caller (from several threads, too). Valid as
  /// long as this object, also after commit(). The system moves them to the disk when memory is short. May start at
  /// any address.
  std::span<std::byte> map(std::string_view tensor);

  /// Says that a mapped range (of one or more whole tensors, or a part) is complete: it goes to the disk now and
  /// stops counting as this process's memory. It stays readable and writable.
  void release(std::span<const std::byte> mapped);

  /// Completes the file and renames it over the target. Mapped ranges stay readable.
  void commit();

  std::uint64_t fileBytes() const noexcept { return fileBytes_; }

 private:
  struct Place {
    std::uint64_t begin = 0;  ///< from the start of the file
    std::uint64_t bytes = 0;
  };

  const Place& place(std::string_view tensor) const;
  void reserveSpace();

  AtomicFile file_;
  std::map<std::string, Place, std::less<>> places_;
  std::uint64_t fileBytes_ = 0;
  std::mutex mapping_;
  std::byte* mapped_ = nullptr;
};

}  // namespace headscope
