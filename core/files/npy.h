#pragma once

// NPY files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): a magic, a header that is the
// text of a Python dict, then the numbers. Written: version 1.0, little-endian, C order.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/files/atomic_file.h"

namespace headscope {

enum class NpyType { Bool, I8, U8, I16, I32, I64, F16, F32, F64 };

const char* npyDescr(NpyType type) noexcept;  ///< "<f4"
std::size_t npyItemBytes(NpyType type) noexcept;

/// An array in memory, row-major; shape [] is one number.
struct NpyArray {
  NpyType type = NpyType::F32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  std::int64_t elements() const noexcept;
  bool isFloating() const noexcept { return type >= NpyType::F16; }
  std::vector<double> numbers() const;         ///< exact for every type but large I64
  std::vector<std::int64_t> integers() const;  ///< empty if isFloating()
};

/// Versions 1 to 3. Big-endian, Fortran order, and structured or textual types are refused with that reason; the file
/// must be exactly as long as its header says. Throws Error naming the file.
NpyArray readNpy(const std::filesystem::path& path);

/// Writes an array piece by piece; the target appears with commit().
class NpyWriter {
 public:
  NpyWriter(std::filesystem::path target, NpyType type, std::span<const std::int64_t> shape);

  /// The next numbers in row-major order; their type must be the file's.
  void write(std::span<const float> values);
  void write(std::span<const double> values);
  void write(std::span<const std::int64_t> values);

  void commit();  ///< throws Error if not exactly as many numbers came as the shape says

 private:
  void append(NpyType type, const void* data, std::size_t count);

  AtomicFile file_;
  NpyType type_;
  std::uint64_t missing_ = 0;  ///< numbers that are still to come
};

void writeNpy(const std::filesystem::path& target, std::span<const std::int64_t> shape, std::span<const float> values);
void writeNpy(const std::filesystem::path& target, std::span<const std::int64_t> shape, std::span<const double> values);
void writeNpy(const std::filesystem::path& target, std::span<const std::int64_t> shape,
              std::span<const std::int64_t> values);

}  // namespace headscope
