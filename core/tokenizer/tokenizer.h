#pragma once

// Texts to token ids and back, exactly as the tokenizers library does it with a tokenizer.json, or llama.cpp
// with the vocabulary of a GGUF file. Immutable after loading; every function may be called from any thread.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tokenizer/gguf_vocabulary.h"

namespace headscope {

struct Encoding {
  std::vector<std::int64_t> ids;
  std::vector<std::string> tokens;  ///< as the vocabulary has them ("Ġthe", "▁the", "<0x0A>")
  std::vector<std::pair<std::size_t, std::size_t>> offsets;  ///< bytes of the input, end excluded; (0, 0) if added
};

/// Auto: what the file's post-processor adds. On: that, and the BOS token in front if it adds nothing there.
/// Off: nothing is added at all, at the end neither.
enum class Bos { Auto, On, Off };

class Tokenizer {
 public:
  /// A Hugging Face folder, a tokenizer.json or a GGUF file. tokenizer_config.json beside a tokenizer.json only
  /// says which tokens are BOS and EOS. Throws Error naming the file, also if there is no tokenizer.
  static std::shared_ptr<const Tokenizer> open(const std::filesystem::path& path);
  /// The same, but null if the model comes without a tokenizer.
  static std::shared_ptr<const Tokenizer> openIfPresent(const std::filesystem::path& path);
  /// Throws Error naming `vocabulary.where`.
  static std::shared_ptr<const Tokenizer> fromGguf(GgufVocabulary vocabulary);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Throws Error if `utf8` is not well-formed. With `parseSpecialTokens` false, special tokens typed in the
  /// text are text.
  Encoding encode(std::string_view utf8, Bos bos = Bos::Auto, bool parseSpecialTokens = true) const;

  /// Always well-formed UTF-8. Ids without a token are left out; negative ones are an Error.
  std::string decode(std::span<const std::int64_t> ids, bool skipSpecial = false) const;

  /// The bytes that the token stands for inside a text; maybe part of a character. Empty if there's no such id.
  std::string tokenBytes(std::int64_t id) const;
  /// As the vocabulary has it; empty if there's no such id.
  std::string tokenText(std::int64_t id) const;
  /// For labels: spaces as ␣, line ends as ⏎, other invisible characters and lone bytes as <0xNN> or <U+NNNN>.
  std::string displayText(std::int64_t id) const;
  /// Readable text of each token; bytes of characters that span several tokens as <0xNN>.
  std::vector<std::string> pieces(std::span<const std::int64_t> ids) const;

  bool isSpecial(std::int64_t id) const;
  /// Id of a token given as in the vocabulary.
  std::optional<std::int64_t> id(std::string_view tokenText) const;

  std::string kind() const;           ///< "byte-level BPE", "SentencePiece-like BPE (byte fallback)", …
  std::size_t size() const noexcept;  ///< one more than the largest id
  std::optional<std::int64_t> bos() const noexcept;
  std::optional<std::int64_t> eos() const noexcept;
  /// What encode() puts in front of a text, and behind it, with Bos::Auto.
  std::vector<std::int64_t> addedBefore() const;
  std::vector<std::int64_t> addedAfter() const;
  /// What the user should know: parts of the file that are ignored, or that look contradictory.
  const std::vector<std::string>& notes() const noexcept;

  struct Parts;  ///< implementation

 private:
  explicit Tokenizer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace headscope
