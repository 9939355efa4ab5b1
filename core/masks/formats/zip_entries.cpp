#include "core/masks/formats/zip_entries.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "core/base/error.h"

namespace headscope::masks {
namespace {

// Offsets and sizes of APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
constexpr std::uint32_t kLocalMagic = 0x04034b50;
constexpr std::uint32_t kCentralMagic = 0x02014b50;
constexpr std::uint32_t kEndMagic = 0x06054b50;
constexpr std::size_t kLocalBytes = 30;
constexpr std::size_t kCentralBytes = 46;
constexpr std::size_t kEndBytes = 22;

std::uint32_t crc32(std::string_view data) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> values{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      std::uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) {
        value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
      }
      values[byte] = value;
    }
    return values;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : data) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  }
  return ~crc;
}

class Reader {
 public:
  Reader(std::string_view archive, const std::string& where) : archive_(archive), where_(where) {}

  ZipEntries entries() const {
    const std::size_t end = findEnd();
    const std::size_t count = number<std::uint16_t>(end + 10);
    std::size_t at = number<std::uint32_t>(end + 16);
    ZipEntries result;
    for (std::size_t index = 0; index < count; ++index) {
      if (number<std::uint32_t>(at) != kCentralMagic) {
        fail("has a damaged list of entries");
      }
      const std::size_t nameBytes = number<std::uint16_t>(at + 28);
      const std::string name(part(at + kCentralBytes, nameBytes));
      if (!result.emplace(name, content(at, name)).second) {
        fail(concat("holds \"", name.substr(0, 80), "\" twice"));
      }
      at += kCentralBytes + nameBytes + number<std::uint16_t>(at + 30) + number<std::uint16_t>(at + 32);
    }
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(where_, concat("as a ZIP archive, ", problem));
  }

  std::string_view part(std::size_t at, std::size_t bytes) const {
    if (at > archive_.size() || bytes > archive_.size() - at) {
      fail("is cut off or points beyond its end");
    }
    return archive_.substr(at, bytes);
  }

  template <typename Number>
  Number number(std::size_t at) const {
    Number value{};
    std::memcpy(&value, part(at, sizeof(Number)).data(), sizeof(Number));
    return value;
  }

  std::size_t findEnd() const {
    for (std::size_t back = kEndBytes; back <= archive_.size() && back < kEndBytes + 65536; ++back) {
      if (number<std::uint32_t>(archive_.size() - back) == kEndMagic) {
        return archive_.size() - back;
      }
    }
    fail("is cut off");
  }

  std::string_view content(std::size_t central, const std::string& name) const {
    const std::string quoted = concat("\"", name.substr(0, 80), "\"");
    if (number<std::uint16_t>(central + 10) != 0 || (number<std::uint16_t>(central + 8) & 1) != 0) {
      fail(concat("has ", quoted, " compressed or encrypted, which torch.save never does"));
    }
    const std::size_t local = number<std::uint32_t>(central + 42);
    if (number<std::uint32_t>(local) != kLocalMagic) {
      fail(concat("has no entry where ", quoted, " should be"));
    }
    const std::size_t begin =
        local + kLocalBytes + number<std::uint16_t>(local + 26) + number<std::uint16_t>(local + 28);
    const std::string_view data = part(begin, number<std::uint32_t>(central + 24));
    if (crc32(data) != number<std::uint32_t>(central + 16)) {
      fail(concat("has a wrong checksum for ", quoted));
    }
    return data;
  }

  std::string_view archive_;
  const std::string& where_;
};

}  // namespace

ZipEntries zipEntries(std::string_view archive, const std::string& where) {
  return Reader(archive, where).entries();
}

}  // namespace headscope::masks
