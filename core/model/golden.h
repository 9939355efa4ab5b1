#pragma once

// Comparing a model run with a golden file: what another implementation (Hugging Face transformers) computed for the
// same weights and ids. The layout of the files is that of ../shared/models/families/README.md; names that a file
// lacks are not checked.

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/job_control.h"
#include "core/model/model.h"

namespace headscope {

/// The largest error over all tensors of one kind.
struct GoldenCheck {
  std::string quantity;    ///< "logits", "q before RoPE" …
  double error = 0;        ///< relative to `scale`
  double tolerance = 0;    ///< allowed error, likewise
  std::string definition;  ///< what the error is relative to
  std::string worst;       ///< the tensor with the largest error
  bool passed() const noexcept { return error <= tolerance; }
};

struct GoldenReport {
  std::string family, name, reference;  ///< model_type, case, "transformers 5.23.0"
  std::vector<GoldenCheck> checks;
  bool passed() const noexcept;
  const GoldenCheck* find(const std::string& quantity) const noexcept;
};

/// Runs the file's ids and compares everything in it. Tolerances are those of that README (of stories260K's README for
/// a file without its metadata), × `slack`: for arithmetic in less than float32.
GoldenReport checkGolden(Model& model, const std::filesystem::path& golden, double slack = 1.0,
                         const JobControl& control = {});

}  // namespace headscope
