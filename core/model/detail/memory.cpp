#include "core/model/detail/memory.h"

#include <fstream>
#include <string>

namespace headscope {
namespace {

// A line "Name:   123 kB" of a file under /proc.
std::uint64_t procBytes(const char* file, const std::string& name) {
  std::ifstream stream(file);
  std::string key;
  while (stream >> key) {
    std::uint64_t kibibytes = 0;
    if (key == name + ":" && stream >> kibibytes) {
      return kibibytes * 1024;
    }
    std::getline(stream, key);
  }
  return 0;
}

}  // namespace

std::uint64_t peakResidentBytes() {
  return procBytes("/proc/self/status", "VmHWM");
}

std::uint64_t availableBytes() {
  return procBytes("/proc/meminfo", "MemAvailable");
}

std::uint64_t totalBytes() {
  return procBytes("/proc/meminfo", "MemTotal");
}

}  // namespace headscope
