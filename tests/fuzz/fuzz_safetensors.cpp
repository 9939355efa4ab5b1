#include "core/files/safetensors.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headscope;
  return test::fuzzFile(data, size, [](const std::filesystem::path& path) {
    const auto file = SafetensorsFile::open(path);
    for (const auto& [name, view] : file->tensors()) {
      if (tensorBytes(view.type, view.shape) != view.bytes.size()) {
        __builtin_trap();
      }
    }
  });
}
