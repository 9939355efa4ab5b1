#include "core/tokenizer/detail/decoder.h"

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/tokenizer/detail/byte_level.h"
#include "core/tokenizer/detail/component.h"
#include "core/tokenizer/detail/normalizer.h"
#include "core/tokenizer/detail/pre_tokenizer.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes of a token in GPT-2's alphabet; nullopt if it has other characters.
std::optional<std::string> byteLevelBytes(std::string_view token) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const Character one = characterAt(token, at);
    const int byte = byteLevelByte(one.codePoint);
    if (byte < 0) {
      return std::nullopt;
    }
    bytes += static_cast<char>(byte);
    at += one.length;
  }
  return bytes;
}

class Sequence final : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const Decoder>> steps) : steps_(std::move(steps)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (const auto& step : steps_) {
      tokens = step->apply(std::move(tokens));
    }
    return tokens;
  }
  std::string bytes(std::string token, bool& raw) const override {
    for (const auto& step : steps_) {
      if (!raw) {
        token = step->bytes(std::move(token), raw);
      }
    }
    return token;
  }

 private:
  std::vector<std::unique_ptr<const Decoder>> steps_;
};

class ByteLevel final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::string all;
    for (const std::string& token : tokens) {
      all += byteLevelBytes(token).value_or(token);
    }
    return {lossyUtf8(all)};
  }
  std::string bytes(std::string token, bool& raw) const override {
    raw = true;
    return byteLevelBytes(token).value_or(std::move(token));
  }
};

class Replace final : public Decoder {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    bool raw = false;
    for (std::string& token : tokens) {
      token = bytes(std::move(token), raw);
    }
    return tokens;
  }
  std::string bytes(std::string token, bool&) const override {
    std::vector<Match> parts;
    pattern_.find(token, parts);
    std::string result;
    for (const Match& part : parts) {
      result += part.matched ? content_ : token.substr(part.begin, part.end - part.begin);
    }
    return result;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// A run of byte tokens is one text if it is valid as a whole, else one replacement character per byte.
class ByteFallback final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::vector<std::string> result;
    std::string run;
    const auto flush = [&] {
      if (run.empty()) {
        return;
      }
      if (isUtf8(run)) {
        result.push_back(run);
      } else {
        result.insert(result.end(), run.size(), std::string(kReplacement));
      }
      run.clear();
    };
    for (std::string& token : tokens) {
      const int byte = fallbackByte(token);
      if (byte >= 0) {
        run += static_cast<char>(byte);
      } else {
        flush();
        result.push_back(std::move(token));
      }
    }
    flush();
    return result;
  }
  std::string bytes(std::string token, bool& raw) const override {
    const int byte = fallbackByte(token);
    if (byte < 0) {
      return token;
    }
    raw = true;
    return std::string(1, static_cast<char>(byte));
  }
};

class Fuse final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::string all;
    for (const std::string& token : tokens) {
      all += token;
    }
    return {std::move(all)};
  }
  std::string bytes(std::string token, bool&) const override { return token; }
};

class Strip final : public Decoder {
 public:
  Strip(std::string content, std::int64_t start, std::int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (std::string& token : tokens) {
      std::size_t begin = 0;
      for (std::int64_t i = 0; i < start_ && token.compare(begin, content_.size(), content_) == 0; ++i) {
        begin += content_.size();
      }
      std::size_t end = token.size();
      for (std::int64_t i = 0; i < stop_ && end >= begin + content_.size() &&
                               token.compare(end - content_.size(), content_.size(), content_) == 0;
           ++i) {
        end -= content_.size();
      }
      token = token.substr(begin, end - begin);
    }
    return tokens;
  }
  std::string bytes(std::string token, bool&) const override { return token; }

 private:
  std::string content_;
  std::int64_t start_;
  std::int64_t stop_;
};

class Metaspace final : public Decoder {
 public:
  explicit Metaspace(MetaspaceOptions options) : options_(std::move(options)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    const bool dropFirst = options_.scheme != PrependScheme::Never;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replaced(tokens[i], i == 0 && dropFirst ? "" : " ");
    }
    return tokens;
  }
  std::string bytes(std::string token, bool&) const override { return replaced(token, " "); }

 private:
  std::string replaced(std::string_view token, std::string_view space) const {
    std::string result;
    for (std::size_t at = 0; at < token.size();) {
      const std::size_t length = characterAt(token, at).length;
      const std::string_view one = token.substr(at, length);
      result += one == options_.replacement ? space : one;
      at += length;
    }
    return result;
  }

  MetaspaceOptions options_;
};

std::string replaceAll(std::string text, std::string_view from, std::string_view to) {
  if (from.empty()) {
    return text;
  }
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// The end-of-word mark becomes a space, except at the end of the text.
class WordSuffix final : public Decoder {
 public:
  explicit WordSuffix(std::string suffix) : suffix_(std::move(suffix)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replaceAll(std::move(tokens[i]), suffix_, i + 1 == tokens.size() ? "" : " ");
    }
    return tokens;
  }
  std::string bytes(std::string token, bool&) const override { return replaceAll(std::move(token), suffix_, " "); }

 private:
  std::string suffix_;
};

}  // namespace

int fallbackByte(std::string_view token) noexcept {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>' || digit(token[4]) < 0) {
    return -1;
  }
  const int high = token[3] == '+' ? 0 : digit(token[3]);  // Rust's number parser takes a sign
  return high < 0 ? -1 : high * 16 + digit(token[4]);
}

std::string lossyUtf8(std::string_view bytes) {
  std::string result;
  while (!bytes.empty()) {
    const std::size_t bad = firstInvalidUtf8(bytes);
    if (bad == std::string_view::npos) {
      result += bytes;
      break;
    }
    result += bytes.substr(0, bad);
    result += kReplacement;
    // How much of a character there is: completed by one to three continuation bytes it would be valid.
    static constexpr std::string_view kTails[] = {"\x80",     "\xBF",         "\x80\x80",
                                                  "\xBF\xBF", "\x80\x80\x80", "\xBF\xBF\xBF"};
    std::size_t length = 1;
    for (std::size_t more = 2; more <= 3 && bad + more <= bytes.size(); ++more) {
      const bool prefix = std::any_of(std::begin(kTails), std::end(kTails), [&](std::string_view tail) {
        return isUtf8(std::string(bytes.substr(bad, more)).append(tail));
      });
      if (!prefix) {
        break;
      }
      length = more;
    }
    bytes.remove_prefix(bad + length);
  }
  return result;
}

std::unique_ptr<const Decoder> makeByteLevelDecoder() {
  return std::make_unique<ByteLevel>();
}

std::unique_ptr<const Decoder> makeSentencePieceDecoder(bool stripFirstSpace) {
  std::vector<std::unique_ptr<const Decoder>> steps;
  steps.push_back(std::make_unique<Replace>(Pattern::literal("\xE2\x96\x81", "decoder"), " "));
  steps.push_back(std::make_unique<ByteFallback>());
  steps.push_back(std::make_unique<Fuse>());
  if (stripFirstSpace) {
    steps.push_back(std::make_unique<Strip>(" ", 1, 0));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

std::unique_ptr<const Decoder> makeDecoder(const Json& config, const std::string& where) {
  if (config.is_null()) {
    return nullptr;
  }
  const JsonReader reader(config, where + ": decoder");
  const std::string type = reader.string("type");
  if (type == "Sequence") {
    return std::make_unique<Sequence>(makeSteps<Decoder>(reader, "decoders", where, makeDecoder));
  }
  if (type == "ByteLevel") {
    return makeByteLevelDecoder();
  }
  if (type == "Replace") {
    return std::make_unique<Replace>(readPattern(reader, "pattern"), reader.string("content"));
  }
  if (type == "ByteFallback") {
    return std::make_unique<ByteFallback>();
  }
  if (type == "Fuse") {
    return std::make_unique<Fuse>();
  }
  if (type == "Strip") {
    constexpr std::int64_t kMost = std::int64_t{1} << 31;
    return std::make_unique<Strip>(oneCharacter(reader, "content"), reader.integer("start", 0, kMost),
                                   reader.integer("stop", 0, kMost));
  }
  if (type == "Metaspace") {
    return std::make_unique<Metaspace>(readMetaspace(reader));
  }
  if (type == "BPEDecoder") {
    return std::make_unique<WordSuffix>(reader.string("suffix"));
  }
  reader.fail(concat("type \"", type.substr(0, 80), "\" is not supported"));
}

}  // namespace headscope::detail
