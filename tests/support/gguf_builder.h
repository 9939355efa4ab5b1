#pragma once

// GGUF files for tests, made by hand: every field can be given a wrong value.

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/files/gguf.h"

namespace headscope::test {

template <typename Number>
void appendNumber(std::string& out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

inline void appendText(std::string& out, std::string_view text) {
  appendNumber(out, std::uint64_t{text.size()});
  out += text;
}

class GgufBuilder {
 public:
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;               ///< of the layout; the metadata key is up to the test
  std::optional<std::int64_t> tensorCount;    ///< instead of the true one
  std::optional<std::int64_t> keyCount;       ///< instead of the true one
  std::optional<std::uint64_t> secondOffset;  ///< of the second tensor, instead of the true one
  bool padEnd = true;

  /// A key with a value whose bytes are given.
  GgufBuilder& raw(std::string_view key, std::int32_t type, std::string_view bytes) {
    appendText(keys_, key);
    appendNumber(keys_, type);
    keys_ += bytes;
    ++keyTotal_;
    return *this;
  }

  template <typename Number>
  GgufBuilder& number(std::string_view key, GgufValueType type, Number value) {
    std::string bytes;
    appendNumber(bytes, value);
    return raw(key, static_cast<std::int32_t>(type), bytes);
  }

  GgufBuilder& text(std::string_view key, std::string_view value) {
    std::string bytes;
    appendText(bytes, value);
    return raw(key, static_cast<std::int32_t>(GgufValueType::String), bytes);
  }

  /// `elements` is the bytes after the count.
  GgufBuilder& array(std::string_view key, std::int32_t type, std::uint64_t count, std::string_view elements) {
    std::string bytes;
    appendNumber(bytes, type);
    appendNumber(bytes, count);
    return raw(key, static_cast<std::int32_t>(GgufValueType::Array), bytes + std::string(elements));
  }

  /// `ne` as the file has it: the contiguous axis first.
  GgufBuilder& tensor(std::string_view name, std::int32_t type, std::vector<std::int64_t> ne, std::string_view data) {
    tensors_.push_back({std::string(name), type, std::move(ne), std::string(data)});
    return *this;
  }
  GgufBuilder& tensor(std::string_view name, GgufType type, std::vector<std::int64_t> ne, std::string_view data) {
    return tensor(name, static_cast<std::int32_t>(type), std::move(ne), data);
  }

  std::string bytes() const {
    std::string out = magic;
    appendNumber(out, version);
    appendNumber(out, tensorCount.value_or(static_cast<std::int64_t>(tensors_.size())));
    appendNumber(out, keyCount.value_or(keyTotal_));
    out += keys_;
    std::string data;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const Tensor& one = tensors_[i];
      appendText(out, one.name);
      appendNumber(out, static_cast<std::uint32_t>(one.ne.size()));
      for (const std::int64_t size : one.ne) {
        appendNumber(out, size);
      }
      appendNumber(out, one.type);
      appendNumber(out, i == 1 && secondOffset ? *secondOffset : std::uint64_t{data.size()});
      data += one.data;
      if (padEnd || i + 1 < tensors_.size()) {
        pad(data);
      }
    }
    pad(out);
    return out + data;
  }

 private:
  struct Tensor {
    std::string name;
    std::int32_t type;
    std::vector<std::int64_t> ne;
    std::string data;
  };

  void pad(std::string& content) const {
    content.append(static_cast<std::size_t>((alignment - content.size() % alignment) % alignment), '\0');
  }

  std::string keys_;
  std::int64_t keyTotal_ = 0;
  std::vector<Tensor> tensors_;
};

}  // namespace headscope::test
