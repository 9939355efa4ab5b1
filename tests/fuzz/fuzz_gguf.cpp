#include <vector>

#include "core/files/dequantize.h"
#include "core/files/gguf_reader.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headscope;
  return test::fuzzFile(data, size, [](const std::filesystem::path& path) {
    const auto file = GgufFile::open(path);
    std::vector<float> row;
    for (const auto& [name, tensor] : file->tensors()) {
      row.resize(static_cast<std::size_t>(tensor.rowElements()));
      for (std::int64_t i = 0; canDequantize(tensor.type) && i < tensor.rows(); ++i) {
        dequantizeRows(tensor, i, 1, row.data());
      }
    }
    const GgufReader reader(*file);
    for (const auto& [key, value] : file->metadata()) {
      const auto* array = std::get_if<GgufArray>(&value);
      if (array != nullptr && array->type == GgufValueType::String) {
        reader.strings(key);
      }
    }
  });
}
