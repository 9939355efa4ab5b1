#include "app/cli/corpus.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"

namespace headscope::cli {
namespace {

CorpusDocument textDocument(const std::filesystem::path& file) {
  CorpusDocument document{file.string(), readFile(file), {}};
  if (!isUtf8(document.text)) {
    throw Error(file.string(), concat("is not valid UTF-8 at byte ", firstInvalidUtf8(document.text)));
  }
  return document;
}

CorpusDocument lineDocument(const Json& line, const std::string& where) {
  const Json* value = &line;
  if (line.is_object()) {
    const auto text = line.find("text");
    const auto ids = line.find("ids");
    value = text != line.end() ? &*text : ids != line.end() ? &*ids : value;
  }
  CorpusDocument document{where, "", {}};
  if (value->is_string()) {
    document.text = value->get<std::string>();
    return document;
  }
  const bool list = value->is_array() && std::all_of(value->begin(), value->end(),
                                                     [](const Json& id) { return id.is_number_integer() && id >= 0; });
  if (!list) {
    throw Error(where, "is neither a text, a list of ids, nor an object with \"text\" or \"ids\"");
  }
  document.ids = value->get<std::vector<std::int64_t>>();
  return document;
}

std::vector<CorpusDocument> readLines(const std::filesystem::path& file) {
  std::vector<CorpusDocument> documents;
  const std::string content = readFile(file);
  std::size_t number = 0;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    const std::string_view line = std::string_view(content).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      const std::string where = concat(file.string(), ": line ", number);
      documents.push_back(lineDocument(parseJson(line, where), where));
    }
  }
  return documents;
}

std::vector<CorpusDocument> readFolder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".txt") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<CorpusDocument> documents;
  std::transform(files.begin(), files.end(), std::back_inserter(documents), textDocument);
  return documents;
}

}  // namespace

std::vector<CorpusDocument> readCorpus(const std::filesystem::path& path) {
  std::error_code error;
  std::vector<CorpusDocument> documents;
  if (std::filesystem::is_directory(path, error)) {
    documents = readFolder(path);
  } else if (path.extension() == ".jsonl") {
    documents = readLines(path);
  } else {
    documents.push_back(textDocument(path));
  }
  std::erase_if(documents,
                [](const CorpusDocument& document) { return document.text.empty() && document.ids.empty(); });
  if (documents.empty()) {
    throw Error(path.string(), "holds no documents (a folder of .txt files, a .jsonl or a .txt file)");
  }
  return documents;
}

}  // namespace headscope::cli
