#include "core/files/gguf.h"

#include <array>
#include <cstdio>

#include "core/base/error.h"
#include "core/files/gguf_parser.h"

namespace headscope {
namespace {

namespace fs = std::filesystem;

// A value of any integer type; `fallback` if the key is absent, an error if it is something else.
std::uint64_t splitNumber(const GgufFile::Metadata& metadata, std::string_view key, std::uint64_t fallback,
                          const std::string& where) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    return fallback;
  }
  if (const auto* number = std::get_if<std::uint64_t>(&found->second)) {
    return *number;
  }
  const auto* number = std::get_if<std::int64_t>(&found->second);
  if (number == nullptr || *number < 0) {
    throw Error(where, concat("metadata \"", key, "\" is no count"));
  }
  return static_cast<std::uint64_t>(*number);
}

// "-00002-of-00005.gguf"
std::string partSuffix(std::uint64_t part, std::uint64_t parts) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(part),
                static_cast<unsigned long long>(parts));
  return text.data();
}

}  // namespace

const char* ggufValueTypeName(GgufValueType type) noexcept {
  constexpr std::array<const char*, 13> kNames{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                               "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<std::size_t>(type)];
}

std::int64_t GgufTensor::elements() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    count *= size;
  }
  return count;
}

std::shared_ptr<const GgufFile> GgufFile::open(const fs::path& path) {
  std::shared_ptr<GgufFile> result(new GgufFile());
  result->files_.push_back(MappedFile::open(path));
  const std::string where = path.string();
  GgufParser(result->files_.front()->bytes(), where).parse(result->metadata_, result->tensors_);
  result->openParts();
  return result;
}

void GgufFile::openParts() {
  const std::string where = path().string();
  const std::uint64_t count = splitNumber(metadata_, "split.count", 1, where);
  const std::uint64_t number = splitNumber(metadata_, "split.no", 0, where);
  if (count <= 1) {
    return;
  }
  const std::string name = path().filename().string();
  const std::string suffix = partSuffix(number + 1, count);
  if (!name.ends_with(suffix)) {
    throw Error(where, concat("is part ", number + 1, " of ", count, ", its name must end with ", suffix));
  }
  const std::string stem = name.substr(0, name.size() - suffix.size());
  if (number != 0) {
    throw Error(where,
                concat("is part ", number + 1, " of ", count, ": open the first part, ", stem, partSuffix(1, count)));
  }
  for (std::uint64_t part = 1; part < count; ++part) {
    const fs::path other = path().parent_path() / (stem + partSuffix(part + 1, count));
    const std::string otherWhere = other.string();
    files_.push_back(MappedFile::open(other));
    Metadata partMetadata;
    GgufParser(files_.back()->bytes(), otherWhere).parse(partMetadata, tensors_);
    if (splitNumber(partMetadata, "split.no", 0, otherWhere) != part ||
        splitNumber(partMetadata, "split.count", 0, otherWhere) != count) {
      throw Error(otherWhere, concat("is not part ", part + 1, " of ", count, " of ", name));
    }
  }
  const std::uint64_t total = splitNumber(metadata_, "split.tensors.count", tensors_.size(), where);
  if (total != tensors_.size()) {
    throw Error(where, concat("should have ", total, " tensors, its ", count, " parts have ", tensors_.size()));
  }
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const GgufTensor& GgufFile::at(std::string_view name) const {
  const GgufTensor* tensor = find(name);
  if (tensor == nullptr) {
    throw Error(path().string(), concat("tensor \"", name.substr(0, 100), "\" is missing"));
  }
  return *tensor;
}

const GgufValue* GgufFile::value(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

std::uint64_t GgufFile::fileBytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& file : files_) {
    bytes += file->bytes().size();
  }
  return bytes;
}

}  // namespace headscope
