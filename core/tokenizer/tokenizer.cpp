#include "core/tokenizer/tokenizer.h"

#include <algorithm>
#include <limits>
#include <system_error>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/gguf.h"
#include "core/tokenizer/detail/tokenizer_parts.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope {
namespace {

// Borrows a word cache for one call: no locks while it is used, and it stays warm for the next call.
class BorrowedCache {
 public:
  explicit BorrowedCache(const Tokenizer::Parts& parts) : parts_(parts) {
    const std::lock_guard lock(parts_.cacheMutex);
    if (!parts_.caches.empty()) {
      cache_ = std::move(parts_.caches.back());
      parts_.caches.pop_back();
    } else {
      cache_ = std::make_unique<detail::WordCache>();
    }
  }
  ~BorrowedCache() {
    const std::lock_guard lock(parts_.cacheMutex);
    parts_.caches.push_back(std::move(cache_));
  }
  BorrowedCache(const BorrowedCache&) = delete;
  BorrowedCache& operator=(const BorrowedCache&) = delete;

  detail::WordCache& get() { return *cache_; }

 private:
  const Tokenizer::Parts& parts_;
  std::unique_ptr<detail::WordCache> cache_;
};

// Where a token lies in the input. The library has two oddities here: an empty token keeps its place in the
// word, and one that reaches past the word (characters were dropped) isn't placed at all.
void place(detail::OutputToken& token, const detail::Segments& segments, const detail::Piece& piece, std::size_t begin,
           std::size_t end, std::size_t inputSize) {
  const auto& spans = segments.all.spans;
  if (begin < end && piece.begin + end <= piece.end) {
    token.begin = spans[piece.begin + begin].begin;
    token.end = spans[piece.begin + end - 1].end;
  } else {
    token.begin = std::min(begin, inputSize);
    token.end = std::min(end, inputSize);
  }
}

std::vector<detail::OutputToken> encodePieces(const Tokenizer::Parts& parts, const detail::Segments& segments,
                                              std::size_t inputSize) {
  BorrowedCache cache(parts);
  const detail::Vocabulary& vocabulary = parts.model->vocabulary();
  std::vector<detail::OutputToken> result;
  std::vector<detail::WordToken> word;
  for (const detail::Piece& piece : segments.pieces) {
    const std::string_view text = segments.text(piece);
    if (piece.token >= 0) {
      detail::OutputToken token{piece.token, std::string(text), 0, 0};
      place(token, segments, piece, 0, text.size(), inputSize);
      result.push_back(std::move(token));
      continue;
    }
    word.clear();
    parts.model->encode(text, cache.get(), word);
    std::size_t at = 0;
    for (const detail::WordToken& one : word) {
      detail::OutputToken token{one.id, *vocabulary.token(one.id), 0, 0};
      place(token, segments, piece, at, at + one.length, inputSize);
      at += one.length;
      result.push_back(std::move(token));
    }
  }
  return result;
}

void appendHexByte(std::string& out, unsigned char byte) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  out += {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

// Calls `character` for every whole character of `bytes`, `byte` for what is left.
template <typename OnCharacter, typename OnByte>
void visit(std::string_view bytes, OnCharacter character, OnByte byte) {
  while (!bytes.empty()) {
    const std::size_t valid = std::min(firstInvalidUtf8(bytes), bytes.size());
    for (std::size_t at = 0; at < valid;) {
      const detail::Character one = detail::characterAt(bytes, at);
      character(one.codePoint, bytes.substr(at, one.length));
      at += one.length;
    }
    if (valid < bytes.size()) {
      byte(static_cast<unsigned char>(bytes[valid]));
    }
    bytes.remove_prefix(std::min(valid + 1, bytes.size()));
  }
}

std::string visible(char32_t c, std::string_view text) {
  if (c == ' ') {
    return "␣";
  }
  if (c == '\n') {
    return "⏎";
  }
  if (c == '\t') {
    return "⇥";
  }
  std::string result;
  if (c < 0x20 || c == 0x7F) {
    appendHexByte(result, static_cast<unsigned char>(c));
  } else if (c >= 0x80 && (detail::isOther(c) || detail::isWhiteSpace(c))) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    result = "<U+";
    for (int shift = c > 0xFFFFF ? 20 : c > 0xFFFF ? 16 : 12; shift >= 0; shift -= 4) {
      result += kDigits[c >> shift & 15];
    }
    result += '>';
  } else {
    result = text;
  }
  return result;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::open(const std::filesystem::path& path) {
  if (auto tokenizer = openIfPresent(path)) {
    return tokenizer;
  }
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    throw Error(path.string(), "has no tokenizer");
  }
  const bool sentencePiece = std::filesystem::exists(path / "tokenizer.model", ignored);
  throw Error((path / "tokenizer.json").string(),
              sentencePiece
                  ? "is missing: there is only tokenizer.model (SentencePiece), which this program does not read"
                  : "is missing");
}

std::shared_ptr<const Tokenizer> Tokenizer::openIfPresent(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool isFolder = std::filesystem::is_directory(path, ignored);
  if (!isFolder && (path.extension() == ".gguf" || path.extension() == ".GGUF")) {
    const auto gguf = GgufFile::open(path);
    auto vocabulary = readGgufVocabulary(*gguf);
    return vocabulary ? fromGguf(std::move(*vocabulary)) : nullptr;
  }
  const std::filesystem::path file = isFolder ? path / "tokenizer.json" : path;
  if (isFolder && !std::filesystem::exists(file, ignored)) {
    return nullptr;
  }
  std::optional<std::filesystem::path> config = file.parent_path() / "tokenizer_config.json";
  if (!std::filesystem::exists(*config, ignored)) {
    config.reset();
  }
  return std::shared_ptr<const Tokenizer>(new Tokenizer(detail::makeFromJson(readFile(file), file.string(), config)));
}

std::shared_ptr<const Tokenizer> Tokenizer::fromGguf(GgufVocabulary vocabulary) {
  return std::shared_ptr<const Tokenizer>(new Tokenizer(detail::makeFromGguf(std::move(vocabulary))));
}

Encoding Tokenizer::encode(std::string_view utf8, Bos bos, bool parseSpecialTokens) const {
  if (utf8.size() >= std::numeric_limits<std::uint32_t>::max()) {
    throw Error("text", concat("has ", utf8.size(), " bytes, more than can be tokenized at once"));
  }
  const std::size_t invalid = firstInvalidUtf8(utf8);
  if (invalid != std::string_view::npos) {
    throw Error("text", concat("is not valid UTF-8 at byte ", invalid));
  }
  detail::Segments segments = parts_->added.extract(utf8, parts_->normalizer.get(), parseSpecialTokens);
  if (parts_->preTokenizer) {
    parts_->preTokenizer->apply(segments);
  }
  std::vector<std::vector<detail::OutputToken>> lists = {encodePieces(*parts_, segments, utf8.size())};
  if (parts_->postProcessor) {
    parts_->postProcessor->apply(lists, utf8, bos != Bos::Off);
  }
  Encoding result;
  const bool addBos = bos == Bos::On && (!parts_->postProcessor || parts_->postProcessor->before().empty());
  if (addBos) {
    if (!parts_->bos) {
      throw Error(parts_->where, "a BOS token was asked for, but the tokenizer names none");
    }
    result.ids.push_back(*parts_->bos);
    result.tokens.push_back(tokenText(*parts_->bos));
    result.offsets.emplace_back(0, 0);
  }
  for (auto& list : lists) {
    for (detail::OutputToken& token : list) {
      result.ids.push_back(token.id);
      result.tokens.push_back(std::move(token.text));
      result.offsets.emplace_back(token.begin, token.end);
    }
  }
  return result;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, bool skipSpecial) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int64_t id : ids) {
    if (id < 0) {
      throw Error("ids", concat("token id ", id, " is negative"));
    }
    const std::string* text = parts_->added.decodable(id);
    text = text != nullptr ? text : parts_->model->vocabulary().token(id);
    if (text != nullptr && !(skipSpecial && parts_->added.isSpecial(*text))) {
      tokens.push_back(*text);
    }
  }
  std::string result;
  const bool joined = parts_->decoder == nullptr;
  if (!joined) {
    tokens = parts_->decoder->apply(std::move(tokens));
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    result += (joined && i > 0 ? " " : "") + tokens[i];
  }
  return result;
}

std::string Tokenizer::tokenBytes(std::int64_t id) const {
  if (const detail::AddedToken* token = parts_->added.find(id)) {
    return token->content;
  }
  const std::string* text = parts_->model->vocabulary().token(id);
  if (text == nullptr) {
    return {};
  }
  bool raw = false;
  return parts_->decoder ? parts_->decoder->bytes(*text, raw) : *text;
}

std::string Tokenizer::tokenText(std::int64_t id) const {
  if (const detail::AddedToken* token = parts_->added.find(id)) {
    return token->content;
  }
  const std::string* text = parts_->model->vocabulary().token(id);
  return text == nullptr ? std::string() : *text;
}

std::string Tokenizer::displayText(std::int64_t id) const {
  if (parts_->added.find(id) == nullptr && parts_->model->vocabulary().token(id) == nullptr) {
    return concat("<id ", id, ">");
  }
  std::string result;
  visit(
      tokenBytes(id), [&](char32_t c, std::string_view text) { result += visible(c, text); },
      [&](unsigned char byte) { appendHexByte(result, byte); });
  return result;
}

std::vector<std::string> Tokenizer::pieces(std::span<const std::int64_t> ids) const {
  std::vector<std::string> result;
  result.reserve(ids.size());
  for (const std::int64_t id : ids) {
    std::string& piece = result.emplace_back();
    visit(
        tokenBytes(id), [&](char32_t, std::string_view text) { piece += text; },
        [&](unsigned char byte) { appendHexByte(piece, byte); });
  }
  return result;
}

bool Tokenizer::isSpecial(std::int64_t id) const {
  const detail::AddedToken* token = parts_->added.find(id);
  return token != nullptr && parts_->added.isSpecial(token->content);
}

std::optional<std::int64_t> Tokenizer::id(std::string_view tokenText) const {
  if (const auto added = parts_->added.id(tokenText)) {
    return *added;
  }
  const auto known = parts_->model->vocabulary().id(tokenText);
  return known ? std::optional<std::int64_t>(*known) : std::nullopt;
}

std::string Tokenizer::kind() const {
  return parts_->kind;
}

std::size_t Tokenizer::size() const noexcept {
  return std::max(parts_->model->vocabulary().idLimit(), parts_->added.idLimit());
}

std::optional<std::int64_t> Tokenizer::bos() const noexcept {
  return parts_->bos;
}

std::optional<std::int64_t> Tokenizer::eos() const noexcept {
  return parts_->eos;
}

namespace {

std::vector<std::int64_t> idsOf(const std::vector<detail::SpecialToken>& tokens) {
  std::vector<std::int64_t> ids;
  for (const detail::SpecialToken& token : tokens) {
    ids.push_back(token.id);
  }
  return ids;
}

}  // namespace

std::vector<std::int64_t> Tokenizer::addedBefore() const {
  return parts_->postProcessor ? idsOf(parts_->postProcessor->before()) : std::vector<std::int64_t>();
}

std::vector<std::int64_t> Tokenizer::addedAfter() const {
  return parts_->postProcessor ? idsOf(parts_->postProcessor->after()) : std::vector<std::int64_t>();
}

const std::vector<std::string>& Tokenizer::notes() const noexcept {
  return parts_->notes;
}

}  // namespace headscope
