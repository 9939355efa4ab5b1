#pragma once

// How far a model can be trusted: which reference its family was checked against, and checks of the opened model itself
// that need no reference.

#include <span>
#include <string>
#include <vector>

#include "core/base/job_control.h"
#include "core/model/model.h"

namespace headscope {

/// What the golden files of a family gave when this version was made (tst_model_families writes the table and
/// compares it with every run).
struct FamilyVerification {
  const char* family;     ///< model_type
  const char* reference;  ///< "transformers 5.23.0"
  int goldens;            ///< files compared
  double queries;         ///< q and k before and after RoPE, of max(1, largest magnitude)
  double probabilities;   ///< absolute
  double hidden;          ///< of the largest magnitude
  double logits;          ///< of the largest magnitude
  double largest() const noexcept;
};
std::span<const FamilyVerification> familyVerifications();
const FamilyVerification* findVerification(const std::string& family);

struct VerifyCheck {
  std::string name;
  std::string definition;  ///< one line
  double value = 0;
  double tolerance = 0;
  bool passed() const noexcept { return value <= tolerance; }
};

struct VerifyReport {
  std::string family;
  std::string status;     ///< "verified": golden files of the family and the model's own checks; "self-checked":
                          ///< these only; "failed": one of them did not pass
  std::string reference;  ///< in words: against what, how many files, largest error
  std::vector<VerifyCheck> checks;
};

/// Runs the model on a few dozen tokens several times.
VerifyReport verifyModel(Model& model, const JobControl& control = {});

}  // namespace headscope
