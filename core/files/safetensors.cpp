#include "core/files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "core/files/json.h"

namespace headscope {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr const char* kMetadataKey = "__metadata__";

struct Entry {
  std::optional<TensorType> type;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::int64_t>> offsets;  ///< begin, end; from the start of the data
};
using Entries = std::map<std::string, Entry, std::less<>>;

std::string named(std::string_view name) {
  return concat("tensor \"", name.substr(0, 200), "\"");
}

// Takes the header's JSON apart while it is parsed, without building a document: a hostile header of 100 MB costs
// no more memory than the tensors that it really lists.
class HeaderParser : public nlohmann::json_sax<Json> {
 public:
  HeaderParser(const std::string& where, Entries& entries, SafetensorsFile::Metadata& metadata)
      : where_(where), entries_(entries), metadata_(metadata) {}

  bool null() override { return place_ == Place::Top && name_ == kMetadataKey ? true : value("null"); }
  bool boolean(bool) override { return value("true or false"); }
  bool number_float(number_float_t, const string_t& text) override { return value(text.c_str()); }
  bool number_integer(number_integer_t) override { return value("a negative number"); }
  bool binary(binary_t&) override { return value("binary"); }

  bool number_unsigned(number_unsigned_t number) override {
    std::vector<std::int64_t>* list = openList();
    if (list == nullptr) {
      return value("a number");
    }
    if (number > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(concat(named(name_), ": ", number, " is too large"));
    }
    const std::size_t limit = place_ == Place::Offsets ? 2 : kRankLimit;
    if (list->size() == limit) {
      fail(concat(named(name_), ": \"", field_, "\" has more than ", limit, " numbers"));
    }
    list->push_back(static_cast<std::int64_t>(number));
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::Metadata) {
      metadata_[field_] = text;
      return true;
    }
    if (place_ == Place::Tensor && field_ == "dtype") {
      entry().type = typeFromName(text);
      if (!entry().type) {
        fail(concat(named(name_), ": dtype \"", text.substr(0, 40), "\" is not known"));
      }
      return true;
    }
    return value("a text");
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::Start) {
      place_ = Place::Top;
    } else if (place_ == Place::Top) {
      place_ = name_ == kMetadataKey ? Place::Metadata : Place::Tensor;
    } else if (inForeignField()) {
      ++skipped_;
    } else {
      value("an object");
    }
    return true;
  }

  bool key(string_t& text) override {
    if (skipped_ > 0) {
      return true;
    }
    (place_ == Place::Top ? name_ : field_) = text;
    bool fresh = true;
    if (place_ == Place::Tensor) {
      fresh = !(text == "dtype" && entry().type) && !(text == "shape" && entry().shape) &&
              !(text == "data_offsets" && entry().offsets);
    } else if (place_ == Place::Metadata) {
      fresh = metadata_.emplace(text, "").second;
    } else if (text == kMetadataKey) {
      fresh = !std::exchange(metadataSeen_, true);
    } else {
      fresh = entries_.emplace(text, Entry{}).second;
    }
    if (!fresh) {
      fail(concat("\"", text.substr(0, 200), "\" is there twice in the header"));
    }
    return true;
  }

  bool end_object() override {
    if (skipped_ > 0) {
      --skipped_;
      return true;
    }
    if (place_ == Place::Tensor) {
      requireComplete();
    }
    place_ = place_ == Place::Top ? Place::Start : Place::Top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::Tensor && skipped_ == 0 && field_ == "shape") {
      entry().shape.emplace();
      place_ = Place::Shape;
    } else if (place_ == Place::Tensor && skipped_ == 0 && field_ == "data_offsets") {
      entry().offsets.emplace();
      place_ = Place::Offsets;
    } else if (inForeignField()) {
      ++skipped_;
    } else {
      value("a list");
    }
    return true;
  }

  bool end_array() override {
    if (skipped_ > 0) {
      --skipped_;
    } else {
      place_ = Place::Tensor;
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(concat("header is not valid JSON in UTF-8 at byte ", position + kLengthBytes));
  }

 private:
  enum class Place { Start, Top, Metadata, Tensor, Shape, Offsets };
  static constexpr std::size_t kRankLimit = 32;

  [[noreturn]] void fail(const std::string& problem) const { throw Error(where_, problem); }

  Entry& entry() { return entries_.find(name_)->second; }

  // Fields of a tensor that the format doesn't name are passed over, as the reference reader does.
  bool inForeignField() const {
    return skipped_ > 0 ||
           (place_ == Place::Tensor && field_ != "dtype" && field_ != "shape" && field_ != "data_offsets");
  }

  std::vector<std::int64_t>* openList() {
    return place_ == Place::Shape ? &*entry().shape : place_ == Place::Offsets ? &*entry().offsets : nullptr;
  }

  // A value of a kind that has no meaning here.
  bool value(const char* found) const {
    if (inForeignField()) {
      return true;
    }
    const std::string part = place_ == Place::Start ? std::string("header")
                             : place_ == Place::Metadata || name_ == kMetadataKey
                                 ? concat("\"", kMetadataKey, "\" of the header")
                             : place_ == Place::Top ? named(name_)
                                                    : concat(named(name_), ", \"", field_.substr(0, 40), "\"");
    fail(concat(part, ": ", std::string_view(found).substr(0, 40), " doesn't belong there"));
  }

  void requireComplete() {
    const Entry& done = entry();
    const char* missing = !done.type ? "dtype" : !done.shape ? "shape" : !done.offsets ? "data_offsets" : nullptr;
    if (missing != nullptr) {
      fail(concat(named(name_), " has no \"", missing, "\""));
    }
    if (done.offsets->size() != 2) {
      fail(concat(named(name_), ": \"data_offsets\" must be two numbers"));
    }
  }

  const std::string& where_;
  Entries& entries_;
  SafetensorsFile::Metadata& metadata_;
  Place place_ = Place::Start;
  std::string name_;   ///< key at the top level
  std::string field_;  ///< key inside a tensor or the metadata
  int skipped_ = 0;    ///< nesting inside a foreign field
  bool metadataSeen_ = false;
};

std::string_view headerText(std::span<const std::byte> file, const std::string& where) {
  if (file.size() < kLengthBytes) {
    throw Error(where, concat("is no safetensors file: ", file.size(), " bytes are too few for a header"));
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  }
  if (length > SafetensorsFile::kHeaderLimit) {
    throw Error(where, concat("is no safetensors file: a header of ", length, " bytes is over the limit of ",
                              SafetensorsFile::kHeaderLimit));
  }
  if (length > file.size() - kLengthBytes) {
    throw Error(where, concat("is cut short: the header should have ", length, " bytes, ", file.size() - kLengthBytes,
                              " are there"));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<std::size_t>(length));
  if (!text.starts_with('{')) {
    throw Error(where, "is no safetensors file: the header doesn't start with \"{\"");
  }
  return text;
}

// One tensor must begin where the one before ended, and be as long as its type and shape say.
void checkPlace(const std::string& name, const Entry& entry, std::uint64_t expected, const std::string& where) {
  const auto fail = [&](const std::string& problem) { throw Error(where, concat(named(name), problem)); };
  const auto begin = static_cast<std::uint64_t>((*entry.offsets)[0]);
  const auto end = static_cast<std::uint64_t>((*entry.offsets)[1]);
  if (end < begin) {
    fail(concat(" ends at ", end, ", before it begins at ", begin));
  }
  if (begin != expected) {
    fail(concat(begin < expected ? " overlaps the one before: it begins at " : " leaves a gap: it begins at ", begin,
                ", expected ", expected));
  }
  const std::optional<std::uint64_t> bytes = tensorBytes(*entry.type, *entry.shape);
  if (!bytes) {
    fail(concat(": ", typeName(*entry.type), " ", shapeText(*entry.shape), " is no possible size"));
  }
  if (*bytes != end - begin) {
    fail(concat(": ", typeName(*entry.type), " ", shapeText(*entry.shape), " needs ", *bytes, " bytes, the file has ",
                end - begin));
  }
}

void checkCoverage(const Entries& entries, std::uint64_t dataBytes, const std::string& where) {
  std::vector<Entries::const_iterator> order;
  order.reserve(entries.size());
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    order.push_back(entry);
  }
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return *a->second.offsets < *b->second.offsets; });
  std::uint64_t expected = 0;
  for (const auto& entry : order) {
    checkPlace(entry->first, entry->second, expected, where);
    expected = static_cast<std::uint64_t>((*entry->second.offsets)[1]);
    if (expected > dataBytes) {
      throw Error(where, concat("is cut short: ", named(entry->first), " ends at ", expected, ", the data has ",
                                dataBytes, " bytes"));
    }
  }
  if (expected != dataBytes) {
    throw Error(where, concat("has ", dataBytes - expected, " bytes that belong to no tensor at its end"));
  }
}

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  std::shared_ptr<SafetensorsFile> result(new SafetensorsFile());
  result->file_ = MappedFile::open(path);
  const std::string where = path.string();
  const std::span<const std::byte> bytes = result->file_->bytes();
  const std::string_view header = headerText(bytes, where);
  if (header.find('\0') != std::string_view::npos) {  // the JSON library would take it for the end
    throw Error(where, concat("header has a NUL at byte ", kLengthBytes + header.find('\0')));
  }
  Entries entries;
  HeaderParser parser(where, entries, result->metadata_);
  if (!Json::sax_parse(header, &parser)) {
    throw Error(where, "header is not valid JSON");
  }
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header.size());
  checkCoverage(entries, data.size(), where);
  for (auto& [name, entry] : entries) {
    const auto begin = static_cast<std::size_t>((*entry.offsets)[0]);
    const auto end = static_cast<std::size_t>((*entry.offsets)[1]);
    result->tensors_.emplace_hint(
        result->tensors_.end(), name,
        TensorView{name, *entry.type, std::move(*entry.shape), data.subspan(begin, end - begin)});
  }
  return result;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const TensorView& SafetensorsFile::at(std::string_view name) const {
  const TensorView* view = find(name);
  if (view == nullptr) {
    throw Error(path().string(), concat(named(name), " is missing"));
  }
  return *view;
}

}  // namespace headscope
