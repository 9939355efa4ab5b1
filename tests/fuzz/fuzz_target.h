#pragma once

// One function per format for libFuzzer: the bytes become a file in memory, readers may refuse it by Error only.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.h"
#include "tests/support/memory_file.h"

namespace headscope::test {

template <typename Use>
int fuzzFile(const std::uint8_t* data, std::size_t size, Use use) {
  const MemoryFile file(std::string_view(reinterpret_cast<const char*>(data), size));
  try {
    use(file.path());
  } catch (const Error&) {
  }
  return 0;
}

}  // namespace headscope::test
