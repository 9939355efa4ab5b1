#pragma once

// Writes a file aside and renames it when it is complete, so that a reader never sees half of it and an
// interrupted export leaves the previous file as it was.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace headscope {

class AtomicFile {
 public:
  /// Opens a temporary file beside `target`. Throws Error naming `target`.
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();  ///< without commit(), the temporary file is removed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Writes at an absolute offset; the file grows as needed.
  void writeAt(std::uint64_t offset, const void* data, std::size_t bytes);

  /// Flushes to disk and renames over the target.
  void commit();

  int descriptor() const noexcept { return descriptor_; }
  const std::filesystem::path& target() const noexcept { return target_; }

 private:
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path target_;
  std::filesystem::path aside_;
  int descriptor_ = -1;
};

/// The whole of `content` as file `target`, atomically.
void writeFile(const std::filesystem::path& target, std::string_view content);

/// The whole file as bytes; throws Error naming it, also when it is larger than `limit` bytes.
std::string readFile(const std::filesystem::path& path, std::uint64_t limit = std::uint64_t{1} << 32);

}  // namespace headscope
