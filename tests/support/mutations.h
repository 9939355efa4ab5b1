#pragma once

// Random damage to a sound file, reproducible from a seed.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

namespace headscope::test {

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  /// One to four damages of random kinds, mostly within the first `hot` bytes (headers), where they do the most.
  std::string damage(std::string content, std::size_t hot) {
    const std::size_t times = 1 + pick(4);
    for (std::size_t i = 0; i < times && !content.empty(); ++i) {
      damageOnce(content, pick(5) < 4 ? std::min(hot, content.size()) : content.size());
    }
    return content;
  }

  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }

 private:
  void damageOnce(std::string& content, std::size_t range) {
    const std::size_t at = pick(range);
    switch (pick(6)) {
      case 0:  // one bit
        content[at] = static_cast<char>(content[at] ^ (1 << pick(8)));
        break;
      case 1:  // one byte
        content[at] = static_cast<char>(pick(256));
        break;
      case 2:  // a number at one of the edges
        overwrite(content, at, kEdges[pick(kEdges.size())], std::size_t{1} << pick(4));
        break;
      case 3:  // the end is missing
        content.resize(at);
        break;
      case 4:  // a piece is missing
        content.erase(at, 1 + pick(16));
        break;
      default:  // a piece is there twice
        content.insert(at, content.substr(pick(range), 1 + pick(64)));
        break;
    }
  }

  static void overwrite(std::string& content, std::size_t at, std::uint64_t value, std::size_t bytes) {
    std::memcpy(content.data() + at, &value, std::min(bytes, content.size() - at));
  }

  static constexpr std::array<std::uint64_t, 12> kEdges{0,
                                                        1,
                                                        0x7F,
                                                        0xFF,
                                                        0x7FFF'FFFF,
                                                        0x8000'0000,
                                                        0xFFFF'FFFF,
                                                        std::uint64_t{1} << 32,
                                                        std::uint64_t{1} << 60,
                                                        ~std::uint64_t{0} >> 1,
                                                        std::uint64_t{1} << 63,
                                                        ~std::uint64_t{0}};

  std::mt19937_64 random_;
};

}  // namespace headscope::test
