#pragma once

// The cases of ../shared/models/broken (its README explains them).

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files/json.h"

namespace headscope::test {

struct BrokenCase {
  std::string id;
  std::filesystem::path path;  ///< the folder or file
  std::string wrong;           ///< in words
  std::string expect;          ///< refuse, load or either
  std::filesystem::path extendFile;
  std::uint64_t extendTo = 0;  ///< 0: no
};

/// Cases of one kind; none if the golden files are absent.
inline std::vector<BrokenCase> brokenCases(const std::string& kind) {
  const std::filesystem::path root = std::filesystem::path(HEADSCOPE_SHARED) / "models" / "broken";
  std::vector<BrokenCase> cases;
  if (!std::filesystem::exists(root / "manifest.json")) {
    return cases;
  }
  const Json manifest = readJson(root / "manifest.json");
  for (const Json& entry : manifest.at("cases")) {
    if (entry.at("kind") != kind) {
      continue;
    }
    BrokenCase one{
        entry.at("id"), root / entry.at("path").get<std::string>(), entry.at("wrong"), entry.at("expect"), {}, 0};
    if (entry.contains("extend_to")) {
      one.extendFile = root / entry.at("extend_to").at("file").get<std::string>();
      one.extendTo = entry.at("extend_to").at("size");
    }
    cases.push_back(one);
  }
  return cases;
}

}  // namespace headscope::test
