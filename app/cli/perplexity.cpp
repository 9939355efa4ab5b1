// perplexity: how well a model predicts a corpus. A text is cut into windows of --context tokens that begin every
// --stride; a token counts once, in the first window that predicts it.

#include <algorithm>
#include <cmath>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/corpus.h"
#include "app/cli/output.h"
#include "app/cli/source.h"

namespace headscope::cli {
namespace {

struct PerplexityCommand {
  std::string path, corpus, idsFile;
  std::string bos = "auto";
  std::int64_t context = 0, stride = 0;
  MachineOptions machine;
  OutputOptions output;
};

struct Sum {
  double nll = 0;
  std::int64_t tokens = 0;
};

// −ln p of ids[t + 1], from the logits behind token t.
double lossAt(const RunResult& result, std::int64_t vocab, std::int64_t t, std::int64_t next) {
  const float* row = result.logits.data() + t * vocab;
  const double most = *std::max_element(row, row + vocab);
  double sum = 0;
  for (std::int64_t id = 0; id < vocab; ++id) {
    sum += std::exp(static_cast<double>(row[id]) - most);
  }
  return most + std::log(sum) - row[next];
}

// A window whose first `known` tokens are there as context only.
void addWindow(Model& model, std::span<const std::int64_t> ids, std::int64_t known, std::int64_t block,
               const JobControl& control, Sum& sum) {
  const auto size = static_cast<std::int64_t>(ids.size());
  const std::int64_t first = std::max<std::int64_t>(known, 1);
  if (first >= size) {
    return;
  }
  RunOptions options;
  options.capture = false;
  options.block = block;
  options.logits = first > 1;  // else the mean loss of the whole window will do
  const RunResult result = model.run(ids, options, control);
  if (first == 1) {
    sum.nll += result.loss * static_cast<double>(size - 1);
  }
  for (std::int64_t t = first; first > 1 && t < size; ++t) {
    sum.nll += lossAt(result, model.info().vocab, t - 1, ids[static_cast<std::size_t>(t)]);
  }
  sum.tokens += size - first;
}

void addDocument(Model& model, const std::vector<std::int64_t>& ids, const PerplexityCommand& command,
                 const JobControl& control, Sum& sum) {
  const auto size = static_cast<std::int64_t>(ids.size());
  const std::int64_t context = command.context > 0 ? command.context : size;
  const std::int64_t stride = command.stride > 0 ? command.stride : context;
  std::int64_t done = 0;
  for (std::int64_t begin = 0; done < size; begin += stride) {
    const std::int64_t end = std::min(begin + context, size);
    addWindow(model, std::span(ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)),
              done - begin, command.machine.block, control, sum);
    done = end;
  }
}

std::vector<std::vector<std::int64_t>> documents(const PerplexityCommand& command, const Tokenizer* tokenizer) {
  std::vector<std::vector<std::int64_t>> list;
  if (!command.idsFile.empty()) {
    list.push_back(readIds(command.idsFile));
    return list;
  }
  InputOptions input;
  input.bos = command.bos;
  for (const CorpusDocument& document : readCorpus(command.corpus)) {
    list.push_back(document.ids.empty() ? tokenizeText(document.text, input.bosRule(), tokenizer, command.path).ids
                                        : document.ids);
  }
  return list;
}

void runPerplexity(const PerplexityCommand& command, const Run& run) {
  if (command.corpus.empty() == command.idsFile.empty()) {
    wrongUse("a text is needed: give --corpus or --ids-file");
  }
  if (command.stride > 0 && (command.context == 0 || command.stride > command.context)) {
    wrongUse("--stride needs a --context that is at least as long");
  }
  const auto tokenizer = Tokenizer::openIfPresent(command.path);
  const auto texts = documents(command, tokenizer.get());
  const auto model = Model::open(command.path, modelOptions(command.machine), run.control);
  Sum sum;
  for (std::size_t index = 0; index < texts.size(); ++index) {
    run.control.checkpoint("documents", static_cast<std::int64_t>(index), static_cast<std::int64_t>(texts.size()));
    addDocument(*model, texts[index], command, run.control, sum);
  }
  if (sum.tokens == 0) {
    throw Error(command.corpus.empty() ? command.idsFile : command.corpus, "holds no token that is predicted");
  }
  const double nll = sum.nll / static_cast<double>(sum.tokens);
  OrderedJson json;
  json["perplexity"] = std::exp(nll);
  json["nll"] = nll;
  json["tokens"] = sum.tokens;
  json["documents"] = texts.size();
  if (command.output.json) {
    printJson(json);
  } else {
    printText(concat("perplexity ", shortNumber(std::exp(nll)), " (", shortNumber(nll), " nats a token, ", sum.tokens,
                     " tokens)\n"));
  }
}

}  // namespace

void addPerplexity(CommandLine& line) {
  const auto options = std::make_shared<PerplexityCommand>();
  CLI::App& command = line.add("perplexity", "How well a model predicts a corpus",
                               [options](Run& run) { runPerplexity(*options, run); });
  command.add_option("MODEL", options->path, "A model folder or a .gguf file")->required();
  CLI::Option* corpus =
      command.add_option("--corpus", options->corpus, "A folder of .txt files, a .jsonl (a text a line), or a .txt");
  command.add_option("--ids-file", options->idsFile, "A JSON list of token ids, used as they are")->excludes(corpus);
  command.add_option("--context", options->context, "Tokens in a window (default: the whole text)")
      ->check(CLI::Range(std::int64_t{2}, std::int64_t{1} << 40));
  command.add_option("--stride", options->stride, "Tokens from window to window (default: the context)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command.add_option("--bos", options->bos, "Beginning-of-text token: on, off, auto (as the tokenizer says)")
      ->check(CLI::IsMember({"on", "off", "auto"}));
  addMachine(command, options->machine);
  addJson(command, options->output);
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
