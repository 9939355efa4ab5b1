#pragma once

// The kernels of core/analysis/device/kernels on the processor, one thread a block: checks what they compute
// where there is no GPU. What threads do to each other only a GPU shows.

#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/analysis/device/head_layout.h"
#include "core/analysis/device/head_program.h"

namespace headscope::device {

struct EmulatedIndex {
  unsigned x = 0, y = 0;
};
inline EmulatedIndex threadIdx, blockIdx, blockDim{1, 1}, gridDim;
inline std::vector<double> emulatedShared;

}  // namespace headscope::device

#define HEADSCOPE_EMULATED
#define HEADSCOPE_BLOCK_MEMORY(name) double* const name = emulatedShared.data()
#define HEADSCOPE_BARRIER() (void)0
#define HEADSCOPE_COUNT(counter) ++*(counter)
#define HEADSCOPE_CALLED inline
#define __device__ inline
#define __global__ inline
#define __shared__ static

namespace headscope::device {

constexpr int kWarp = 1;
inline double warpSum(double x) {
  return x;
}
inline double warpMax(double x) {
  return x;
}
inline float asFloat(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline unsigned long long bitsOf(double x) {
  return std::bit_cast<unsigned long long>(x);
}
using std::fabs, std::floor, std::fmax, std::fmin, std::sqrt;

}  // namespace headscope::device

// In the order of core/CMakeLists.txt.
// clang-format off
#include "core/analysis/device/kernels/common.inl"
#include "core/analysis/device/kernels/rows.inl"
#include "core/analysis/device/kernels/lags.inl"
#include "core/analysis/device/kernels/cases.inl"
#include "core/analysis/device/kernels/attention.inl"
#include "core/analysis/device/kernels/bounds.inl"
// clang-format on

#undef __device__
#undef __global__
#undef __shared__

namespace headscope::test {

class EmulatedProgram : public device::HeadProgram {
 public:
  void launch(const char* kernel, std::int64_t blocksX, std::int64_t blocksY, int, std::size_t sharedBytes,
              void** arguments) override {
    device::emulatedShared.resize(sharedBytes / sizeof(double));
    device::gridDim = {static_cast<unsigned>(blocksX), static_cast<unsigned>(blocksY)};
    for (unsigned y = 0; y < device::gridDim.y; ++y) {
      for (unsigned x = 0; x < device::gridDim.x; ++x) {
        device::blockIdx = {x, y};
        kernels_.at(kernel)(arguments);
      }
    }
  }
  int gpu() const noexcept override { return -1; }
  int threads(int) const noexcept override { return 1; }
  int warp() const noexcept override { return 1; }
  void enter() override {}

 private:
  using Kernel = void (*)(void**);

  template <auto function, typename... Parameters, std::size_t... At>
  static void callWith(void (*)(Parameters...), void** arguments, std::index_sequence<At...>) {
    function(*static_cast<Parameters*>(arguments[At])...);
  }
  template <auto function, typename... Parameters>
  static constexpr std::size_t countOf(void (*)(Parameters...)) {
    return sizeof...(Parameters);
  }
  template <auto function>
  static void call(void** arguments) {
    callWith<function>(function, arguments, std::make_index_sequence<countOf<function>(function)>());
  }

  std::map<std::string, Kernel> kernels_{
      {"angles", call<device::angles>},
      {"stepFactors", call<device::stepFactors>},
      {"rowStatistics", call<device::rowStatistics>},
      {"chunkSums", call<device::chunkSums>},
      {"summarize", call<device::summarize>},
      {"dominance", call<device::dominance>},
      {"prepareKeys", call<device::prepareKeys>},
      {"keyWeights", call<device::keyWeights>},
      {"loadWaves", call<device::loadWaves>},
      {"addWaves", call<device::addWaves>},
      {"finishLags", call<device::finishLags>},
      {"findSeason", call<device::findSeason>},
      {"findProminentLag", call<device::findProminentLag>},
      {"detrend", call<device::detrend>},
      {"findPeriod", call<device::findPeriod>},
      {"meanWaves", call<device::meanWaves>},
      {"addConstants", call<device::addConstants>},
      {"unexplained", call<device::unexplained>},
      {"predictCases", call<device::predictCases>},
      {"placeAnchors", call<device::placeAnchors>},
      {"measureCases", call<device::measureCases>},
      {"gatherRows", call<device::gatherRows>},
      {"softmaxRows", call<device::softmaxRows>},
      {"lineMass", call<device::lineMass>},
      {"markLines", call<device::markLines>},
      {"scoreRows", call<device::scoreRows>},
      {"scoreRetrieval", call<device::scoreRetrieval>},
      {"gatherBounds", call<device::gatherBounds>},
      {"periodDistances", call<device::periodDistances>},
      {"checkRows", call<device::checkRows>},
      {"addTotals", call<device::addTotals>},
  };
};

}  // namespace headscope::test
