#pragma once

// A decoder LLM, loaded from disk and run by LibTorch. No LibTorch header here. A Model is used by one thread at a
// time.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/job_control.h"
#include "core/capture/capture.h"
#include "core/model/model_info.h"

namespace headscope {

enum class ArithmeticType { Auto, F32, BF16, F16 };

struct ModelOptions {
  std::string device = "auto";                       ///< auto, cpu, cuda, cuda:N
  ArithmeticType arithmetic = ArithmeticType::Auto;  ///< Auto: f32 on the CPU; the weights' type on a GPU
  int threads = 0;                                   ///< 0: all cores
};

struct RunOptions {
  bool capture = true;
  bool values = false;         ///< capture v too
  bool logits = false;         ///< keep all logits [tokens, vocab]
  bool loss = true;            ///< false (and no logits): the output head is left out
  std::int64_t block = 0;      ///< query rows of one block of the prefill; 0: chosen from the machine
  bool fusedAttention = true;  ///< false: plain matrix products instead of LibTorch's kernel, to compare the two
  std::filesystem::path file;  ///< capture straight into this file
  /// None: that of the arithmetic, in which q and k arise, so that nothing is lost.
  std::optional<FloatType> captureType;
  /// Keep q and k on the GPU, too, where the model runs on one and a third of its free memory is enough: for scores
  /// that are computed there next (Capture::deviceRows).
  bool deviceRows = false;
  std::string text;                 ///< goes into the capture's header
  std::vector<std::string> tokens;  ///< likewise
  /// Called once, when shapes are known and before the first layer: readers may watch layers become ready.
  std::function<void(std::shared_ptr<const Capture>)> started;
  /// The residual stream [rows, hidden], block after block, `first` = its first token: what layer `layer` reads; for
  /// `layer` = number of layers what the last layer returns; for number of layers + 1 that after the final norm. The
  /// rows are valid during the call.
  std::function<void(int layer, std::int64_t first, std::span<const float> rows)> hidden;
  std::function<void(int layer)> layerDone;  ///< q, k, lse of this layer are ready
};

struct RunResult {
  std::shared_ptr<const Capture> capture;  ///< null if not asked for
  std::vector<float> logits;               ///< [tokens, vocab] if asked for
  double loss = 0;     ///< mean over positions 0 … T−2 of the cross entropy of the next id, nats; NaN for one token
  double seconds = 0;  ///< of the prefill
  std::uint64_t peakBytes = 0;     ///< resident memory of this process at its peak
  std::vector<std::string> notes;  ///< e.g. "out of GPU memory: smaller blocks"
};

struct GenerateOptions {
  std::int64_t count = 0;
  double temperature = 0;  ///< 0: greedy
  std::uint64_t seed = 0;
  std::vector<std::int64_t> stopIds;
  std::function<void(std::int64_t id)> token;  ///< called for each new id
};

class Model {
 public:
  static std::shared_ptr<Model> open(const std::filesystem::path& path, const ModelOptions& options = {},
                                     const JobControl& control = {});
  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;
  virtual std::string device() const = 0;      ///< "cpu", "cuda:0"
  virtual std::string arithmetic() const = 0;  ///< "f32" …

  /// Prefill of `ids` from position 0. Memory grows with the tokens, not with their square.
  virtual RunResult run(std::span<const std::int64_t> ids, const RunOptions& options,
                        const JobControl& control = {}) = 0;

  /// Continues `prompt` with a KV cache; returns the new ids only.
  virtual std::vector<std::int64_t> generate(std::span<const std::int64_t> prompt, const GenerateOptions& options,
                                             const JobControl& control = {}) = 0;
};

/// Devices that LibTorch can use here, "cpu" first. Loads libtorch_cuda.so on the first call where there is a driver.
struct DeviceInfo {
  std::string name;         ///< "cpu", "cuda:0"
  std::string description;  ///< "NVIDIA H100 80GB HBM3", "AMD EPYC, 2 cores, AVX-512"
  std::uint64_t totalBytes = 0, freeBytes = 0;
};
std::vector<DeviceInfo> listDevices();

}  // namespace headscope
