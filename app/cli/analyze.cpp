// analyze: all scores of all heads, of one text or of a corpus; curves over time.

#include <cmath>
#include <future>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/corpus.h"
#include "app/cli/head_options.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/analysis/block_influence.h"
#include "core/analysis/report.h"
#include "core/export/report_file.h"
#include "core/files/atomic_file.h"
#include "core/files/npy.h"

namespace headscope::cli {
namespace {

struct AnalyzeCommand {
  SourceOptions source;
  std::string corpus, series, measures;
  std::optional<std::int64_t> season;
  HeadOptions head;
  OutputOptions output;
};

AnalysisOptions analysisOptions(const AnalyzeCommand& command) {
  AnalysisOptions options;
  options.threads = command.source.machine.threads;
  options.measures = !command.measures.empty();
  options.season = command.season;
  options.device = command.source.machine.device;
  return options;
}

/// Runs the model on one text and analyses the capture; block influence comes with it.
Report analyzeRun(Model& model, TokenizedInput input, const AnalyzeCommand& command, const JobControl& control) {
  BlockInfluence influence(model.info().layers);
  const auto width = static_cast<int>(model.info().hidden);
  RunOptions run;
  run.loss = false;
  run.block = command.source.machine.block;
  run.deviceRows = true;
  run.hidden = [&](int layer, std::int64_t first, std::span<const float> rows) {
    influence.observe(layer, first, rows, width);
  };
  const auto capture = model.run(input.ids, run, control).capture;
  Report report = analyzeCapture(*capture, analysisOptions(command), control);
  mention(report.note);
  setBlockInfluence(report, influence.published(), influence.residual());
  return report;
}

// Progress of a part, with the document in front.
JobControl ofDocument(const JobControl& control, std::size_t index, std::size_t count) {
  JobControl own = control;
  if (control.progress) {
    own.progress = [progress = control.progress, index, count](const Progress& part) {
      const std::string stage = concat("document ", index + 1, " of ", count, ": ", part.stage);
      progress({stage, part.done, part.total});
    };
  }
  return own;
}

ReportSummary analyzeCorpus(Model& model, const Tokenizer* tokenizer, const AnalyzeCommand& command,
                            const JobControl& control) {
  const std::vector<CorpusDocument> documents = readCorpus(command.corpus);
  SummaryBuilder builder;
  for (std::size_t index = 0; index < documents.size(); ++index) {
    TokenizedInput input;
    input.ids = documents[index].ids;
    if (input.ids.empty()) {
      input = tokenizeText(documents[index].text, command.source.input.bosRule(), tokenizer, command.source.path);
    }
    builder.add(analyzeRun(model, std::move(input), command, ofDocument(control, index, documents.size())));
  }
  return builder.summary();
}

struct Analysis {
  ReportSummary summary;
  ReportText text;
};

Analysis analyze(const AnalyzeCommand& command, const JobControl& control) {
  Analysis result;
  result.text.definitions = reportDefinitions(analysisOptions(command));
  if (isCaptureFile(command.source.path)) {
    const auto capture = openSource(command.source, control);
    SummaryBuilder builder;
    const Report report = analyzeCapture(*capture, analysisOptions(command), control);
    mention(report.note);
    builder.add(report);
    result.summary = builder.summary();
    result.text.model = capture->header().model;
    result.text.family = capture->header().family;
    return result;
  }
  const auto tokenizer = Tokenizer::openIfPresent(command.source.path);
  std::optional<TokenizedInput> input;
  if (command.corpus.empty()) {
    input = readInput(command.source.input, tokenizer.get(), command.source.path);
  }
  const auto model = Model::open(command.source.path, modelOptions(command.source.machine), control);
  result.text.model = model->info().name;
  result.text.family = model->info().family;
  if (input) {
    SummaryBuilder builder;
    builder.add(analyzeRun(*model, std::move(*input), command, control));
    result.summary = builder.summary();
  } else {
    result.summary = analyzeCorpus(*model, tokenizer.get(), command, control);
  }
  return result;
}

Table headTable(const ReportSummary& summary) {
  Table table({"layer", "head", "case", "q-sim", "entropy", "sink", "previous", "induction", "local", "distance"});
  const auto cell = [](const HeadSummary& head, Score score) {
    return shortNumber(head.scores[static_cast<std::size_t>(score)].mean);
  };
  for (const HeadSummary& head : summary.heads) {
    table.addRow({std::to_string(head.layer), std::to_string(head.head), std::string(caseKey(head.label)),
                  cell(head, Score::QSimilarityConsecutive), cell(head, Score::Entropy), cell(head, Score::SinkMass),
                  cell(head, Score::PreviousToken), cell(head, Score::Induction), cell(head, Score::LocalMass),
                  cell(head, Score::MeanDistance)});
  }
  return table;
}

void runSeries(const AnalyzeCommand& command, const JobControl& control) {
  const auto capture = openSource(command.source, control);
  checkHead(*capture, command.source.path, command.head.layer, command.head.head);
  const std::vector<double> curve =
      series(makeHeadVectors(*capture, command.head.layer, command.head.head), *seriesFromName(command.series));
  OrderedJson json;
  json["series"] = command.series;
  json["layer"] = command.head.layer;
  json["head"] = command.head.head;
  json["values"] = curve;
  Table table({"t", command.series});
  for (std::size_t t = 0; t < curve.size(); ++t) {
    table.addRow({std::to_string(t), csvNumber(curve[t])});
  }
  const std::string ending = std::filesystem::path(command.output.out).extension().string();
  if (ending == ".npy") {
    const std::vector<float> floats(curve.begin(), curve.end());
    const std::int64_t shape[] = {static_cast<std::int64_t>(floats.size())};
    writeNpy(command.output.out, shape, floats);
  } else if (!ending.empty()) {
    writeFile(command.output.out, ending == ".csv" ? table.csv() : jsonText(json));
  }
  if (command.output.json) {
    printJson(json);
  } else if (command.output.csv || ending.empty()) {
    printText(command.output.csv ? table.csv() : table.aligned());
  }
}

void checkUse(const AnalyzeCommand& command) {
  const bool series = !command.series.empty();
  const std::string ending = std::filesystem::path(command.output.out).extension().string();
  if (series && (command.head.layer < 0 || command.head.head < 0)) {
    wrongUse("--series needs --layer and --head");
  }
  if (series && !command.corpus.empty()) {
    wrongUse("--series is of one text, not of a --corpus");
  }
  if (!series && ending == ".npy") {
    wrongUse("--out to .npy is for --series; scores go to .json or .csv");
  }
  if (!command.corpus.empty() && (command.source.input.any() || isCaptureFile(command.source.path))) {
    wrongUse("--corpus needs a model, and no --text, --text-file or --ids-file");
  }
}

void runAnalyze(const AnalyzeCommand& command, const Run& run) {
  checkUse(command);
  if (!command.series.empty()) {
    runSeries(command, run.control);
    return;
  }
  // Beside reading the model: a GPU's program takes seconds the first time.
  const auto& machine = command.source.machine;
  const auto preparation = std::async(std::launch::async, prepareScoring, machine.device,
                                      machine.dtype == "f32"   ? FloatType::F32
                                      : machine.dtype == "f16" ? FloatType::F16
                                                               : FloatType::BF16);
  const Analysis analysis = analyze(command, run.control);
  run.control.checkpoint();  // interrupted in the last part: nothing is written
  if (!command.output.out.empty()) {
    writeReport(command.output.out, analysis.summary, analysis.text);
  }
  if (command.output.json) {
    printText(reportJson(analysis.summary, analysis.text));
  } else if (command.output.csv) {
    printText(reportCsv(analysis.summary));
  } else {
    printText(headTable(analysis.summary).aligned());
  }
}

}  // namespace

void addAnalyze(CommandLine& line) {
  const auto options = std::make_shared<AnalyzeCommand>();
  CLI::App& command = line.add("analyze", "Scores of all heads: self-similarity, cases, bounds, attention",
                               [options](Run& run) { runAnalyze(*options, run); });
  addSource(command, options->source);
  command.add_option("--corpus", options->corpus,
                     "Many documents: a folder of .txt files, a .jsonl (a text a line), or a .txt");
  command.add_option("--measures", options->measures, "all: q-similarity by the eight published measures, too")
      ->check(CLI::IsMember({"all"}));
  command.add_option("--season", options->season, "Lag of Theorem 5.4 (default: the best of each head)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command.add_option("--series", options->series, "A curve over time of --layer and --head")
      ->check([](const std::string& name) {
        return seriesFromName(name) ? std::string() : "\"" + name + "\" is no series";
      });
  addHead(command, options->head, false);
  addJson(command, options->output);
  addCsv(command, options->output);
  addOut(command, options->output, {".json", ".csv", ".npy"});
  line.setSubject(command, options->source.path);
}

}  // namespace headscope::cli
