// A tokenizer.json; what loads must encode and decode.

#include <vector>

#include "core/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headscope;
  return test::fuzzFile(data, size, [](const std::filesystem::path& path) {
    const auto tokenizer = Tokenizer::open(path);
    const Encoding encoding = tokenizer->encode("the  lord's caf\u00E9 e\u0301 \u4E2D 12345\n\n<s>\U0001F600\u180E\t ");
    tokenizer->decode(encoding.ids);
    for (const std::int64_t id : encoding.ids) {
      tokenizer->displayText(id);
    }
  });
}
