// prune-order: which layers go first, as the public order file says it; from raw score files or from a model and a
// corpus.

#include <cmath>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/layer_scores.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/analysis/prune_order.h"
#include "core/files/atomic_file.h"
#include "core/masks/mask_file.h"

namespace headscope::cli {
namespace {

struct OrderCommand {
  std::string path, method, corpus, biFile, qFile, name;
  std::string bos = "auto";
  std::optional<double> beta;
  MachineOptions machine;
  OutputOptions output;

  bool needsBi() const { return method != "qsim"; }
  bool needsSimilarity() const { return method != "shortgpt"; }
};

struct Scores {
  std::string model;
  std::vector<double> bi, qSimilarity;
};

void checkUse(const OrderCommand& command) {
  const bool files = !command.biFile.empty() || !command.qFile.empty();
  if (command.corpus.empty() != command.path.empty() || (files && !command.corpus.empty()) ||
      (!files && command.corpus.empty())) {
    wrongUse("give either MODEL with --corpus, or score files with --bi and --qsim");
  }
  if (files && (command.needsBi() == command.biFile.empty() || command.needsSimilarity() == command.qFile.empty())) {
    wrongUse(concat("--method ", command.method, " needs ", command.needsBi() ? "--bi" : "",
                    command.needsBi() && command.needsSimilarity() ? " and " : "",
                    command.needsSimilarity() ? "--qsim" : "", " and nothing else"));
  }
  if ((command.method == "tappa") != command.beta.has_value()) {
    wrongUse(command.beta ? "--beta is for --method tappa" : "--method tappa needs --beta");
  }
}

std::vector<double> readScores(const std::string& file, const char* type, Scores& scores) {
  MaskHints hints;
  hints.kind = MaskKind::TappaScores;
  MaskDocument document = readMask(file, hints);
  if (document.scoreName != type) {
    throw Error(file, concat("holds scores of type ", document.scoreName, ", expected ", type));
  }
  if (!document.model.empty() && !scores.model.empty() && document.model != scores.model) {
    throw Error(file, concat("is of the model ", document.model, ", the other file of ", scores.model));
  }
  scores.model = document.model.empty() ? scores.model : document.model;
  return std::move(document.scores);
}

Scores scoresOfFiles(const OrderCommand& command) {
  Scores scores;
  if (command.needsBi()) {
    scores.bi = readScores(command.biFile, "BI", scores);
  }
  if (command.needsSimilarity()) {
    scores.qSimilarity = readScores(command.qFile, "q_similarity", scores);
  }
  if (command.method == "tappa" && scores.bi.size() != scores.qSimilarity.size()) {
    throw Error(command.qFile,
                concat("is of ", scores.qSimilarity.size(), " layers, ", command.biFile, " of ", scores.bi.size()));
  }
  return scores;
}

Scores scoresOfModel(const OrderCommand& command, const JobControl& control) {
  const auto tokenizer = Tokenizer::openIfPresent(command.path);
  const auto model = Model::open(command.path, modelOptions(command.machine), control);
  InputOptions input;
  input.bos = command.bos;
  LayerScores made = publishedLayerScores(*model, tokenizer.get(), command.corpus, input.bosRule(), control);
  return {model->info().name, std::move(made.blockInfluence), std::move(made.qSimilarity)};
}

// The keys and their order are those of the public code.
OrderedJson orderJson(const OrderCommand& command, const Scores& scores) {
  OrderedJson json;
  const bool tappa = command.method == "tappa";
  json["method"] = tappa ? "TAPPA" : command.needsBi() ? "ShortGPT" : "q_similarity";
  if (tappa) {
    json["formula"] = kTappaFormula;
  } else {
    json["score_type"] = command.needsBi() ? "BI" : "q_similarity";
  }
  const std::string model = command.name.empty() ? scores.model : command.name;
  json["model"] = model.empty() ? OrderedJson(nullptr) : OrderedJson(model);
  if (!command.biFile.empty()) {
    json["bi_file"] = command.biFile;
  }
  if (!command.qFile.empty()) {
    json["q_file"] = command.qFile;
  }
  if (tappa) {
    const PruneScores order = tappaPruneScores(scores.bi, scores.qSimilarity, *command.beta);
    json["beta"] = *command.beta;
    json["bi"] = scores.bi;
    json["q_similarity"] = scores.qSimilarity;
    json["bi_norm"] = order.biNorm;
    json["q_similarity_norm"] = order.qSimilarityNorm;
    json["tappa_score"] = order.score;
    json["prune_order"] = order.order;
  } else if (command.needsBi()) {
    json["bi"] = scores.bi;
    json["prune_order"] = shortGptOrder(scores.bi);
  } else {
    json["q_similarity"] = scores.qSimilarity;
    json["prune_order"] = mostSimilarFirst(scores.qSimilarity);
  }
  return json;
}

void runOrder(const OrderCommand& command, const Run& run) {
  checkUse(command);
  const Scores scores = command.corpus.empty() ? scoresOfFiles(command) : scoresOfModel(command, run.control);
  const OrderedJson json = orderJson(command, scores);
  if (!command.output.out.empty()) {
    writeFile(command.output.out, jsonText(json));
  }
  if (command.output.json) {
    printJson(json);
  } else {
    printText(jsonText(json.at("prune_order"), JsonLayout::Line));
  }
}

}  // namespace

void addPruneOrder(CommandLine& line) {
  const auto options = std::make_shared<OrderCommand>();
  CLI::App& command = line.add("prune-order", "Which layers to remove first (ShortGPT, TAPPA, q-similarity)",
                               [options](Run& run) { runOrder(*options, run); });
  command.add_option("MODEL", options->path, "A model folder or a .gguf file, with --corpus");
  command.add_option("--method", options->method, "tappa, shortgpt or qsim (most similar first)")
      ->required()
      ->check(CLI::IsMember({"tappa", "shortgpt", "qsim"}));
  command.add_option("--beta", options->beta, "Weight of q-similarity in tappa")->check(CLI::Range(-1e9, 1e9));
  command.add_option("--corpus", options->corpus, "A folder of .txt files, a .jsonl (a text a line), or a .txt");
  command.add_option("--bi", options->biFile, "Raw scores of block influence (JSON)");
  command.add_option("--qsim", options->qFile, "Raw scores of q-similarity (JSON)");
  command.add_option("--name", options->name, "The model's name in the file");
  command.add_option("--bos", options->bos, "Beginning-of-text token: on, off, auto (as the tokenizer says)")
      ->check(CLI::IsMember({"on", "off", "auto"}));
  addMachine(command, options->machine);
  addJson(command, options->output);
  addOut(command, options->output, {".json"});
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
