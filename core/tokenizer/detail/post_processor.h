#pragma once

// The "post_processor" of a tokenizer.json: adds BOS, EOS and the like, and trims offsets.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/files/json.h"

namespace headscope::detail {

/// A token on its way out. `begin`, `end`: bytes of the input.
struct OutputToken {
  std::int64_t id = 0;
  std::string text;
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct SpecialToken {
  std::int64_t id = 0;
  std::string text;
};

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  /// Each list is worked on by itself; together, in order, they are the result. `input` is what the offsets
  /// are about.
  virtual void apply(std::vector<std::vector<OutputToken>>& lists, std::string_view input, bool addSpecial) const = 0;
  /// Tokens put before and after a text.
  virtual std::vector<SpecialToken> before() const { return {}; }
  virtual std::vector<SpecialToken> after() const { return {}; }
};

/// Null if `config` is null. Throws Error on unknown types, naming them.
std::unique_ptr<const PostProcessor> makePostProcessor(const Json& config, const std::string& where);
std::unique_ptr<const PostProcessor> makeTemplate(std::vector<SpecialToken> before, std::vector<SpecialToken> after);

}  // namespace headscope::detail
