#pragma once

// The "pre_tokenizer" of a tokenizer.json: cuts the normalized text into words for the model.

#include <memory>
#include <string>

#include "core/files/json.h"
#include "core/tokenizer/detail/segments.h"

namespace headscope::detail {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Segments& segments) const = 0;
  /// True if a space is put before the text.
  virtual bool addsPrefixSpace() const { return false; }
  /// True if the words are bytes in GPT-2's alphabet afterwards.
  virtual bool isByteLevel() const { return false; }
};

/// Null if `config` is null. Throws Error on unknown types, naming them.
std::unique_ptr<const PreTokenizer> makePreTokenizer(const Json& config, const std::string& where);

/// The parts that GGUF files imply without naming them.
std::unique_ptr<const PreTokenizer> makeSplit(const std::string& regex, const std::string& where);
std::unique_ptr<const PreTokenizer> makeByteLevel(bool addPrefixSpace, bool useRegex);
std::unique_ptr<const PreTokenizer> makeSequence(std::vector<std::unique_ptr<const PreTokenizer>> steps);

/// What Metaspace's "prepend_scheme" says.
enum class PrependScheme { Always, First, Never };

struct MetaspaceOptions {
  std::string replacement;  ///< one character
  PrependScheme scheme = PrependScheme::Always;
  bool split = true;
};

MetaspaceOptions readMetaspace(const JsonReader& reader);

}  // namespace headscope::detail
