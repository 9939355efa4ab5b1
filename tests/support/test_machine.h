#pragma once

// Where the suites of models run: on the CPU, or on the device that HEADSCOPE_TEST_DEVICE names ("cuda", "cuda:1"), in
// float32 all the same, so that one command checks a GPU against the same goldens to the same tolerances.

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

}  // namespace headscope::test
