#include "resources/demo/trainer/grammar.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace headscope::demo {
namespace {

constexpr std::array kNames = {"Mia",  "Omar", "Lily", "Tom",  "Hana", "Ben",  "Olga", "Emma", "Jack", "Nora", "Sam",
                               "Ivan", "Zoe",  "Leo",  "Anna", "Kim",  "Rosa", "Max",  "Ella", "Finn", "Ada",  "Hugo"};
constexpr std::array kPlaces = {"castle", "forest", "river",  "village", "harbor", "valley",
                                "market", "tower",  "meadow", "island",  "city",   "mountain",
                                "garden", "bridge", "cave",   "farm",    "mill",   "school"};
constexpr std::array kColors = {"red",   "blue",   "green",  "golden", "silver", "black",
                                "white", "yellow", "purple", "brown",  "pink",   "orange"};
constexpr std::array kThings = {"door",     "gate",   "chest", "box",   "room",
                                "cupboard", "drawer", "house", "trunk", "cellar"};
constexpr std::array kGoods = {"apples", "bread", "milk",    "eggs", "honey", "cheese", "pears",
                               "butter", "salt",  "fish",    "rice", "plums", "beans",  "nuts",
                               "tea",    "soap",  "candles", "rope", "paper", "flour"};
constexpr std::array kSyllables = {"ba", "ko", "ri",  "tem", "lu",  "zan", "fi",  "mor", "de",  "sil", "pu", "gar",
                                   "ne", "vo", "tas", "li",  "kra", "mu",  "hep", "jo",  "wen", "dra", "so", "bil"};

// `count` different indices below `size`.
std::vector<std::size_t> draw(std::mt19937_64& random, std::size_t count, std::size_t size) {
  std::vector<std::size_t> all(size);
  std::iota(all.begin(), all.end(), std::size_t{0});
  std::shuffle(all.begin(), all.end(), random);
  all.resize(std::min(count, size));
  return all;
}

}  // namespace

std::string Grammar::passage() {
  using Kind = std::string (Grammar::*)();
  constexpr std::array<Kind, 6> kinds = {&Grammar::keysAndDoors,  &Grammar::whereTheyLive, &Grammar::shoppingList,
                                         &Grammar::inventedWords, &Grammar::phoneBook,     &Grammar::countingRhyme};
  std::string text = (this->*pick(kinds))();
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

std::string Grammar::keysAndDoors() {
  const std::size_t count = 3 + below(6);
  const auto places = draw(random_, count, kPlaces.size());
  std::vector<std::string> objects;
  std::string text;
  for (const std::size_t place : places) {
    objects.push_back(std::string(pick(kColors)) + " " + pick(kThings));
    text += std::string("The ") + kPlaces[place] + " key opens the " + objects.back() + ". ";
  }
  const std::string loser = pick(kNames);
  const std::string helper = pick(kNames);
  text +=
      loser + " lost the " + kPlaces[places[below(count)]] + " key, so " + loser + " asked " + helper + " for help. ";
  text += helper + " said: ";
  for (const std::size_t i : draw(random_, count, count)) {
    text += std::string("the ") + kPlaces[places[i]] + " key opens the " + objects[i] + ", ";
  }
  text += "and that is all. ";
  for (std::size_t question = 0; question < 3; ++question) {
    const std::size_t i = below(count);
    text += std::string("What does the ") + kPlaces[places[i]] + " key open? The " + kPlaces[places[i]] +
            " key opens the " + objects[i] + ". ";
  }
  return text;
}

std::string Grammar::whereTheyLive() {
  const std::size_t count = 3 + below(7);
  const auto names = draw(random_, count, kNames.size());
  std::vector<std::string> homes;
  std::string text;
  for (const std::size_t name : names) {
    homes.push_back(std::string(pick(kColors)) + " house by the " + pick(kPlaces));
    text += std::string(kNames[name]) + " lives in the " + homes.back() + ". ";
  }
  for (const std::size_t i : draw(random_, count, count)) {
    text += std::string("Where does ") + kNames[names[i]] + " live? " + kNames[names[i]] + " lives in the " + homes[i] +
            ". ";
  }
  return text;
}

std::string Grammar::shoppingList() {
  const auto goods = draw(random_, 5 + below(10), kGoods.size());
  std::string list;
  for (const std::size_t item : goods) {
    list += std::string(list.empty() ? "" : ", ") + kGoods[item];
  }
  const std::string name = pick(kNames);
  return name + " wrote a list: " + list + ". At the market " + name + " read the list again: " + list +
         ". In the end " + name + " bought " + list + ". ";
}

std::string Grammar::inventedWord() {
  std::string word;
  for (std::size_t i = 0, count = 2 + below(2); i < count; ++i) {
    word += pick(kSyllables);
  }
  return word;
}

std::string Grammar::inventedWords() {
  std::string row;
  for (std::size_t i = 0, count = 8 + below(30); i < count; ++i) {
    row += (i == 0 ? "" : " ") + inventedWord();
  }
  std::string text;
  for (std::size_t i = 0, count = 2 + below(3); i < count; ++i) {
    text += row + ". ";
  }
  return text;
}

std::string Grammar::phoneBook() {
  const std::size_t count = 3 + below(6);
  const auto names = draw(random_, count, kNames.size());
  std::vector<std::string> numbers;
  std::string text;
  for (const std::size_t name : names) {
    std::string number;
    for (int digit = 0; digit < 4; ++digit) {
      number += static_cast<char>('0' + below(10));
    }
    numbers.push_back(number);
    text += std::string(kNames[name]) + ": " + number + "\n";
  }
  for (const std::size_t i : draw(random_, count, count)) {
    text += std::string("Call ") + kNames[names[i]] + " at " + numbers[i] + ". ";
  }
  return text;
}

std::string Grammar::countingRhyme() {
  const std::string refrain =
      std::string("and the ") + pick(kColors) + " " + pick(kThings) + " by the " + pick(kPlaces) + " was closed";
  constexpr std::array numbers = {"One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"};
  std::string text;
  for (std::size_t i = 0, count = 4 + below(7); i < count; ++i) {
    text +=
        std::string(numbers[i]) + " " + pick(kColors) + " birds went to the " + pick(kPlaces) + ", " + refrain + ".\n";
  }
  return text;
}

}  // namespace headscope::demo
