#pragma once

// MODEL and CAPTURE on the command line: which of them a path is, and a capture of either.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "app/cli/input.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"
#include "core/model/model.h"

namespace headscope::cli {

/// True for a file that is no GGUF file: a capture (or what claims to be one). Folders and .gguf files are models.
bool isCaptureFile(const std::filesystem::path& path);

/// --device, --dtype, --threads, --block.
struct MachineOptions {
  std::string device = "auto";
  std::string dtype = "auto";
  int threads = 0;
  std::int64_t block = 0;
};
void addMachine(CLI::App& command, MachineOptions& machine);
ModelOptions modelOptions(const MachineOptions& machine);

/// A MODEL|CAPTURE argument with all that a model needs to become a capture.
struct SourceOptions {
  std::string path;
  InputOptions input;
  MachineOptions machine;
};
void addSource(CLI::App& command, SourceOptions& source);

/// Opens the capture, or runs the model on the input. `run` may ask for more than the capture (hidden states).
std::shared_ptr<const Capture> openSource(const SourceOptions& source, const JobControl& control,
                                          const RunOptions& run = {});

/// Throws Error naming `path` if the capture has no such layer or head.
void checkHead(const Capture& capture, const std::string& path, int layer, int head);

}  // namespace headscope::cli
