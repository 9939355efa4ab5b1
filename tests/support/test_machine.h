#pragma once

// Where the suites of models run: on the CPU, or on the device that HEADSCOPE_TEST_DEVICE names ("cuda", "cuda:1"), in
// float32 all the same, so that one command checks a GPU against the same goldens.

#include <cstdlib>

#include "core/model/model.h"

namespace headscope::test {

inline ModelOptions testMachine() {
  const char* device = std::getenv("HEADSCOPE_TEST_DEVICE");
  ModelOptions options;
  options.device = device != nullptr ? device : "cpu";
  options.arithmetic = ArithmeticType::F32;
  return options;
}

inline bool onCpu() {
  return testMachine().device == "cpu";
}

/// The tolerances of the goldens are for float32 on a CPU. A GPU adds in another order and gets twice as much: of
/// stories260K the golden file itself is 5.4e-6 away from float64, and a plain PyTorch loop on an H100 8.1e-6 away from
/// the golden file, of 1e-5 allowed.
inline double goldenSlack() {
  return onCpu() ? 1.0 : 2.0;
}

}  // namespace headscope::test
