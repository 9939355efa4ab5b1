#include "resources/demo/trainer/corpus.h"

#include <algorithm>
#include <string_view>
#include <thread>

namespace headscope::demo {
namespace {

// Pieces of about 64 KiB that end at a blank line.
std::vector<std::string_view> pieces(std::string_view text) {
  constexpr std::size_t kPiece = 1 << 16;
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t cut = text.size() <= kPiece ? std::string_view::npos : text.find("\n\n", kPiece);
    const std::size_t length = cut == std::string_view::npos ? text.size() : cut + 2;
    parts.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return parts;
}

}  // namespace

std::vector<std::uint16_t> tokenize(const Tokenizer& tokenizer, const std::string& text, unsigned threads) {
  const auto parts = pieces(text);
  std::vector<std::vector<std::uint16_t>> results(parts.size());
  std::vector<std::jthread> workers;
  for (unsigned worker = 0; worker < std::max(1u, threads); ++worker) {
    workers.emplace_back([&, worker] {
      for (std::size_t i = worker; i < parts.size(); i += std::max(1u, threads)) {
        const Encoding encoding = tokenizer.encode(parts[i], Bos::Off, false);
        results[i].assign(encoding.ids.begin(), encoding.ids.end());
      }
    });
  }
  workers.clear();
  std::vector<std::uint16_t> ids;
  for (const auto& part : results) {
    ids.insert(ids.end(), part.begin(), part.end());
  }
  return ids;
}

Sampler::Sampler(std::vector<std::uint16_t> stories, std::vector<std::uint16_t> grammar, std::int64_t vocabulary,
                 Shares shares, std::uint64_t seed)
    : stories_(std::move(stories)),
      grammar_(std::move(grammar)),
      vocabulary_(vocabulary),
      shares_(shares),
      random_(seed) {}

void Sampler::window(const std::vector<std::uint16_t>& from, std::int64_t* row, std::int64_t count) {
  const std::size_t last = from.size() - static_cast<std::size_t>(count);
  const std::size_t start = std::uniform_int_distribution<std::size_t>(0, last)(random_);
  for (std::int64_t i = 0; i < count; ++i) {
    row[i] = from[start + static_cast<std::size_t>(i)];
  }
}

void Sampler::repeats(std::int64_t* row, std::int64_t count) {
  constexpr std::int64_t kFirstOrdinary = 2;
  const std::int64_t period =
      std::uniform_int_distribution<std::int64_t>(16, std::max<std::int64_t>(17, count / 2))(random_);
  std::uniform_int_distribution<std::int64_t> token(kFirstOrdinary, vocabulary_ - 1);
  for (std::int64_t i = 0; i < count; ++i) {
    row[i] = i < period ? token(random_) : row[i - period];
  }
}

std::vector<std::int64_t> Sampler::batch(std::int64_t rows, std::int64_t length) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(rows * (length + 1)), 0);
  std::uniform_real_distribution<double> share(0, 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t* row = ids.data() + r * (length + 1);  // row[0] stays 0 = <|begin|>
    const double kind = share(random_);
    if (kind < shares_.repeats) {
      repeats(row + 1, length);
    } else {
      window(kind < shares_.repeats + shares_.grammar ? grammar_ : stories_, row + 1, length);
    }
  }
  return ids;
}

}  // namespace headscope::demo
