// generate: a model's continuation of a text.

#include <memory>

#include "app/cli/command.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/files/json.h"

namespace headscope::cli {
namespace {

struct GenerateCommand {
  std::string path;
  InputOptions input;
  MachineOptions machine;
  GenerateOptions generate;
  OutputOptions output;
};

void appendIds(const Json& value, std::vector<std::int64_t>& ids) {
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (id.is_number_integer()) {
      ids.push_back(id.get<std::int64_t>());
    }
  }
}

// Where generation ends: as generation_config.json says, else config.json, else the tokenizer.
std::vector<std::int64_t> stopIds(const std::filesystem::path& model, const Tokenizer* tokenizer) {
  std::vector<std::int64_t> ids;
  for (const char* name : {"generation_config.json", "config.json"}) {
    std::error_code error;
    if (ids.empty() && std::filesystem::exists(model / name, error)) {
      const Json json = readJson(model / name);
      const auto eos = json.is_object() ? json.find("eos_token_id") : json.end();
      if (eos != json.end()) {
        appendIds(*eos, ids);
      }
    }
  }
  if (ids.empty() && tokenizer != nullptr && tokenizer->eos()) {
    ids.push_back(*tokenizer->eos());
  }
  return ids;
}

// What the new ids add to the text: a piece alone would lose a leading space in some tokenizers.
std::string continuation(const Tokenizer& tokenizer, const std::vector<std::int64_t>& prompt,
                         const std::vector<std::int64_t>& made) {
  std::vector<std::int64_t> all = prompt;
  all.insert(all.end(), made.begin(), made.end());
  const std::string before = tokenizer.decode(prompt);
  const std::string after = tokenizer.decode(all);
  return after.starts_with(before) ? after.substr(before.size()) : tokenizer.decode(made);
}

void generateText(const GenerateCommand& command, const Run& run) {
  const auto tokenizer = Tokenizer::openIfPresent(command.path);
  const TokenizedInput input = readInput(command.input, tokenizer.get(), command.path);
  GenerateOptions options = command.generate;
  options.stopIds = stopIds(command.path, tokenizer.get());
  const auto model = Model::open(command.path, modelOptions(command.machine), run.control);
  const std::vector<std::int64_t> ids = model->generate(input.ids, options, run.control);
  OrderedJson json;
  json["ids"] = ids;
  json["text"] = tokenizer ? OrderedJson(continuation(*tokenizer, input.ids, ids)) : OrderedJson(nullptr);
  if (command.output.json) {
    printJson(json);
  } else if (tokenizer) {
    printText(json.at("text").get<std::string>() + "\n");
  } else {
    printText(jsonText(json.at("ids"), JsonLayout::Line));
  }
}

}  // namespace

void addGenerate(CommandLine& line) {
  const auto options = std::make_shared<GenerateCommand>();
  CLI::App& command =
      line.add("generate", "A model's continuation of a text", [options](Run& run) { generateText(*options, run); });
  command.add_option("MODEL", options->path, "A model folder or a .gguf file")->required();
  command.add_option("-n,--count", options->generate.count, "New tokens at most")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24));
  command.add_option("--temperature", options->generate.temperature, "0 (default): the likeliest token each time")
      ->check(CLI::Range(0.0, 1e6));
  command.add_option("--seed", options->generate.seed, "Of the random choice at a temperature");
  addInput(command, options->input);
  addMachine(command, options->machine);
  addJson(command, options->output);
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
