#include "core/files/npy.h"

#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "core/base/error.h"
#include "core/files/float_type.h"
#include "core/files/mapped_file.h"

namespace headscope {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kHeaderLimit = 1 << 20;
constexpr std::size_t kRankLimit = 32;

struct TypeRow {
  NpyType type;
  const char* descr;
  std::size_t bytes;
};

constexpr std::array<TypeRow, 9> kTypes{{{NpyType::Bool, "|b1", 1},
                                         {NpyType::I8, "|i1", 1},
                                         {NpyType::U8, "|u1", 1},
                                         {NpyType::I16, "<i2", 2},
                                         {NpyType::I32, "<i4", 4},
                                         {NpyType::I64, "<i8", 8},
                                         {NpyType::F16, "<f2", 2},
                                         {NpyType::F32, "<f4", 4},
                                         {NpyType::F64, "<f8", 8}}};

// Nothing if the number of elements or bytes overflows; dimensions of 0 don't hide that.
std::optional<std::uint64_t> countElements(std::span<const std::int64_t> shape, std::size_t itemBytes) {
  std::int64_t bytes = static_cast<std::int64_t>(itemBytes);
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0 || (size > 0 && bytes > std::numeric_limits<std::int64_t>::max() / size)) {
      return std::nullopt;
    }
    empty = empty || size == 0;
    bytes *= size > 0 ? size : 1;
  }
  return empty ? 0 : static_cast<std::uint64_t>(bytes) / itemBytes;
}

// Reads the dict literal of the header: exactly the keys descr, fortran_order and shape, in any order.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  void parse() {
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !descr_) {
        descr_ = description();
      } else if (key == "fortran_order" && !fortran_) {
        fortran_ = truth();
      } else if (key == "shape" && !shape_) {
        shape_ = tuple();
      } else {
        fail(concat("header has an unexpected key \"", key.substr(0, 40), "\""));
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skipSpaces();
    if (at_ != text_.size() || !descr_ || !fortran_ || !shape_) {
      fail("header is incomplete or malformed");
    }
  }

  NpyType type() const {
    for (const TypeRow& row : kTypes) {
      const std::string_view name(row.descr);
      // One byte has no order: numpy writes "|", others "<".
      if (*descr_ == name || (row.bytes == 1 && descr_->size() == 3 && descr_->substr(1) == name.substr(1))) {
        return row.type;
      }
    }
    if (descr_->starts_with('>')) {
      fail(concat("holds big-endian numbers (", descr_->substr(0, 40), "); save them as little-endian"));
    }
    fail(concat("holds elements of type ", descr_->substr(0, 40), ", which are not read"));
  }

  const std::vector<std::int64_t>& shape() const {
    if (*fortran_ && shape_->size() > 1) {
      fail("is in Fortran order; save it with numpy.ascontiguousarray");
    }
    return *shape_;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw Error(where_, problem); }

  void skipSpaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) {
      ++at_;
    }
  }
  bool take(char wanted) {
    skipSpaces();
    const bool found = at_ < text_.size() && text_[at_] == wanted;
    at_ += found ? 1 : 0;
    return found;
  }
  void expect(char wanted) {
    if (!take(wanted)) {
      fail(concat("header is malformed: '", wanted, "' expected at byte ", at_));
    }
  }
  bool takeWord(std::string_view word) {
    skipSpaces();
    const bool found = text_.substr(at_).starts_with(word);
    at_ += found ? word.size() : 0;
    return found;
  }

  std::string quoted() {
    const char quote = take('"') ? '"' : '\'';
    if (quote == '\'') {
      expect('\'');
    }
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) {
      fail("header is malformed: a text doesn't end");
    }
    const std::string_view inside = text_.substr(at_, end - at_);
    at_ = end + 1;
    return std::string(inside);
  }

  std::string description() {
    skipSpaces();
    if (at_ < text_.size() && text_[at_] == '[') {
      fail("holds structured records, which are not read");
    }
    return quoted();
  }

  bool truth() {
    if (takeWord("True")) {
      return true;
    }
    if (!takeWord("False")) {
      fail("header is malformed: fortran_order is neither True nor False");
    }
    return false;
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!take(')')) {
      sizes.push_back(size());
      if (sizes.size() > kRankLimit) {
        fail(concat("has more than ", kRankLimit, " dimensions"));
      }
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  std::int64_t size() {
    skipSpaces();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
          __builtin_add_overflow(value, std::int64_t{text_[at_] - '0'}, &value)) {
        fail("has a dimension that is too large");
      }
    }
    if (at_ == begin) {
      fail("header is malformed: a dimension is no whole number");
    }
    return value;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::optional<std::string> descr_;
  std::optional<bool> fortran_;
  std::optional<std::vector<std::int64_t>> shape_;
};

// The header's text; `dataStart` is set to the position after it.
std::string_view headerText(std::string_view file, const std::string& where, std::size_t& dataStart) {
  if (!file.starts_with(kMagic) || file.size() < kMagic.size() + 4) {
    throw Error(where, "is no NPY file");
  }
  const int version = static_cast<unsigned char>(file[kMagic.size()]);
  if (version < 1 || version > 3) {
    throw Error(where, concat("is NPY version ", version, ", only 1 to 3 are read"));
  }
  const std::size_t lengthAt = kMagic.size() + 2;
  const std::size_t lengthBytes = version == 1 ? 2 : 4;
  if (file.size() < lengthAt + lengthBytes) {
    throw Error(where, "is cut short in its header");
  }
  std::size_t length = 0;
  for (std::size_t i = 0; i < lengthBytes; ++i) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(file[lengthAt + i])) << (8 * i);
  }
  dataStart = lengthAt + lengthBytes + length;
  if (length > kHeaderLimit) {
    throw Error(where, concat("has a header of ", length, " bytes, at most ", kHeaderLimit, " are read"));
  }
  if (dataStart > file.size()) {
    throw Error(where, "is cut short in its header");
  }
  return file.substr(lengthAt + lengthBytes, length);
}

template <typename Target, typename Source>
std::vector<Target> convert(const NpyArray& array) {
  std::vector<Target> values(static_cast<std::size_t>(array.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Source value;
    std::memcpy(&value, array.bytes.data() + i * sizeof value, sizeof value);
    values[i] = static_cast<Target>(value);
  }
  return values;
}

struct Half {
  std::uint16_t bits;
  explicit operator double() const { return f16ToFloat(bits); }
};

template <typename Target>
std::vector<Target> convertWhole(const NpyArray& array) {
  switch (array.type) {
    case NpyType::I8:
      return convert<Target, std::int8_t>(array);
    case NpyType::I16:
      return convert<Target, std::int16_t>(array);
    case NpyType::I32:
      return convert<Target, std::int32_t>(array);
    case NpyType::I64:
      return convert<Target, std::int64_t>(array);
    default:
      return convert<Target, std::uint8_t>(array);
  }
}

template <typename Value>
void writeWhole(const std::filesystem::path& target, NpyType type, std::span<const std::int64_t> shape,
                std::span<const Value> values) {
  NpyWriter writer(target, type, shape);
  writer.write(values);
  writer.commit();
}

}  // namespace

const char* npyDescr(NpyType type) noexcept {
  return kTypes[static_cast<std::size_t>(type)].descr;
}

std::size_t npyItemBytes(NpyType type) noexcept {
  return kTypes[static_cast<std::size_t>(type)].bytes;
}

std::int64_t NpyArray::elements() const noexcept {
  return static_cast<std::int64_t>(bytes.size() / npyItemBytes(type));
}

std::vector<double> NpyArray::numbers() const {
  switch (type) {
    case NpyType::F16:
      return convert<double, Half>(*this);
    case NpyType::F32:
      return convert<double, float>(*this);
    case NpyType::F64:
      return convert<double, double>(*this);
    default:
      return convertWhole<double>(*this);
  }
}

std::vector<std::int64_t> NpyArray::integers() const {
  return isFloating() ? std::vector<std::int64_t>() : convertWhole<std::int64_t>(*this);
}

NpyArray readNpy(const std::filesystem::path& path) {
  const std::string where = path.string();
  const auto file = MappedFile::open(path);
  const std::string_view content(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  std::size_t dataStart = 0;
  HeaderParser header(headerText(content, where, dataStart), where);
  header.parse();
  NpyArray array;
  array.type = header.type();
  array.shape = header.shape();
  const auto count = countElements(array.shape, npyItemBytes(array.type));
  const std::span<const std::byte> data = file->bytes().subspan(dataStart);
  if (!count || *count * npyItemBytes(array.type) != data.size()) {
    throw Error(where, concat("has ", data.size(), " bytes of data, which doesn't fit its header"));
  }
  array.bytes.assign(data.begin(), data.end());
  return array;
}

NpyWriter::NpyWriter(std::filesystem::path target, NpyType type, std::span<const std::int64_t> shape)
    : file_(std::move(target)), type_(type) {
  const auto count = countElements(shape, npyItemBytes(type));
  if (!count || shape.size() > kRankLimit) {
    throw Error(file_.target().string(), "an array of this shape can't be written");
  }
  missing_ = *count;
  std::string header = concat("{'descr': '", npyDescr(type), "', 'fortran_order': False, 'shape': (");
  for (std::size_t i = 0; i < shape.size(); ++i) {
    header += concat(i > 0 ? " " : "", shape[i], i + 1 < shape.size() || shape.size() == 1 ? "," : "");
  }
  header += "), }";
  // The data begins at a multiple of 64; the header ends with a new line.
  constexpr std::size_t kPrefix = kMagic.size() + 4;
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';
  const char prefix[4] = {1, 0, static_cast<char>(header.size() & 0xFF), static_cast<char>(header.size() >> 8)};
  file_.write(kMagic);
  file_.write(prefix, sizeof prefix);
  file_.write(header);
}

void NpyWriter::append(NpyType type, const void* data, std::size_t count) {
  if (type != type_ || count > missing_) {
    throw Error(file_.target().string(), concat("was announced as ", npyDescr(type_), " with ", missing_,
                                                " more numbers, got ", count, " of ", npyDescr(type)));
  }
  file_.write(data, count * npyItemBytes(type));
  missing_ -= count;
}

void NpyWriter::write(std::span<const float> values) {
  append(NpyType::F32, values.data(), values.size());
}

void NpyWriter::write(std::span<const double> values) {
  append(NpyType::F64, values.data(), values.size());
}

void NpyWriter::write(std::span<const std::int64_t> values) {
  append(NpyType::I64, values.data(), values.size());
}

void NpyWriter::commit() {
  if (missing_ != 0) {
    throw Error(file_.target().string(), concat(missing_, " numbers are missing"));
  }
  file_.commit();
}

void writeNpy(const std::filesystem::path& target, std::span<const std::int64_t> shape, std::span<const float> values) {
  writeWhole(target, NpyType::F32, shape, values);
}

void writeNpy(const std::filesystem::path& target, std::span<const std::int64_t> shape,
              std::span<const double> values) {
  writeWhole(target, NpyType::F64, shape, values);
}

void writeNpy(const std::filesystem::path& target, std::span<const std::int64_t> shape,
              std::span<const std::int64_t> values) {
  writeWhole(target, NpyType::I64, shape, values);
}

}  // namespace headscope
