#pragma once

// The parts of one GGUF file, read in order. Internal to the file room: GgufFile is what the program uses.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/files/gguf.h"

namespace headscope {

class GgufParser {
 public:
  /// `where` names the file in errors. Both must outlive the parser.
  GgufParser(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  /// Adds what the file holds; throws Error at the first thing that is wrong.
  void parse(GgufFile::Metadata& metadata, GgufFile::Tensors& tensors);

 private:
  struct Counts {
    std::uint64_t tensors = 0;
    std::uint64_t keys = 0;
  };
  struct Description {
    std::string name;
    GgufType type = GgufType::F32;
    std::vector<std::int64_t> shape;
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;
  };

  Counts header();
  void keyValue(GgufFile::Metadata& metadata);
  GgufValue value(GgufValueType type, const std::string& key);
  GgufArray array(const std::string& key);
  std::uint64_t alignment(const GgufFile::Metadata& metadata) const;
  Description description();
  void checkShape(Description& tensor);
  void place(const std::vector<Description>& descriptions, std::uint64_t alignment, GgufFile::Tensors& tensors);

  std::uint64_t remaining() const noexcept { return file_.size() - at_; }
  template <typename Number>
  Number number();
  std::string_view string(std::uint64_t limit, const char* what);
  [[noreturn]] void fail(const std::string& problem) const;

  std::span<const std::byte> file_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace headscope
