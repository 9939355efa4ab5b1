#pragma once

// Many documents: a folder of .txt files, a .jsonl file with a document a line, or one .txt file.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headscope::cli {

struct CorpusDocument {
  std::string name;               ///< file, or file and line: for errors
  std::string text;               ///< either this,
  std::vector<std::int64_t> ids;  ///< or these, used as they are
};

/// In order: files of a folder by name, lines of a .jsonl (a JSON string, a list of ids, or an object with "text" or
/// "ids"). Throws Error naming what is wrong, also if there is no document at all.
std::vector<CorpusDocument> readCorpus(const std::filesystem::path& path);

}  // namespace headscope::cli
