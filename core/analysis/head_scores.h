#pragma once

// The scores of a head that cli.md names: TAPPA's self-similarities (tappa.md 1) and the field's common figures from
// its attention rows. Row-wise scores come from one fused pass over the rows of the head: logits in blocks, in
// double, never a tokens × tokens map.

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "core/analysis/head_vectors.h"
#include "core/base/job_control.h"

namespace headscope {

/// One value per head. The order is that of cli.md, "Score names".
enum class Score {
  QSimilarityConsecutive,
  QSimilarityConsecutiveRope,
  QSimilarityKv,
  QSimilarityPrune,
  KSimilarityConsecutive,
  Entropy,
  SinkMass,
  PreviousToken,
  SelfMass,
  DuplicateToken,
  Induction,
  LocalMass,
  MeanDistance,
  VerticalSlashRecall,
};
constexpr std::size_t kScoreCount = 14;

/// What a figure is, for tables, exports and the "?" buttons.
struct ScoreDefinition {
  std::string_view name;      ///< as in exports: "q_similarity_kv"
  std::string_view label;     ///< for people: "q-similarity, KV setting"
  std::string_view unit;      ///< "cosine", "nats", "probability", "tokens"
  std::string_view text;      ///< one line: formula, range of the means, source
  std::string_view helpPage;  ///< file in resources/help without ending: "scores"
  double low, high;           ///< range for colour scales; high is infinite where the text sets it (entropy, distance)
};

/// [kScoreCount], indexed by Score.
std::span<const ScoreDefinition> scoreDefinitions();
const ScoreDefinition& definition(Score score);
/// Further figures of a report under their exported names: the eight measures, case scores, block influence, bounds.
std::span<const ScoreDefinition> furtherDefinitions();

/// NaN = does not exist here: too few tokens, or no ids for duplicate_token and induction.
struct HeadScores {
  std::array<double, kScoreCount> values = filled();

  double operator[](Score score) const noexcept { return values[static_cast<std::size_t>(score)]; }
  double& operator[](Score score) noexcept { return values[static_cast<std::size_t>(score)]; }

 private:
  static std::array<double, kScoreCount> filled() {
    std::array<double, kScoreCount> array;
    array.fill(std::numeric_limits<double>::quiet_NaN());
    return array;
  }
};

/// Earlier occurrences of each token's id; made once per capture.
class EarlierTokens {
 public:
  EarlierTokens() = default;  ///< no ids: the two scores that need them don't exist
  explicit EarlierTokens(std::span<const std::int64_t> ids);

  bool known() const noexcept { return !previous_.empty(); }
  /// The latest position before t with the same id, or −1. Follow it to find all of them.
  std::int64_t previous(std::int64_t t) const noexcept { return previous_[static_cast<std::size_t>(t)]; }

 private:
  std::vector<std::int64_t> previous_;
};

/// Which rows the row-wise scores use.
struct RowSample {
  std::int64_t rows = 0;  ///< 0: all, exact. Otherwise about so many, in short runs spread evenly: an estimate
  bool exact(std::int64_t tokens) const noexcept { return rows <= 0 || rows >= tokens; }
};

/// Curves along the axes of the map, from the same pass.
struct RowCurves {
  std::vector<double> entropy;       ///< [tokens] nats; NaN for rows that were not sampled
  std::vector<double> receivedMass;  ///< [tokens] mean over the (sampled) rows t ≥ i of p(t, i)
};

/// How `vertical_slash_recall` chooses its lines (MInference, arXiv 2407.02490, does it with fixed numbers): the
/// probe is the last `probeRows` queries; the columns and the distances with the most mass there are kept.
struct VerticalSlashRule {
  std::int64_t probeRows = 64;
  double columnShare = 1.0 / 32;    ///< columns kept: ⌈share · tokens⌉
  double distanceShare = 1.0 / 32;  ///< distances kept: ⌈share · tokens⌉
};

/// ⌈share · tokens⌉, at most `tokens`.
std::int64_t keptLines(double share, std::int64_t tokens);

/// The scores from `Entropy` on. `curves` may be null.
void attentionScores(const HeadVectors& head, const EarlierTokens& earlier, const RowSample& sample,
                     const VerticalSlashRule& rule, HeadScores& scores, RowCurves* curves = nullptr,
                     const JobControl& control = {});

/// The self-similarities: `QSimilarityConsecutive` … `KSimilarityConsecutive`. Always exact.
void similarityScores(const HeadVectors& head, HeadScores& scores);

}  // namespace headscope
