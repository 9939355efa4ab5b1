#pragma once

// The tokenizer as a GGUF file describes it (keys tokenizer.ggml.*). Plain data; Tokenizer::fromGguf() uses it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headscope {

class GgufFile;

/// Values of tokenizer.ggml.token_type.
enum class GgufTokenType : std::int32_t {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6,
};

struct GgufVocabulary {
  std::string where;                     ///< the file, for errors
  std::string name;                      ///< general.name; may be empty
  std::string model;                     ///< "gpt2" (byte-level BPE), "llama" (SentencePiece-like), "gemma4", …
  std::string pre;                       ///< which pre-tokenizer; BPE only; may be empty
  std::vector<std::string> tokens;       ///< by id
  std::vector<float> scores;             ///< by id; "llama" only, otherwise it may be empty
  std::vector<std::int32_t> tokenTypes;  ///< by id, see GgufTokenType; may be empty: all normal
  std::vector<std::string> merges;       ///< "left right"; BPE only
  std::optional<std::int64_t> bos;
  std::optional<std::int64_t> eos;
  std::optional<std::int64_t> unknown;
  std::optional<bool> addBos;
  std::optional<bool> addEos;
  std::optional<bool> addSpacePrefix;
  std::optional<std::string> tokenizerJson;  ///< tokenizer.huggingface.json, used instead of all this if present
};

/// What the metadata of a GGUF file says about the tokenizer; nullopt if it has none. Throws Error naming the
/// file and the key.
std::optional<GgufVocabulary> readGgufVocabulary(const GgufFile& file);

}  // namespace headscope
