#pragma once

// Heads built from TAPPA's theorems, one per case: exact queries and keys whose attention must show that case. A
// gallery for teaching, and ground truth for the classifier (cases.h). All channels are written as complex numbers,
// half-split or interleaved pairs; σ = 1/√dim.
//   re-access (5.1): q nearly constant, its strength in a channel too slow to turn within the text; a few keys aligned
//   with it sequential (5.2): q and k nearly constant, several fast channels in phase at one distance periodic
//   sequential (5.3): q and k nearly constant, one channel dominates and turns several times within the text seasonal
//   (5.4): q and k repeat every L tokens, L a whole number of turns of the dominant channel unpredictable: q and k
//   random

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/analysis/cases.h"
#include "core/capture/capture.h"

namespace headscope {

struct ConstructionPlan {
  Case kind = Case::ReAccess;
  std::int64_t tokens = 192;  ///< at least 64
  int dim = 32;               ///< all dims rotate; even, at least 16
  double base = 10000.0;
  RopePairing pairing = RopePairing::Half;
  double noise = 0.05;  ///< standard deviation of what is added to every element, as a share of the rms of q (k)
  unsigned seed = 1;
};

struct ConstructedHead {
  ConstructionPlan plan;
  Rope rope;
  double scale = 1.0;
  std::vector<float> q, k;             ///< [tokens, dim] before RoPE
  std::optional<int> dominantChannel;  ///< where the construction has one
  std::optional<double> period;        ///< tokens: of the diagonals, or the season
  std::optional<std::int64_t> offset;  ///< distance of the main diagonal
  std::vector<std::int64_t> columns;   ///< keys that every row returns to
  std::string explanation;             ///< what to look at, in plain words

  /// Case, theorem, explanation and the figures to look for: the head's note in the gallery.
  std::string note() const;
};

/// Deterministic for a plan. Throws Error if the plan leaves no room (too few tokens or dims).
ConstructedHead constructHead(const ConstructionPlan& plan);

/// A plan for a case with everything else drawn at random; `noise` is kept.
ConstructionPlan randomPlan(Case kind, double noise, unsigned seed);

HeadVectors headVectors(const ConstructedHead& head);

/// "Theorem 5.1" …; for unpredictable heads "Proposition 4.1": where queries move, logits must.
std::string_view constructedFrom(Case kind);

/// One layer, one head a case in the order of Case, as a capture that the window and the command line open like any
/// other. Each head's note (CaptureHeader::headNotes) says how it was built.
std::shared_ptr<const Capture> galleryCapture(double noise = 0.05, unsigned seed = 1);
std::vector<ConstructedHead> gallery(double noise = 0.05, unsigned seed = 1);

}  // namespace headscope
