#include "core/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/base/error.h"
#include "core/files/mapped_file.h"

namespace headscope {

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  static std::atomic<unsigned> counter{0};
  aside_ = target_;
  aside_ += concat(".", ::getpid(), "-", counter++, ".part");
  descriptor_ = ::open(aside_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    fail("can't be written");
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
    ::unlink(aside_.c_str());
  }
}

void AtomicFile::fail(const char* action) const {
  throw Error(target_.string(), concat(action, ": ", std::strerror(errno)));
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      fail("can't be written");
    }
    from += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::writeAt(std::uint64_t offset, const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(descriptor_, from, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      fail("can't be written");
    }
    from += written;
    offset += static_cast<std::uint64_t>(written);
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) {
    fail("can't be written");
  }
  if (::rename(aside_.c_str(), target_.c_str()) != 0) {
    fail("can't be put in place");
  }
  ::close(descriptor_);
  descriptor_ = -1;
}

void writeFile(const std::filesystem::path& target, std::string_view content) {
  AtomicFile file(target);
  file.write(content);
  file.commit();
}

std::string readFile(const std::filesystem::path& path, std::uint64_t limit) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > limit) {
    throw Error(path.string(), concat("is too large: ", bytes.size(), " bytes, at most ", limit, " are read"));
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace headscope
