// run: prefill of a text; the capture file, logits, loss and timing.

#include <cmath>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/files/npy.h"
#include "core/maps/head_view.h"

namespace headscope::cli {
namespace {

// With 16 bits in arithmetic or capture, the log-sum-exp is a pass of its own over what was kept: as long as this, it
// takes seconds.
constexpr std::size_t kMostTokensForLse = 16384;
// Up to here a capture is made in memory and then written, which is faster than page by page into the mapped file.
constexpr std::uint64_t kMostInMemory = std::uint64_t{1} << 30;

std::uint64_t captureBytes(const ModelInfo& info, std::size_t tokens, bool values) {
  std::uint64_t numbers = 0;
  for (const CaptureBuilder::LayerShape& shape : info.shapes) {
    numbers += static_cast<std::uint64_t>(shape.heads + shape.kvHeads * (values ? 2 : 1)) *
               static_cast<std::uint64_t>(shape.dim);
  }
  return numbers * tokens * sizeof(float);
}

struct RunCommand {
  std::string path;
  InputOptions input;
  MachineOptions machine;
  std::string logits, captureType = "auto", lse = "auto";
  bool values = false;
  OutputOptions output;
};

RunOptions runOptions(const RunCommand& command, TokenizedInput& input) {
  RunOptions options;
  options.capture = !command.output.out.empty();
  options.values = command.values;
  options.logits = !command.logits.empty();
  options.block = command.machine.block;
  if (command.captureType != "auto") {
    options.captureType = command.captureType == "bf16"  ? FloatType::BF16
                          : command.captureType == "f16" ? FloatType::F16
                                                         : FloatType::F32;
  }
  options.text = std::move(input.text);
  options.tokens = std::move(input.tokens);
  return options;
}

OrderedJson resultJson(const RunResult& result, std::size_t tokens, const Model& model, const std::string& file) {
  OrderedJson json;
  json["tokens"] = tokens;
  json["seconds"] = result.seconds;
  json["tokens_per_second"] = static_cast<double>(tokens) / result.seconds;
  json["peak_bytes"] = result.peakBytes;
  json["capture_bytes"] = file.empty() ? OrderedJson(nullptr) : OrderedJson(std::filesystem::file_size(file));
  json["loss"] = std::isfinite(result.loss) ? OrderedJson(result.loss) : OrderedJson(nullptr);
  json["device"] = model.device();
  json["dtype"] = model.arithmetic();
  json["notes"] = result.notes;
  return json;
}

std::string describe(const OrderedJson& json) {
  std::string text =
      concat(json.at("tokens").get<std::int64_t>(), " tokens in ", shortNumber(json.at("seconds").get<double>()),
             " s (", shortNumber(json.at("tokens_per_second").get<double>()), " tokens/s) on ",
             json.at("device").get<std::string>(), ", ", json.at("dtype").get<std::string>(), "\n");
  if (!json.at("loss").is_null()) {
    text += concat("loss ", shortNumber(json.at("loss").get<double>()), " nats per token\n");
  }
  for (const OrderedJson& note : json.at("notes")) {
    text += concat("note: ", note.get<std::string>(), "\n");
  }
  return text;
}

void addLogSumExp(const RunCommand& command, RunResult& result, std::size_t tokens, const Run& run) {
  const bool wanted = command.lse == "on" || (command.lse == "auto" && tokens <= kMostTokensForLse);
  if (result.capture == nullptr || !result.capture->layer(0).lse.empty()) {
    return;
  }
  if (wanted) {
    result.capture = completeLogSumExp(*result.capture, run.control);
    if (!result.capture->path().empty()) {
      result.capture->save(command.output.out, run.control);
    }
  } else {
    result.notes.push_back("the capture has no log-sum-exp: readers compute it (--lse on adds it)");
  }
}

void runModel(const RunCommand& command, const Run& run) {
  const auto tokenizer = Tokenizer::openIfPresent(command.path);
  TokenizedInput input = readInput(command.input, tokenizer.get(), command.path);
  const auto model = Model::open(command.path, modelOptions(command.machine), run.control);
  RunOptions options = runOptions(command, input);
  if (captureBytes(model->info(), input.ids.size(), command.values) > kMostInMemory) {
    options.file = command.output.out;
  }
  RunResult result = model->run(input.ids, options, run.control);
  addLogSumExp(command, result, input.ids.size(), run);
  if (result.capture != nullptr && result.capture->path().empty()) {
    result.capture->save(command.output.out, run.control);
  }
  if (!command.logits.empty()) {
    const std::int64_t shape[] = {static_cast<std::int64_t>(input.ids.size()), model->info().vocab};
    writeNpy(command.logits, shape, result.logits);
  }
  const OrderedJson json = resultJson(result, input.ids.size(), *model, command.output.out);
  if (command.output.json) {
    printJson(json);
  } else {
    printText(describe(json));
  }
}

}  // namespace

void addRun(CommandLine& line) {
  const auto options = std::make_shared<RunCommand>();
  CLI::App& command =
      line.add("run", "Run a model on a text; write a capture", [options](Run& run) { runModel(*options, run); });
  command.add_option("MODEL", options->path, "A model folder or a .gguf file")->required();
  addInput(command, options->input);
  addMachine(command, options->machine);
  addOut(command, options->output, {".safetensors"});
  command.add_option("--logits", options->logits, "Write all logits [tokens, vocab] to this .npy file")
      ->check([](const std::string& path) {
        return path.ends_with(".npy") ? std::string() : "\"" + path + "\" does not end in .npy";
      });
  command.add_flag("--values", options->values, "Capture the values v, too")->needs("--out");
  command
      .add_option("--capture-dtype", options->captureType,
                  "Numbers in the capture: f32, bf16, f16, or auto: as the arithmetic")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}))
      ->needs("--out");
  command
      .add_option("--lse", options->lse,
                  "Log-sum-exp of a run or a capture in 16 bits, which is a pass of its own: on, off, or auto (up to "
                  "16384 tokens)")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->needs("--out");
  addJson(command, options->output);
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
