// What a kernel (kernels/) gets: plain numbers and pointers into the device's memory. Read by the C++ compiler
// and, as text before the kernels, by NVRTC: nothing may be included here.
//
// H query heads and K KV heads of layers that work alike, T tokens of D dims; query head h reads KV head h / group.
// "Rows" n are the query heads, then the KV heads. Channels C and pairs P are RoPE's pairs of dims, then the unrotated
// dims two by two (lag_curves.h). What is computed is what core/analysis computes on the processor, in double, too.

#ifndef HEADSCOPE_HEAD_LAYOUT
#define HEADSCOPE_HEAD_LAYOUT

namespace headscope::device {

typedef long Index;  ///< std::int64_t, which NVRTC does not know

/// A step after RoPE: an RMS norm, or a scale by position (capture.h).
struct Step {
  int norm;
  double beta, eps;
  Index original;
  const float *q, *k;  ///< [D] of a norm
};

/// Columns of `figures`, one row a query head.
enum Figure {
  kQueryConsecutive,
  kQueryConsecutiveDot,
  kQueryKv,
  kQueryPrune,
  kKeyConsecutive,
  kDominantChannel,  ///< −1: none
  kDominance,        ///< 0: none
  kPredictedPeriod,  ///< 0: none
  kDiagonalPeriod,   ///< P of Theorem 5.3 in tokens, 0: none
  kSeason,           ///< L of Theorem 5.4, 0: none
  kMeasuredPeriod,   ///< of the mean logit by distance, 0: none
  kMeasuredStrength,
  kExpectedPeriod,  ///< of the predicted logit by distance, 0: none
  kExpectedStrength,
  kProminentLag,  ///< the season of the cases, 0: none
  kFigures
};

/// Columns of `correlations`: what no mean explains (case_prediction.h).
enum Correlation {
  kDeviation,
  kColumnStep,
  kColumnFirst,
  kColumnSecond,
  kColumnSeason,
  kColumnHalfSeason,
  kDiagonalStep,
  kDiagonalFirst,
  kDiagonalSecond,
  kCorrelations
};

/// Agreements of the rows around one anchor.
enum Agreement {
  kAgreeColumnStep,
  kAgreeDiagonalStep,
  kAgreeColumnFirst,
  kAgreeDiagonalFirst,
  kAgreeColumnSecond,
  kAgreeDiagonalSecond,
  kAgreeSeason,
  kAgreeBetween,
  kAgreeEcho,
  kAgreeHasAnchor,  ///< 1: there is such an anchor
  kAgreeHasEcho,
  kAgreements
};

/// Sums over rows.
enum RowScore {
  kRowEntropy,
  kRowSink,
  kRowPrevious,
  kRowSelf,
  kRowLocal,
  kRowDistance,
  kRowRecall,
  kRowDuplicate,
  kRowInduction,
  kRowScores
};

/// Totals of one statement (bounds.h) over rows.
enum Total { kPairs, kRatioSum, kRatioMax, kBoundMax, kExcessMax, kTotals };
constexpr int kStatements = 5;

constexpr int kChunk = 256;        ///< tokens of a partial sum; the stride of the pruning setting's segments
constexpr int kSegmentChunks = 4;  ///< chunks of a segment
constexpr int kSums = 10;          ///< numbers of a partial sum, see chunkSums
constexpr int kRowsAtOnce = 4;     ///< whose partial sums one block makes
constexpr int kAnchorRows = 6;     ///< rows at an anchor, + 1, + first lag, + second lag, + season, + half a season
constexpr int kBoundRows = 5;      ///< rows of a bound: t, t + 1, t + season, change, turn
constexpr int kBoundFactors = 3;   ///< left factors of a bound: column, season, period
constexpr int kSlices = 4;         ///< in which `correlations` walks the tokens

struct Batch {
  Index tokens;
  int dim, channels, interleaved, pairs, heads, kvHeads, group;
  int type;  ///< of q and k: 0 float32, 1 float16, 2 bfloat16
  double scale, attentionScaling;
  double softcap;  ///< 0: none
  Index window;    ///< 0: none
  int steps;
  Step step[4];

  const void *q, *k;        ///< [H, T, D], [K, T, D] before RoPE
  const float* lse;         ///< [H, T] or null
  const float* sinks;       ///< [H] or null
  const Index* positions;   ///< [T]
  Index evenStep;           ///< from one position to the next, where RoPE is all and all are alike; else −1
  const double* frequency;  ///< [C] radians per token
  double* turns;            ///< [T, 2 C] cos, then sin, at the positions
  double* distances;        ///< [T, 2 C] the same at 0 … T − 1

  const double *weightQ, *weightK;                   ///< [D] of all norms after RoPE; null without steps
  double* factor;                                    ///< [H + K, T] of the steps; null without steps
  double *norm, *normDot, *product, *productDot;     ///< [H + K, T]; products with the next row
  double* keyStep;                                   ///< [K, T] |K_{i+1} − K_i|
  double* sums;                                      ///< [H + K, chunks, P, kSums]
  double *mean, *meanDot, *meanUnrotated, *lengths;  ///< [H + K, D], the last one [H + K, C]
  double* figures;                                   ///< [H, kFigures]
  double *keys, *keyFactors;                         ///< [K, T, D] in the dot product; [K, T, 1 + C]
  Index lagTokens, fourier;                          ///< tokens looked at and length of a transform
  double* weights;                                   ///< [K, P] variance of the keys
  double *queryWaves, *keyWaves, *cross, *power;     ///< complex [H, P, fourier], [K, …], [H, fourier], [H, fourier]
  double *logitByLag, *queryByLag, *cosineByLag;     ///< [H, lagTokens]
  double *amplitude, *constant, *predicted;          ///< [H, 2 C], [H], [H, T]: logit by distance, from the means
  double *keyAmplitude, *keyConstant, *keyPart;      ///< the same for the part that depends on the key
  Index lagFirst, lagSecond;                         ///< of the cases
  double* correlations;                              ///< [H, kCorrelations]
  const double* noise;                               ///< [2 T]
  double* drawn;                                     ///< [H, anchors, 2, T]
  double *predictedAgreements, *measuredAgreements;  ///< [H, anchors, kAgreements]
  Index anchorsPredicted, anchors;
  Index* anchorTokens;                       ///< [H, anchors · kAnchorRows]; −1: none
  double* columnMass;                        ///< [H, T] of the probe
  double* distanceMass;                      ///< [H, T]
  unsigned char *columnLine, *distanceLine;  ///< [H, T] 1: kept
  Index columnLines, distanceLines;          ///< how many are kept
  const Index *order, *group0, *earlier;     ///< [T] tokens by id; where t's id begins there; how many come before t
  double* periodDistance;                    ///< [H, T] |K_{i−P} − K_i|
};

}  // namespace headscope::device

#endif
