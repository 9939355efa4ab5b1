#include "core/model/model.h"

#include <algorithm>
#include <new>
#include <utility>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include "core/base/error.h"
#include "core/model/detail/engine.h"
#include "core/model/detail/generate.h"
#include "core/model/detail/prefill.h"

namespace headscope {
namespace {

// LibTorch's exceptions become Errors of one line.
template <typename Work>
auto guarded(const std::string& where, Work&& work) {
  try {
    return work();
  } catch (const c10::OutOfMemoryError&) {
    throw Error(where, "GPU memory is not enough: a shorter text, or --device cpu", ErrorKind::Memory);
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool memory = text.find("allocate") != std::string::npos;
    throw Error(where, text.substr(0, text.find('\n')), memory ? ErrorKind::Memory : ErrorKind::Input);
  } catch (const std::bad_alloc&) {
    throw Error(where, "memory is not enough", ErrorKind::Memory);
  }
}

class TorchModel : public Model {
 public:
  TorchModel(Engine engine, ModelOptions options)
      : options_(std::move(options)), engine_(std::move(engine)), info_(modelInfo(engine_.files)) {}

  const ModelInfo& info() const override { return info_; }
  std::string device() const override { return engine_.placement.device(); }
  std::string arithmetic() const override { return arithmeticName(engine_.type()); }

  RunResult run(std::span<const std::int64_t> ids, const RunOptions& options, const JobControl& control) override {
    return guarded(info_.name, [&] {
      const c10::InferenceMode inference;
      const auto tokens = static_cast<std::int64_t>(ids.size());
      enterEngine(engine_, options.block > 0 ? std::min(options.block, tokens) : tokens);
      if (!gpuHasRoom(engine_, gpuBytesNeeded(engine_, tokens))) {
        moveToHost(control);
      }
      RunResult result;
      if (!runThere(ids, options, control, result)) {
        moveToHost(control);
        result = prefill(engine_, ids, options, control);
      }
      result.notes.insert(result.notes.end(), notes_.begin(), notes_.end());
      return result;
    });
  }

  std::vector<std::int64_t> generate(std::span<const std::int64_t> prompt, const GenerateOptions& options,
                                     const JobControl& control) override {
    return guarded(info_.name, [&] {
      const c10::InferenceMode inference;
      enterEngine(engine_, 1);
      return generateIds(engine_, prompt, options, control);
    });
  }

 private:
  // False: the GPU's memory was not enough, and nobody has seen anything of the run yet.
  bool runThere(std::span<const std::int64_t> ids, const RunOptions& options, const JobControl& control,
                RunResult& result) {
    try {
      result = prefill(engine_, ids, options, control);
      return true;
    } catch (const c10::OutOfMemoryError&) {
      if (!engine_.usesGpu() || (options.capture && options.started) || options.hidden || options.layerDone) {
        throw;
      }
      return false;
    }
  }

  void moveToHost(const JobControl& control) {
    ModelOptions host = options_;
    host.device = "cpu";
    host.arithmetic = ArithmeticType::Auto;
    engine_ = Engine();
    engine_ = loadEngine(info_.path, host, control);
    notes_.push_back("GPU memory is not enough for this text: it runs on the processor");
  }

  ModelOptions options_;
  Engine engine_;
  ModelInfo info_;
  std::vector<std::string> notes_;
};

}  // namespace

std::shared_ptr<Model> Model::open(const std::filesystem::path& path, const ModelOptions& options,
                                   const JobControl& control) {
  return guarded(path.string(), [&]() -> std::shared_ptr<Model> {
    const c10::InferenceMode inference;
    return std::make_shared<TorchModel>(loadEngine(path, options, control), options);
  });
}

}  // namespace headscope
