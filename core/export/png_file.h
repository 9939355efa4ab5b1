#pragma once

// PNG images with a palette, without any library: https://www.w3.org/TR/png-3/ and RFC 1951 (deflate, fixed codes).

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headscope {

using Rgb = std::array<std::uint8_t, 3>;

struct IndexedImage {
  std::int64_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  ///< [height, width] indices into the palette
  std::vector<Rgb> palette;          ///< at most 256
};

/// Throws Error naming `target`: sizes that don't fit together, or it can't be written. Aside and renamed.
void writePng(const std::filesystem::path& target, const IndexedImage& image);
std::string pngBytes(const IndexedImage& image);

}  // namespace headscope
