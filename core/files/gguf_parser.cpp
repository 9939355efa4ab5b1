#include "core/files/gguf_parser.h"

#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "core/base/error.h"

namespace headscope {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF numbers are copied as they are");

constexpr std::uint64_t kStringLimit = std::uint64_t{1} << 30;
constexpr std::uint64_t kArrayLimit = std::uint64_t{1} << 30;
/// Every string of an array is visited, so far fewer are allowed: 60 times the largest vocabulary known.
constexpr std::uint64_t kStringArrayLimit = std::uint64_t{1} << 24;
constexpr std::uint64_t kKeyLimit = (std::uint64_t{1} << 16) - 1;
constexpr std::uint64_t kNameLimit = 63;
constexpr std::uint32_t kRankLimit = 4;
constexpr std::uint64_t kDefaultAlignment = 32;
// The shortest key (length, one letter, type, one byte) and tensor description (length, name, rank, type, offset).
constexpr std::uint64_t kShortestKey = 8 + 1 + 4 + 1;
constexpr std::uint64_t kShortestTensor = 8 + 4 + 4 + 8;

std::uint64_t numberBytes(GgufValueType type) noexcept {
  switch (type) {
    case GgufValueType::U16:
    case GgufValueType::I16:
      return 2;
    case GgufValueType::U32:
    case GgufValueType::I32:
    case GgufValueType::F32:
      return 4;
    case GgufValueType::U64:
    case GgufValueType::I64:
    case GgufValueType::F64:
      return 8;
    default:
      return 1;
  }
}

bool isValueType(std::int32_t id) noexcept {
  return id >= 0 && id <= static_cast<std::int32_t>(GgufValueType::F64);
}

std::string shortened(std::string_view text) {
  return std::string(text.substr(0, 100));
}

// Nothing if it would not fit into 63 bits.
std::optional<std::uint64_t> roundUp(std::uint64_t value, std::uint64_t alignment) noexcept {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(value, alignment - 1, &sum) || sum > std::numeric_limits<std::int64_t>::max()) {
    return std::nullopt;
  }
  return sum & ~(alignment - 1);
}

}  // namespace

void GgufParser::fail(const std::string& problem) const {
  throw Error(where_, problem);
}

template <typename Number>
Number GgufParser::number() {
  if (remaining() < sizeof(Number)) {
    fail(concat("is cut short at byte ", file_.size()));
  }
  Number value;
  std::memcpy(&value, file_.data() + at_, sizeof value);
  at_ += sizeof value;
  return value;
}

std::string_view GgufParser::string(std::uint64_t limit, const char* what) {
  const auto length = number<std::uint64_t>();
  if (length > limit || length > remaining()) {
    fail(concat("byte ", at_, ": ", what, " of ", length, " bytes is too long",
                length > limit ? concat(", at most ", limit, " are allowed") : std::string(" for the file")));
  }
  const std::string_view text(reinterpret_cast<const char*>(file_.data()) + at_, static_cast<std::size_t>(length));
  at_ += static_cast<std::size_t>(length);
  return text;
}

void GgufParser::parse(GgufFile::Metadata& metadata, GgufFile::Tensors& tensors) {
  const Counts counts = header();
  for (std::uint64_t i = 0; i < counts.keys; ++i) {
    keyValue(metadata);
  }
  const std::uint64_t step = alignment(metadata);
  if (counts.tensors > remaining() / kShortestTensor) {
    fail(concat("has room for no ", counts.tensors, " tensors"));
  }
  std::vector<Description> descriptions;
  for (std::uint64_t i = 0; i < counts.tensors; ++i) {
    descriptions.push_back(description());
  }
  place(descriptions, step, tensors);
}

GgufParser::Counts GgufParser::header() {
  constexpr std::string_view kMagic = "GGUF";
  if (file_.size() < kMagic.size() || std::memcmp(file_.data(), kMagic.data(), kMagic.size()) != 0) {
    fail("is no GGUF file: it doesn't begin with \"GGUF\"");
  }
  at_ = kMagic.size();
  const auto version = number<std::uint32_t>();
  if ((version & 0xFFFFu) == 0) {
    fail("is a big-endian GGUF file, only little-endian ones are read");
  }
  if (version != 2 && version != 3) {
    fail(concat("is GGUF version ", version, ", only 2 and 3 are read"));
  }
  const auto tensors = number<std::int64_t>();
  const auto keys = number<std::int64_t>();
  if (tensors < 0 || static_cast<std::uint64_t>(tensors) > remaining() / kShortestTensor) {
    fail(concat("says that it has ", tensors, " tensors, its ", file_.size(), " bytes have no room for them"));
  }
  if (keys < 0 || static_cast<std::uint64_t>(keys) > remaining() / kShortestKey) {
    fail(concat("says that it has ", keys, " metadata keys, its ", file_.size(), " bytes have no room for them"));
  }
  return {static_cast<std::uint64_t>(tensors), static_cast<std::uint64_t>(keys)};
}

void GgufParser::keyValue(GgufFile::Metadata& metadata) {
  const std::string key(string(kKeyLimit, "a metadata key"));
  if (key.empty()) {
    fail("has a metadata key without a name");
  }
  const auto id = number<std::int32_t>();
  if (!isValueType(id)) {
    fail(concat("metadata \"", shortened(key), "\" is of type ", id, ", which doesn't exist"));
  }
  const GgufValue content = value(static_cast<GgufValueType>(id), key);
  if (!metadata.emplace(key, content).second) {
    fail(concat("metadata \"", shortened(key), "\" is there twice"));
  }
}

GgufValue GgufParser::value(GgufValueType type, const std::string& key) {
  switch (type) {
    case GgufValueType::U8:
      return std::uint64_t{number<std::uint8_t>()};
    case GgufValueType::I8:
      return std::int64_t{number<std::int8_t>()};
    case GgufValueType::U16:
      return std::uint64_t{number<std::uint16_t>()};
    case GgufValueType::I16:
      return std::int64_t{number<std::int16_t>()};
    case GgufValueType::U32:
      return std::uint64_t{number<std::uint32_t>()};
    case GgufValueType::I32:
      return std::int64_t{number<std::int32_t>()};
    case GgufValueType::F32:
      return double{number<float>()};
    case GgufValueType::Bool:
      return number<std::uint8_t>() != 0;
    case GgufValueType::String:
      return string(kStringLimit, "a text");
    case GgufValueType::Array:
      return array(key);
    case GgufValueType::U64:
      return number<std::uint64_t>();
    case GgufValueType::I64:
      return number<std::int64_t>();
    case GgufValueType::F64:
      return number<double>();
  }
  fail("has a metadata value of no known type");
}

GgufArray GgufParser::array(const std::string& key) {
  const auto id = number<std::int32_t>();
  const auto count = number<std::uint64_t>();
  const auto failHere = [&](const std::string& problem) {
    fail(concat("metadata \"", shortened(key), "\" ", problem));
  };
  if (!isValueType(id)) {
    failHere(concat("is an array of type ", id, ", which doesn't exist"));
  }
  const auto type = static_cast<GgufValueType>(id);
  if (type == GgufValueType::Array) {
    failHere("is an array of arrays, which GGUF doesn't allow");
  }
  const bool strings = type == GgufValueType::String;
  const std::uint64_t limit = strings ? kStringArrayLimit : kArrayLimit;
  const std::uint64_t shortest = strings ? sizeof(std::uint64_t) : numberBytes(type);
  if (count > limit || count > remaining() / shortest) {
    failHere(concat("is an array of ", count, " elements, more than ",
                    count > limit ? "are allowed" : "the file has room for"));
  }
  const std::size_t begin = at_;
  if (strings) {
    for (std::uint64_t i = 0; i < count; ++i) {
      string(kStringLimit, "a text");
    }
  } else {
    at_ += static_cast<std::size_t>(count * shortest);
  }
  return {type, count, file_.subspan(begin, at_ - begin)};
}

std::uint64_t GgufParser::alignment(const GgufFile::Metadata& metadata) const {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) {
    return kDefaultAlignment;
  }
  const auto* bytes = std::get_if<std::uint64_t>(&found->second);
  if (bytes == nullptr || !std::has_single_bit(*bytes) || *bytes > std::numeric_limits<std::uint32_t>::max()) {
    fail(bytes == nullptr ? std::string("metadata \"general.alignment\" is no unsigned number")
                          : concat("metadata \"general.alignment\" is ", *bytes, ", which is no power of two"));
  }
  return *bytes;
}

GgufParser::Description GgufParser::description() {
  Description tensor;
  const std::uint64_t at = at_;
  const std::string_view name = string(std::numeric_limits<std::int64_t>::max(), "a tensor's name");
  if (name.empty() || name.size() > kNameLimit) {
    fail(concat("byte ", at, ": a tensor's name has ", name.size(), " bytes, allowed are 1 to ", kNameLimit));
  }
  tensor.name = name;
  const auto rank = number<std::uint32_t>();
  if (rank > kRankLimit) {
    fail(concat("tensor \"", tensor.name, "\" has ", rank, " dimensions, at most ", kRankLimit, " are allowed"));
  }
  tensor.shape.resize(rank);
  for (std::uint32_t i = 0; i < rank; ++i) {
    tensor.shape[rank - 1 - i] = number<std::int64_t>();
  }
  const auto id = number<std::int32_t>();
  const GgufTypeInfo* type = findGgufType(id);
  if (type == nullptr) {
    fail(concat("tensor \"", tensor.name, "\" is of type ", id, ", which doesn't exist"));
  }
  tensor.type = type->type;
  checkShape(tensor);
  tensor.offset = number<std::uint64_t>();
  return tensor;
}

// Checks the shape against the type and sets the size in bytes.
void GgufParser::checkShape(Description& tensor) {
  const GgufTypeInfo& type = ggufTypeInfo(tensor.type);
  const auto failHere = [&](const std::string& problem) { fail(concat("tensor \"", tensor.name, "\" ", problem)); };
  if (type.blockElements == 0) {
    throw Error(where_, concat("tensor \"", tensor.name, "\" is of type ", type.name, ", which is not read"),
                ErrorKind::Unsupported);
  }
  std::int64_t elements = 1;
  for (const std::int64_t size : tensor.shape) {
    if (size <= 0) {
      failHere(concat("has a dimension of ", size));
    }
    if (__builtin_mul_overflow(elements, size, &elements)) {
      failHere("has more elements than 64 bits can count");
    }
  }
  const std::int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % type.blockElements != 0) {
    failHere(concat("has rows of ", row, ", ", type.name, " needs a multiple of ", type.blockElements));
  }
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / type.blockElements, std::int64_t{type.blockBytes}, &bytes)) {
    failHere("has more bytes than 64 bits can count");
  }
  tensor.bytes = static_cast<std::uint64_t>(bytes);
}

// The data follows the descriptions; tensors lie in their order, each rounded up to the alignment.
void GgufParser::place(const std::vector<Description>& descriptions, std::uint64_t alignment,
                       GgufFile::Tensors& tensors) {
  const std::optional<std::uint64_t> start = roundUp(at_, alignment);
  const std::uint64_t available = start && *start < file_.size() ? file_.size() - *start : 0;
  std::uint64_t expected = 0;
  for (const Description& tensor : descriptions) {
    const auto failHere = [&](const std::string& problem) { fail(concat("tensor \"", tensor.name, "\" ", problem)); };
    if (tensor.offset != expected) {
      failHere(concat("is at offset ", tensor.offset, ", expected ", expected));
    }
    if (expected > available || tensor.bytes > available - expected) {
      failHere(concat("goes past the end of the file: it needs ", tensor.bytes, " bytes at ", expected,
                      ", the data has ", available));
    }
    const auto bytes =
        file_.subspan(static_cast<std::size_t>(*start + expected), static_cast<std::size_t>(tensor.bytes));
    if (!tensors.emplace(tensor.name, GgufTensor{tensor.name, tensor.type, tensor.shape, bytes}).second) {
      failHere("is there twice");
    }
    // ggml wants the padding of the last tensor, too; writers that leave it out lose nothing.
    expected = roundUp(expected + tensor.bytes, alignment).value_or(std::numeric_limits<std::uint64_t>::max());
  }
}

}  // namespace headscope
