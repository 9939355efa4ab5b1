#pragma once

// What is typed into the filter line, as a condition on heads. Terms are separated by spaces and all must hold:
//   L3  L3-5  H2  L3H2  kv1        places
//   flagged   note:word            flags
//   sink>0.5  entropy<=1           any score, by its name or the beginning of it
//   sequential  re-access …        the head's case
//   -term                          not

#include <QString>
#include <functional>
#include <vector>

#include "ui/heads/metrics.h"
#include "ui/session/session.h"

namespace headscope::ui {

/// What a filter looks at.
struct FilterContext {
  const Session& session;
  const ScoreTable& scores;
};

class HeadFilter {
 public:
  HeadFilter() = default;
  /// Never fails: a term that isn't understood (or not complete yet) is left out and named by problem().
  static HeadFilter parse(const QString& text);

  bool matches(HeadId head, const FilterContext& context) const;
  bool empty() const { return terms_.empty(); }
  QString problem() const { return problem_; }  ///< empty if every term was understood

 private:
  using Term = std::function<bool(HeadId, const FilterContext&)>;
  static Term parseTerm(const QString& word);

  std::vector<Term> terms_;
  QString problem_;
};

}  // namespace headscope::ui
