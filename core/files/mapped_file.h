#pragma once

// A file mapped read-only into memory. Pages are read on first use and can be dropped again by the system,
// so opening a 100 GB checkpoint costs nothing.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace headscope {

class MappedFile {
 public:
  /// Throws Error naming the file if it can't be opened, is no regular file, or can't be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace headscope
