#include "core/files/npy.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headscope;
  return test::fuzzFile(data, size, [](const std::filesystem::path& path) { readNpy(path).numbers(); });
}
