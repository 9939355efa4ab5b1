#include "core/analysis/device/head_program.h"

#include <map>
#include <mutex>
#include <tuple>

#include "core/analysis/device/head_layout.h"
#include "core/analysis/head_kernels_source.h"  // made by CMake from head_layout.h and kernels/
#include "core/base/error.h"
#include "core/gpu/driver.h"

namespace headscope::device {
namespace {

class CudaProgram : public HeadProgram {
 public:
  explicit CudaProgram(gpu::Device device) : device_(std::move(device)) {}

  void launch(const char* kernel, std::int64_t blocksX, std::int64_t blocksY, int threads, std::size_t sharedBytes,
              void** arguments) override {
    gpu::launch(function(static_cast<const Batch*>(arguments[0])->type, kernel, sharedBytes),
                static_cast<unsigned>(blocksX), static_cast<unsigned>(blocksY), static_cast<unsigned>(threads),
                sharedBytes, arguments);
  }
  void prepare(int type) override {
    enter();
    const std::lock_guard lock(mutex_);
    module(type);
  }
  int gpu() const noexcept override { return device_.index; }
  int threads(int wanted) const noexcept override { return wanted; }
  int warp() const noexcept override { return 32; }
  void enter() override { gpu::enter(device_); }

 private:
  /// Of the program for q and k of a type.
  gpu::Function function(int type, const char* kernel, std::size_t sharedBytes) {
    const std::lock_guard lock(mutex_);
    const gpu::Module module = this->module(type);
    const auto [found, fresh] = functions_.try_emplace({type, kernel, sharedBytes});
    if (fresh) {
      found->second = gpu::function(module, kernel, sharedBytes);
    }
    return found->second;
  }

  /// With the mutex held.
  gpu::Module module(int type) {
    gpu::Module& made = modules_[type];
    if (made == nullptr) {
      const std::string architecture = concat("sm_", device_.major, device_.minor);
      made = gpu::loadModule(gpu::compile(kHeadKernels, architecture, {concat("HEADSCOPE_TYPE=", type)}));
    }
    return made;
  }

  gpu::Device device_;
  std::mutex mutex_;
  std::map<int, gpu::Module> modules_;  // for as long as the process lives
  std::map<std::tuple<int, std::string, std::size_t>, gpu::Function> functions_;
};

}  // namespace

std::shared_ptr<HeadProgram> HeadProgram::open(int gpu, std::string& reason) {
  static std::mutex mutex;
  static std::map<int, std::pair<std::shared_ptr<HeadProgram>, std::string>> opened;
  const std::lock_guard lock(mutex);
  const auto [found, fresh] = opened.try_emplace(gpu);
  if (fresh) {
    try {
      const gpu::Device device = gpu::openDevice(gpu);
      found->second.second = device.missing;
      if (device.missing.empty()) {
        found->second.first = std::make_shared<CudaProgram>(device);
      }
    } catch (const Error& error) {
      found->second.second = error.problem();
    }
  }
  reason = found->second.second;
  return found->second.first;
}

}  // namespace headscope::device
