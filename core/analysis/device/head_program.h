#pragma once

// The kernels (kernels/), ready to run: on a GPU, compiled by NVRTC when they are first needed, or in tests on
// the processor. Inside core/analysis/device only.

#include <cstdint>
#include <memory>
#include <string>

namespace headscope::device {

class HeadProgram {
 public:
  /// The program of a GPU, made once per process. Null where it can't be; `reason` then says why.
  static std::shared_ptr<HeadProgram> open(int gpu, std::string& reason);

  virtual ~HeadProgram() = default;

  /// Starts a kernel on the device's default stream. `threads` per block; the arguments as CUDA takes them, the
  /// first a Batch. Throws Error, also where the program can't be compiled.
  virtual void launch(const char* kernel, std::int64_t blocksX, std::int64_t blocksY, int threads,
                      std::size_t sharedBytes, void** arguments) = 0;
  /// Compiles for q and k of a type (Batch::type), if that isn't done. Throws Error.
  virtual void prepare(int /*type*/) {}
  virtual int gpu() const noexcept = 0;                ///< −1: the kernels run on the processor
  virtual int threads(int wanted) const noexcept = 0;  ///< of a block that would best have so many
  virtual int warp() const noexcept = 0;
  virtual void enter() = 0;  ///< on each thread, first
};

}  // namespace headscope::device
