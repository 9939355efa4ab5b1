#include <array>
#include <limits>

#include "core/analysis/head_scores.h"

namespace headscope {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr std::array<ScoreDefinition, kScoreCount> kDefinitions{{
    {"q_similarity_consecutive", "q-similarity, consecutive", "cosine",
     "mean over t of cos(q_t, q_{t+1}), queries before RoPE; cosine, -1 to 1 (TAPPA, arXiv 2601.21709)", "similarity",
     -1, 1},
    {"q_similarity_consecutive_rope", "q-similarity, consecutive, after RoPE", "cosine",
     "mean over t of cos(q_t, q_{t+1}), queries as they enter the dot product (after RoPE); cosine, -1 to 1",
     "similarity", -1, 1},
    {"q_similarity_kv", "q-similarity, KV setting", "cosine",
     "published KV setting: mean cosine over all pairs of the last 32 queries (all, if fewer), after RoPE; cosine, -1 "
     "to 1; "
     "the layer's value is the mean over its heads",
     "similarity", -1, 1},
    {"q_similarity_prune", "q-similarity, pruning setting", "cosine",
     "published pruning setting on this document: mean cosine over all pairs of queries before RoPE in segments of at "
     "most 1024 "
     "tokens starting at 0, 256, ..., equal weight, segments of one token skipped; cut from one run; cosine, -1 to 1",
     "similarity", -1, 1},
    {"k_similarity_consecutive", "k-similarity, consecutive", "cosine",
     "mean over t of cos(k_t, k_{t+1}), keys of the head's KV head before RoPE; cosine, -1 to 1", "similarity", -1, 1},
    {"entropy", "entropy", "nats", "mean over rows t >= 1 of -sum_i p(t,i) ln p(t,i); nats, 0 to ln(tokens)", "scores",
     0, kInfinity},
    {"sink_mass", "sink mass", "probability", "mean over rows t >= 1 of p(t,0); probability, 0 to 1", "scores", 0, 1},
    {"previous_token", "previous token", "probability", "mean over rows t >= 1 of p(t,t-1); probability, 0 to 1",
     "scores", 0, 1},
    {"self_mass", "self", "probability", "mean over rows t >= 1 of p(t,t); probability, 0 to 1", "scores", 0, 1},
    {"duplicate_token", "duplicate token", "probability",
     "mean over rows t with an earlier equal token id of the sum of p(t,i) over those i; probability, 0 to 1", "scores",
     0, 1},
    {"induction", "induction", "probability",
     "mean over rows t with an earlier equal token id at i of the sum of p(t,i+1) (i+1 may be t); probability, 0 to 1",
     "scores", 0, 1},
    {"local_mass", "local mass (32)", "probability",
     "mean over rows t >= 1 of the sum of p(t,i) over t-31 <= i <= t; probability, 0 to 1", "scores", 0, 1},
    {"mean_distance", "mean distance", "tokens", "mean over rows t >= 1 of sum_i p(t,i) (t-i); tokens, 0 to tokens-1",
     "scores", 0, kInfinity},
    {"vertical_slash_recall", "vertical-slash recall", "probability",
     "mean over rows t >= 1 of the mass on ceil(tokens/32) columns and ceil(tokens/32) distances (each pair counted "
     "once): those "
     "with the most mass, unnormalised, in the last 64 query rows (rows >= 1), ties to the lower index; probability, 0 "
     "to 1 (after "
     "MInference, arXiv 2407.02490)",
     "scores", 0, 1},
}};

constexpr std::array<ScoreDefinition, 25> kFurther{{
    {"q_similarity_cosine", "q-similarity, cosine", "cosine",
     "mean cosine over all pairs of the last 1024 queries (all, if fewer), before RoPE; -1 to 1", "similarity", -1, 1},
    {"q_similarity_dot", "q-similarity, dot", "logit units",
     "mean dot product over all pairs of the last 1024 queries, before RoPE; unbounded", "similarity", -kInfinity,
     kInfinity},
    {"q_similarity_euclidean", "q-distance, euclidean", "distance",
     "mean of |q_s - q_t| over all pairs of the last 1024 queries, before RoPE; a DISTANCE: higher = less similar",
     "similarity", 0, kInfinity},
    {"q_similarity_l1", "q-distance, L1", "distance",
     "mean of sum_d |q_s - q_t| over all pairs of the last 1024 queries, before RoPE; a DISTANCE: higher = less "
     "similar",
     "similarity", 0, kInfinity},
    {"q_similarity_rbf", "q-similarity, RBF", "kernel",
     "mean of exp(-|q_s - q_t|^2 / 2) over all pairs of the last 1024 queries, before RoPE; 0 to 1", "similarity", 0,
     1},
    {"q_similarity_pearson", "q-similarity, Pearson / dim", "correlation",
     "mean correlation over the dims, divided by the head dim as published, over all pairs of the last 1024 queries, "
     "before RoPE",
     "similarity", -1, 1},
    {"q_similarity_angular", "q-distance, angle", "half turns",
     "mean of acos(cosine)/pi over all pairs of the last 1024 queries, before RoPE; 0 to 1; a DISTANCE: higher = less "
     "similar",
     "similarity", 0, 1},
    {"q_similarity_kl", "q-distance, symmetric KL", "nats",
     "mean of half the symmetric KL divergence of softmaxed queries (clamped at 1e-8, renormalised) over all pairs of "
     "the last 1024, "
     "before RoPE; nats; a DISTANCE: higher = less similar",
     "similarity", 0, kInfinity},
    {"block_influence", "block influence (published)", "1 - cosine",
     "1 - mean over t of cos(x before block, x after block); the last layer is compared with the model output after "
     "the final norm, as "
     "the published code does; 0 to 2 (ShortGPT, arXiv 2403.03853)",
     "block_influence", 0, 2},
    {"block_influence_residual", "block influence (residual)", "1 - cosine",
     "1 - mean over t of cos(x before block, x after block) of the residual stream, in every layer; 0 to 2",
     "block_influence", 0, 2},
    {"case_scores.re_access", "re-access", "score",
     "stability of the columns: sqrt(column(1) column(long)), column(l) = mass that rows t and t+l share beyond "
     "chance, long = the "
     "lower of two longer lags; 0 to 1",
     "cases", 0, 1},
    {"case_scores.sequential", "sequential", "score",
     "D (1 - pi): D = stability of the diagonals (row t against row t+l with keys moved by l, chance-corrected shared "
     "mass, l = 1 and "
     "longer), pi = the part that is periodic; 0 to 1",
     "cases", 0, 1},
    {"case_scores.periodic_sequential", "periodic sequential", "score",
     "D pi: pi = logistic step of the measured period's strength at 0.8 times that of the echo (a row against itself "
     "moved by whole "
     "periods) at 0.3; 0 to 1",
     "cases", 0, 1},
    {"case_scores.seasonal", "seasonal", "score",
     "rows that come back after L tokens but differ in between: column(L) (1 - min(column(1), column(L/2))) (1 - D); 0 "
     "to 1",
     "cases", 0, 1},
    {"case_scores.unpredictable", "unpredictable", "score", "1 - the largest of the four other case scores; 0 to 1",
     "cases", 0, 1},
    {"retrieval", "retrieval", "share",
     "needle prompt: share of the tokens of the longest repeated stretch (at least 5 tokens, at least 32 apart) whose "
     "largest p, in the row that predicts them, lies on the same token of the first occurrence; 0 to 1 (arXiv "
     "2404.15574)",
     "scores", 0, 1},
    {"retrieval_mass", "retrieval mass", "probability",
     "needle prompt: mean, over the same rows, of the probability on the first occurrence's token that comes next; 0 "
     "to 1",
     "scores", 0, 1},
    {"needle_retrieval", "retrieval, needle prompts", "share",
     "as retrieval, on three needle prompts of this program run with the open model: mean share of the needle's tokens "
     "that the head copies into the answer; 0 to 1 (arXiv 2404.15574)",
     "scores", 0, 1},
    {"dominant_channel", "dominant channel", "index",
     "RoPE channel m with the largest share of strength E_m = mean|q^m| mean|k^m|, before RoPE", "rope_lens", 0,
     kInfinity},
    {"period", "period", "tokens",
     "predicted: 2 pi / inv_freq of the dominant channel; measured: peak of the autocorrelation of the mean logit by "
     "distance, with its "
     "strength (believable above 0.8); tokens",
     "rope_lens", 0, kInfinity},
    {"bounds.prop_4_1", "Proposition 4.1", "bound / measured",
     "max_i |a(t+1,i) - a(t,i)| >= c1 |q_{t+1} - q_t| - c2; pairs: steps with a bound > 0; tightness: bound / "
     "measured, 0 to 1",
     "bounds", 0, 1},
    {"bounds.thm_5_1", "Theorem 5.1", "measured / bound",
     "|a(t+1,i) - a(t,i)| <= sigma (|dq_t||k_i| + sum_m 2|sin(theta_m/2)||q_t^m||k_i^m|); tightness: measured / bound, "
     "0 to 1",
     "bounds", 0, 1},
    {"bounds.thm_5_2", "Theorem 5.2", "measured / bound",
     "|a(t+1,i+1) - a(t,i)| <= sigma (|dq_t||k_{i+1}| + |q_t||dk_i|); tightness: measured / bound, 0 to 1", "bounds", 0,
     1},
    {"bounds.thm_5_3", "Theorem 5.3", "measured / bound",
     "|a(t,i-P) - a(t,i)| <= sigma (|q_t||k_{i-P} - k_i| + sum_m 2|sin(P theta_m/2)||q_t^m||k_i^m|), P = round(2 pi / "
     "theta of the "
     "dominant channel); tightness: measured / bound, 0 to 1",
     "bounds", 0, 1},
    {"bounds.thm_5_4", "Theorem 5.4", "measured / bound",
     "|a(t+L,i) - a(t,i)| <= sigma (|q_{t+L} - q_t||k_i| + sum_m 2|sin(L theta_m/2)||q_t^m||k_i^m|), L the season; "
     "tightness: "
     "measured / bound, 0 to 1",
     "bounds", 0, 1},
}};

}  // namespace

std::span<const ScoreDefinition> scoreDefinitions() {
  return kDefinitions;
}

const ScoreDefinition& definition(Score score) {
  return kDefinitions[static_cast<std::size_t>(score)];
}

std::span<const ScoreDefinition> furtherDefinitions() {
  return kFurther;
}

}  // namespace headscope
