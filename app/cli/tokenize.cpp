// tokenize, detokenize: texts to ids and back, one or (with --jsonl) one a line.

#include <functional>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/input.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/files/atomic_file.h"

namespace headscope::cli {
namespace {

struct TokenizeOptions {
  std::string path;
  InputOptions input;
  std::string jsonl, idsFile;
  bool specialsAsText = false, skipSpecial = false;
  OutputOptions output;
};

OrderedJson encodingJson(const Encoding& encoding) {
  OrderedJson offsets = OrderedJson::array();
  for (const auto& [begin, end] : encoding.offsets) {
    offsets.push_back({begin, end});
  }
  OrderedJson json;
  json["ids"] = encoding.ids;
  json["tokens"] = encoding.tokens;
  json["offsets"] = std::move(offsets);
  return json;
}

std::vector<std::int64_t> idsOf(const Json& json, const std::string& where) {
  if (!json.is_array()) {
    throw Error(where, "is no JSON list of token ids");
  }
  std::vector<std::int64_t> ids;
  for (const Json& id : json) {
    if (!id.is_number_integer() || id < 0) {
      throw Error(where, concat("holds ", id.dump().substr(0, 40), ", which is no token id"));
    }
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

// Calls `transform` on each line's JSON; the answers, one a line. Nothing is printed unless all lines are sound.
void printLines(const std::string& file, const JobControl& control,
                const std::function<OrderedJson(const Json&, const std::string&)>& transform) {
  const std::string content = readFile(file);
  std::string answers;
  std::size_t number = 0;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    const std::string_view line = std::string_view(content).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      continue;
    }
    control.checkpoint("lines", static_cast<std::int64_t>(at), static_cast<std::int64_t>(content.size()));
    const std::string where = concat(file, ": line ", number);
    answers += jsonText(transform(parseJson(line, where), where), JsonLayout::Line);
  }
  printText(answers);
}

void tokenize(const TokenizeOptions& options, const Run& run) {
  const auto tokenizer = Tokenizer::open(options.path);
  const Bos bos = options.input.bosRule();
  if (!options.jsonl.empty()) {
    printLines(options.jsonl, run.control, [&](const Json& line, const std::string& where) {
      if (!line.is_string()) {
        throw Error(where, "is no JSON string");
      }
      return encodingJson(tokenizer->encode(line.get<std::string>(), bos, !options.specialsAsText));
    });
    return;
  }
  const Encoding encoding = tokenizer->encode(readText(options.input), bos, !options.specialsAsText);
  if (options.output.json) {
    printJson(encodingJson(encoding));
    return;
  }
  Table table({"id", "token", "begin", "end"});
  for (std::size_t index = 0; index < encoding.ids.size(); ++index) {
    const bool csv = options.output.csv;
    table.addRow({std::to_string(encoding.ids[index]),
                  csv ? encoding.tokens[index] : tokenizer->displayText(encoding.ids[index]),
                  std::to_string(encoding.offsets[index].first), std::to_string(encoding.offsets[index].second)});
  }
  printText(options.output.csv ? table.csv() : table.aligned());
}

void detokenize(const TokenizeOptions& options, const Run& run) {
  const auto tokenizer = Tokenizer::open(options.path);
  const auto textJson = [&](const std::vector<std::int64_t>& ids) {
    return OrderedJson{{"text", tokenizer->decode(ids, options.skipSpecial)}};
  };
  if (!options.jsonl.empty()) {
    printLines(options.jsonl, run.control,
               [&](const Json& line, const std::string& where) { return textJson(idsOf(line, where)); });
    return;
  }
  if (options.idsFile.empty()) {
    wrongUse("ids are needed: give --ids-file or --jsonl");
  }
  const OrderedJson json = textJson(readIds(options.idsFile));
  if (options.output.json) {
    printJson(json);
  } else {
    printText(json.at("text").get<std::string>() + "\n");
  }
}

}  // namespace

void addTokenize(CommandLine& line) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App& command = line.add("tokenize", "Token ids of a text", [options](Run& run) { tokenize(*options, run); });
  command.add_option("MODEL", options->path, "A model folder, a .gguf file or a tokenizer.json")->required();
  CLI::Option* text = command.add_option("--text", options->input.text, "The text itself");
  CLI::Option* file = command.add_option("--text-file", options->input.textFile, "A UTF-8 file, taken whole");
  CLI::Option* lines = command.add_option("--jsonl", options->jsonl, "A JSON string a line; answers line by line");
  text->excludes(file)->excludes(lines);
  file->excludes(lines);
  command.add_option("--bos", options->input.bos, "Beginning-of-text token: on, off, auto (as the tokenizer says)")
      ->check(CLI::IsMember({"on", "off", "auto"}));
  command.add_flag("--specials-as-text", options->specialsAsText, "Special tokens typed in the text are text");
  addJson(command, options->output);
  addCsv(command, options->output);
  line.setSubject(command, options->path);
}

void addDetokenize(CommandLine& line) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App& command =
      line.add("detokenize", "The text of token ids", [options](Run& run) { detokenize(*options, run); });
  command.add_option("MODEL", options->path, "A model folder, a .gguf file or a tokenizer.json")->required();
  addIdsFile(command, options->idsFile);
  command.add_option("--jsonl", options->jsonl, "A JSON list of ids a line; answers line by line")
      ->excludes("--ids-file");
  command.add_flag("--skip-special", options->skipSpecial, "Leave special tokens out of the text");
  addJson(command, options->output);
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
