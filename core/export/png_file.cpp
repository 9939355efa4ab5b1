#include "core/export/png_file.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/files/atomic_file.h"

namespace headscope {
namespace {

constexpr std::size_t kWindow = 32768;  // how far back deflate may refer
constexpr std::size_t kLongestMatch = 258;
constexpr std::size_t kShortestMatch = 3;

// RFC 1951, 3.2.5: the first length of each code 257 …, and its extra bits; likewise distances.
constexpr std::array<std::uint16_t, 29> kLengthBase{3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<std::uint8_t, 29> kLengthBits{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

// Bits from the lowest of each byte on, as deflate packs them.
class BitStream {
 public:
  void put(std::uint32_t value, int bits) {
    held_ |= std::uint64_t{value} << count_;
    for (count_ += bits; count_ >= 8; count_ -= 8) {
      bytes_ += static_cast<char>(held_ & 0xFF);
      held_ >>= 8;
    }
  }
  // Huffman codes go in from their highest bit on.
  void putCode(std::uint32_t code, int bits) {
    std::uint32_t turned = 0;
    for (int bit = 0; bit < bits; ++bit) {
      turned |= ((code >> bit) & 1U) << (bits - 1 - bit);
    }
    put(turned, bits);
  }
  std::string finish() {
    put(0, (8 - count_) % 8);
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
  std::uint64_t held_ = 0;
  int count_ = 0;
};

// RFC 1951, 3.2.6.
void putSymbol(BitStream& out, std::uint32_t symbol) {
  if (symbol < 144) {
    out.putCode(0x30 + symbol, 8);
  } else if (symbol < 256) {
    out.putCode(0x190 + symbol - 144, 9);
  } else if (symbol < 280) {
    out.putCode(symbol - 256, 7);
  } else {
    out.putCode(0xC0 + symbol - 280, 8);
  }
}

void putMatch(BitStream& out, std::size_t length, std::size_t distance) {
  const auto above = std::upper_bound(kLengthBase.begin(), kLengthBase.end(), length);
  const auto code = static_cast<std::size_t>(above - kLengthBase.begin()) - 1;
  putSymbol(out, static_cast<std::uint32_t>(257 + code));
  out.put(static_cast<std::uint32_t>(length - kLengthBase[code]), kLengthBits[code]);
  // Distance codes: 0 to 3 stand for 1 to 4; from then on two codes share each number of extra bits.
  std::size_t rest = distance - 1;
  int bits = 0;
  while ((rest >> bits) > 3) {
    ++bits;
  }
  const std::size_t distanceCode = static_cast<std::size_t>(2 * bits) + (rest >> bits);
  out.putCode(static_cast<std::uint32_t>(distanceCode), 5);
  out.put(static_cast<std::uint32_t>(rest & ((std::size_t{1} << bits) - 1)), bits);
}

std::size_t matchAt(const std::string& data, std::size_t at, std::size_t distance) {
  if (distance > at || distance > kWindow) {
    return 0;
  }
  const std::size_t most = std::min(kLongestMatch, data.size() - at);
  std::size_t length = 0;
  while (length < most && data[at + length] == data[at + length - distance]) {
    ++length;
  }
  return length;
}

// Looks only where images repeat themselves: the pixel before and the row above.
std::string deflate(const std::string& data, std::size_t rowBytes) {
  BitStream out;
  out.put(1, 1);  // the last block
  out.put(1, 2);  // fixed codes
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t before = matchAt(data, at, 1);
    const std::size_t above = matchAt(data, at, rowBytes);
    const std::size_t length = std::max(before, above);
    if (length >= kShortestMatch) {
      putMatch(out, length, above >= before ? rowBytes : 1);
      at += length;
    } else {
      putSymbol(out, static_cast<unsigned char>(data[at]));
      ++at;
    }
  }
  putSymbol(out, 256);
  return out.finish();
}

void putBigEndian(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>((value >> shift) & 0xFF);
  }
}

std::uint32_t adler32(const std::string& data) {
  std::uint32_t a = 1;
  std::uint32_t b = 0;
  for (const char c : data) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  return (b << 16) | a;
}

std::uint32_t crc32(const std::string& data) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> values{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      values[byte] = byte;
      for (int bit = 0; bit < 8; ++bit) {
        values[byte] = (values[byte] >> 1) ^ ((values[byte] & 1) != 0 ? 0xEDB88320U : 0U);
      }
    }
    return values;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : data) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  }
  return ~crc;
}

void putChunk(std::string& out, const std::string& type, const std::string& data) {
  putBigEndian(out, static_cast<std::uint32_t>(data.size()));
  out += type + data;
  putBigEndian(out, crc32(type + data));
}

}  // namespace

std::string pngBytes(const IndexedImage& image) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (image.width < 1 || image.height < 1 || image.width > kMost || image.height > kMost / (image.width + 1) ||
      image.pixels.size() != static_cast<std::size_t>(image.width * image.height) || image.palette.empty() ||
      image.palette.size() > 256) {
    throw Error("", concat("a picture of ", image.width, "x", image.height, " can't be written as PNG"));
  }
  std::string header;
  putBigEndian(header, static_cast<std::uint32_t>(image.width));
  putBigEndian(header, static_cast<std::uint32_t>(image.height));
  header += std::string{8, 3, 0, 0, 0};  // bits, palette, deflate, filters, no interlace
  std::string palette;
  for (const Rgb& colour : image.palette) {
    palette.append(reinterpret_cast<const char*>(colour.data()), colour.size());
  }
  std::string rows;
  for (std::int64_t row = 0; row < image.height; ++row) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<const char*>(image.pixels.data() + row * image.width),
                static_cast<std::size_t>(image.width));
  }
  std::string data("\x78\x01", 2);
  data += deflate(rows, static_cast<std::size_t>(image.width) + 1);
  putBigEndian(data, adler32(rows));
  std::string file("\x89PNG\r\n\x1a\n", 8);
  putChunk(file, "IHDR", header);
  putChunk(file, "PLTE", palette);
  putChunk(file, "IDAT", data);
  putChunk(file, "IEND", "");
  return file;
}

void writePng(const std::filesystem::path& target, const IndexedImage& image) {
  writeFile(target, pngBytes(image));
}

}  // namespace headscope
