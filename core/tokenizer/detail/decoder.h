#pragma once

// The "decoder" of a tokenizer.json: turns a list of token texts into readable text.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/files/json.h"

namespace headscope::detail {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::vector<std::string> apply(std::vector<std::string> tokens) const = 0;
  /// The bytes that one token stands for, as far as this step concerns it; `raw` is set once they are bytes
  /// and no text any more. Unlike apply(), nothing is trimmed at the ends of the whole text.
  virtual std::string bytes(std::string token, bool& raw) const = 0;
};

/// Null if `config` is null. Throws Error on unknown types, naming them.
std::unique_ptr<const Decoder> makeDecoder(const Json& config, const std::string& where);
/// The decoder of GGUF's byte-level and SentencePiece-like vocabularies.
std::unique_ptr<const Decoder> makeByteLevelDecoder();
std::unique_ptr<const Decoder> makeSentencePieceDecoder(bool stripFirstSpace);

/// Well-formed UTF-8; ill-formed parts become one U+FFFD each (the Unicode Standard's "maximal subparts").
std::string lossyUtf8(std::string_view bytes);

/// The byte that a token like <0x0A> stands for, −1 if it is none.
int fallbackByte(std::string_view token) noexcept;

}  // namespace headscope::detail
