#include "app/cli/source.h"

#include "app/cli/command.h"

namespace headscope::cli {

bool isCaptureFile(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && path.extension() != ".gguf" && path.extension() != ".GGUF";
}

void addMachine(CLI::App& command, MachineOptions& machine) {
  command.add_option("--device", machine.device, "auto, cpu, cuda or cuda:N")->check([](const std::string& name) {
    const bool numbered = name.starts_with("cuda:") && name.size() > 5 && name.size() < 9 &&
                          name.find_first_not_of("0123456789", 5) == std::string::npos;
    return name == "auto" || name == "cpu" || name == "cuda" || numbered
               ? std::string()
               : "\"" + name + "\" is no device: auto, cpu, cuda or cuda:N";
  });
  command.add_option("--dtype", machine.dtype, "Arithmetic: auto (f32 on the CPU), f32, bf16 or f16")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}));
  command.add_option("--threads", machine.threads, "Threads (default: all cores)")->check(CLI::Range(1, 4096));
  command.add_option("--block", machine.block, "Tokens in one block of the prefill")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
}

ModelOptions modelOptions(const MachineOptions& machine) {
  ModelOptions options;
  options.device = machine.device;
  options.threads = machine.threads;
  options.arithmetic = machine.dtype == "f32"    ? ArithmeticType::F32
                       : machine.dtype == "bf16" ? ArithmeticType::BF16
                       : machine.dtype == "f16"  ? ArithmeticType::F16
                                                 : ArithmeticType::Auto;
  return options;
}

void addSource(CLI::App& command, SourceOptions& source) {
  command.add_option("MODEL|CAPTURE", source.path, "A model folder, a .gguf file or a capture file")->required();
  addInput(command, source.input);
  addMachine(command, source.machine);
}

std::shared_ptr<const Capture> openSource(const SourceOptions& source, const JobControl& control,
                                          const RunOptions& run) {
  if (isCaptureFile(source.path)) {
    if (source.input.any()) {
      wrongUse("a capture brings its own tokens: no --text, --text-file or --ids-file");
    }
    return Capture::open(source.path);
  }
  const auto tokenizer = Tokenizer::openIfPresent(source.path);
  TokenizedInput input = readInput(source.input, tokenizer.get(), source.path);
  const auto model = Model::open(source.path, modelOptions(source.machine), control);
  RunOptions options = run;
  options.loss = false;
  options.block = source.machine.block;
  options.text = std::move(input.text);
  options.tokens = std::move(input.tokens);
  return model->run(input.ids, options, control).capture;
}

void checkHead(const Capture& capture, const std::string& path, int layer, int head) {
  const int layers = capture.header().layers;
  if (layer >= layers) {
    throw Error(path, concat("has no layer ", layer, ", only 0 to ", layers - 1));
  }
  const int heads = capture.layer(layer).heads;
  if (head >= heads) {
    throw Error(path, concat("has no head ", head, " in layer ", layer, ", only 0 to ", heads - 1));
  }
}

}  // namespace headscope::cli
