#include "app/cli/input.h"

#include "app/cli/command.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"

namespace headscope::cli {
namespace {

constexpr std::uint64_t kTextLimit = std::uint64_t{1} << 30;

void demandTokens(const TokenizedInput& input, const std::string& where) {
  if (input.ids.empty()) {
    throw Error(where, "holds no tokens");
  }
}

}  // namespace

Bos InputOptions::bosRule() const {
  return bos == "on" ? Bos::On : bos == "off" ? Bos::Off : Bos::Auto;
}

void addIdsFile(CLI::App& command, std::string& file) {
  command.add_option("--ids-file", file, "A JSON list of token ids, used as they are");
}

void addInput(CLI::App& command, InputOptions& input) {
  CLI::Option* text = command.add_option("--text", input.text, "The text itself");
  CLI::Option* textFile = command.add_option("--text-file", input.textFile, "A UTF-8 file, taken whole");
  addIdsFile(command, input.idsFile);
  CLI::Option* idsFile = command.get_option("--ids-file");
  textFile->excludes(text)->excludes(idsFile);
  idsFile->excludes(text);
  command.add_option("--bos", input.bos, "Beginning-of-text token: on, off, auto (as the tokenizer says)")
      ->check(CLI::IsMember({"on", "off", "auto"}));
}

std::vector<std::int64_t> readIds(const std::string& file) {
  const Json json = readJson(file);
  if (!json.is_array()) {
    throw Error(file, "is no JSON list of token ids");
  }
  std::vector<std::int64_t> ids;
  ids.reserve(json.size());
  for (const Json& id : json) {
    if (!id.is_number_integer() || id < 0 || (id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX)) {
      throw Error(file, concat("holds ", id.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60),
                               ", which is no token id"));
    }
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

std::string readText(const InputOptions& input) {
  if (!input.text && input.textFile.empty()) {
    wrongUse("a text is needed: give --text or --text-file");
  }
  const std::string where = input.text ? "--text" : input.textFile;
  std::string text = input.text ? *input.text : readFile(input.textFile, kTextLimit);
  if (!isUtf8(text)) {
    throw Error(where, concat("is not valid UTF-8 at byte ", firstInvalidUtf8(text)));
  }
  return text;
}

TokenizedInput tokenizeText(const std::string& text, Bos bos, const Tokenizer* tokenizer, const std::string& model) {
  if (tokenizer == nullptr) {
    throw Error(model, "has no tokenizer, so that it can't read text; give --ids-file");
  }
  TokenizedInput result;
  result.ids = tokenizer->encode(text, bos).ids;
  result.tokens = tokenizer->pieces(result.ids);
  result.text = text;
  return result;
}

TokenizedInput readInput(const InputOptions& input, const Tokenizer* tokenizer, const std::string& model) {
  if (!input.any()) {
    wrongUse("an input is needed: give --text, --text-file or --ids-file");
  }
  if (input.idsFile.empty()) {
    TokenizedInput result = tokenizeText(readText(input), input.bosRule(), tokenizer, model);
    demandTokens(result, input.text ? "--text" : input.textFile);
    return result;
  }
  TokenizedInput result;
  result.ids = readIds(input.idsFile);
  demandTokens(result, input.idsFile);
  if (tokenizer != nullptr) {
    result.tokens = tokenizer->pieces(result.ids);
    result.text = tokenizer->decode(result.ids);
  }
  return result;
}

}  // namespace headscope::cli
