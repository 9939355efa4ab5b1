#pragma once

// Text of our own grammar that makes heads worth looking at emerge: things that are said once and asked for later.
// Deterministic for a seed.

#include <cstdint>
#include <random>
#include <string>

namespace headscope::demo {

class Grammar {
 public:
  explicit Grammar(std::uint64_t seed) : random_(seed) {}

  /// One passage (50 to 400 words) of a kind chosen at random.
  std::string passage();

 private:
  std::string keysAndDoors();   // "The red key opens the old door. …" and questions about it
  std::string whereTheyLive();  // names and places, asked back
  std::string shoppingList();   // a list, said twice
  std::string inventedWords();  // rows of made-up words, repeated
  std::string phoneBook();      // names and digits, asked back
  std::string countingRhyme();  // a verse with a refrain that comes back

  std::size_t below(std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_); }
  template <typename List>
  auto pick(const List& list) -> decltype(list[0]) {
    return list[below(std::size(list))];
  }
  std::string inventedWord();

  std::mt19937_64 random_;
};

}  // namespace headscope::demo
