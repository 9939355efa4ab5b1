#include "core/analysis/constructed_heads.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <complex>
#include <numbers>
#include <random>

#include "core/analysis/logit_rows.h"

namespace headscope {
namespace {

using Complex = std::complex<double>;

/// Queries and keys of one head under construction, [tokens, channels] as complex numbers.
class Construction {
 public:
  explicit Construction(const ConstructionPlan& plan)
      : plan_(plan),
        random_(plan.seed),
        channels_(plan.dim / 2),
        q_(static_cast<std::size_t>(plan.tokens * channels_)),
        k_(q_.size()) {
    if (plan.tokens < 64 || plan.dim < 16 || plan.dim % 2 != 0 || !(plan.base > 1) || !(plan.noise >= 0)) {
      throw Error("",
                  "a constructed head needs 64 tokens, an even dim of at least 16, a RoPE base above 1, noise from 0");
    }
    head_.plan = plan;
    head_.scale = 1 / std::sqrt(static_cast<double>(plan.dim));
    head_.rope.pairing = plan.pairing;
    head_.rope.rotaryDims = plan.dim;
    head_.rope.base = plan.base;
    for (int m = 0; m < channels_; ++m) {
      head_.rope.invFreq.push_back(std::pow(plan.base, -2.0 * m / plan.dim));
    }
  }

  ConstructedHead build() {
    switch (plan_.kind) {
      case Case::ReAccess:
        reAccess();
        break;
      case Case::Sequential:
        sequential();
        break;
      case Case::PeriodicSequential:
        periodic();
        break;
      case Case::Seasonal:
        seasonal();
        break;
      case Case::Unpredictable:
        unpredictable();
        break;
    }
    store(q_, head_.q);
    store(k_, head_.k);
    return std::move(head_);
  }

 private:
  void reAccess();
  void sequential();
  void periodic();
  void seasonal();
  void unpredictable();

  double normal() { return normal_(random_); }
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }
  std::int64_t whole(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  Complex& q(std::int64_t t, int m) { return q_[static_cast<std::size_t>(t * channels_ + m)]; }
  Complex& k(std::int64_t t, int m) { return k_[static_cast<std::size_t>(t * channels_ + m)]; }
  double theta(int m) const { return head_.rope.invFreq[static_cast<std::size_t>(m)]; }
  double turn(int m) const { return 2 * std::numbers::pi / theta(m); }
  /// Amplitude of q and k in one channel such that its part of the logit swings by ± `logit`.
  double amplitude(double logit) const { return std::sqrt(logit / head_.scale); }

  /// The channels whose turn is from `low` to `high` tokens.
  std::vector<int> channelsBetween(double low, double high) const {
    std::vector<int> found;
    for (int m = 0; m < channels_; ++m) {
      if (turn(m) >= low && turn(m) <= high) {
        found.push_back(m);
      }
    }
    return found;
  }
  int pick(const std::vector<int>& from) {
    if (from.empty()) {
      throw Error("", "no RoPE channel of this plan turns as the construction needs it");
    }
    return from[static_cast<std::size_t>(whole(0, static_cast<std::int64_t>(from.size()) - 1))];
  }

  /// The same q and k everywhere in channel m, in phase at distance `offset`.
  void constant(int m, double logit, std::int64_t offset) {
    const Complex phase = std::polar(1.0, uniform(0, 2 * std::numbers::pi));
    for (std::int64_t t = 0; t < plan_.tokens; ++t) {
      q(t, m) = amplitude(logit) * phase * std::polar(1.0, -static_cast<double>(offset) * theta(m));
      k(t, m) = amplitude(logit) * phase;
    }
  }

  void store(const std::vector<Complex>& rows, std::vector<float>& target) {
    double squares = 0;
    for (const Complex& x : rows) {
      squares += std::norm(x);
    }
    const double noise = plan_.noise * std::sqrt(squares / static_cast<double>(2 * rows.size()));
    target.resize(2 * rows.size());
    for (std::int64_t t = 0; t < plan_.tokens; ++t) {
      for (int m = 0; m < channels_; ++m) {
        const Complex x = rows[static_cast<std::size_t>(t * channels_ + m)];
        float* row = target.data() + t * plan_.dim;
        row[head_.rope.first(m)] = static_cast<float>(x.real() + noise * normal());
        row[head_.rope.second(m)] = static_cast<float>(x.imag() + noise * normal());
      }
    }
  }

  const ConstructionPlan plan_;
  std::mt19937 random_;
  std::normal_distribution<double> normal_;
  int channels_;
  std::vector<Complex> q_, k_;
  ConstructedHead head_;
};

void Construction::reAccess() {
  const int slow = pick(channelsBetween(8.0 * static_cast<double>(plan_.tokens), 1e300));
  const Complex phase = std::polar(1.0, uniform(0, 2 * std::numbers::pi));
  const double size = amplitude(4);
  for (std::int64_t t = 0; t < plan_.tokens; ++t) {
    q(t, slow) = size * phase;
    k(t, slow) = size * (0.4 * normal()) * phase;
    for (int m = 0; m < channels_; ++m) {
      k(t, m) += 0.15 * size * Complex(normal(), normal());
    }
  }
  const std::int64_t count = whole(1, 4);
  for (std::int64_t c = 0; c < count; ++c) {
    const std::int64_t column = c == 0 ? whole(0, 3) : whole(0, plan_.tokens * 2 / 3);
    head_.columns.push_back(column);
    k(column, slow) = size * uniform(2.0, 2.6) * phase;
  }
  std::sort(head_.columns.begin(), head_.columns.end());
  head_.columns.erase(std::unique(head_.columns.begin(), head_.columns.end()), head_.columns.end());
  head_.dominantChannel = slow;
  head_.explanation =
      "Queries barely change, and their strength lies in a channel that turns too slowly to matter: what a row attends "
      "to, the next "
      "attends to as well. Columns.";
}

void Construction::sequential() {
  const std::vector<int> fast = channelsBetween(0, static_cast<double>(plan_.tokens) / 4);
  const std::int64_t offset = whole(0, 6);
  const auto used = std::min<std::size_t>(fast.size(), static_cast<std::size_t>(whole(5, 8)));
  if (used < 4) {
    throw Error("", "too few fast RoPE channels for one diagonal");
  }
  const double logit = uniform(14, 20) / static_cast<double>(used);
  for (std::size_t j = 0; j < used; ++j) {
    constant(fast[j], logit, offset);
  }
  head_.offset = offset;
  head_.explanation =
      "Queries and keys barely change, so only the distance counts. Several fast channels agree at one distance alone: "
      "one diagonal.";
}

void Construction::periodic() {
  const int dominant = pick(channelsBetween(6.2, static_cast<double>(plan_.tokens) / 4.5));
  const std::int64_t offset = whole(0, 4);
  constant(dominant, uniform(6, 9), offset);
  for (int m = 0; m < channels_; ++m) {
    if (m != dominant) {
      constant(m, uniform(0.02, 0.1), offset);
    }
  }
  head_.dominantChannel = dominant;
  head_.period = turn(dominant);
  head_.offset = offset;
  head_.explanation =
      "Queries and keys barely change, and one channel dominates: every full turn of it brings the same logit again. "
      "Parallel diagonals, "
      "one period apart.";
}

void Construction::seasonal() {
  // A season is a whole number of tokens close to a whole number of turns.
  std::vector<std::pair<int, std::int64_t>> choices;
  for (const int m : channelsBetween(6.2, static_cast<double>(plan_.tokens) / 5)) {
    for (int turns = 1; turns <= 3; ++turns) {
      const double exact = turns * turn(m);
      if (std::abs(exact - std::round(exact)) * theta(m) < 0.08 && exact < static_cast<double>(plan_.tokens) / 5 &&
          exact > 8) {
        choices.emplace_back(m, std::llround(exact));
      }
    }
  }
  if (choices.empty()) {
    throw Error("", "no whole number of tokens is close to whole turns of a RoPE channel");
  }
  const auto [dominant, season] =
      choices[static_cast<std::size_t>(whole(0, static_cast<std::int64_t>(choices.size()) - 1))];
  const double size = amplitude(uniform(6, 9));
  std::vector<Complex> queries, keys;
  for (std::int64_t t = 0; t < season; ++t) {
    queries.push_back(size * Complex(normal(), normal()) * std::numbers::sqrt2 / 2.0);
    keys.push_back(size * Complex(normal(), normal()) * std::numbers::sqrt2 / 2.0);
  }
  const int slow = channels_ - 1;
  for (std::int64_t t = 0; t < plan_.tokens; ++t) {
    const auto phase = static_cast<std::size_t>(t % season);
    q(t, dominant) = queries[phase];
    k(t, dominant) = keys[phase];
    q(t, slow) = 0.4 * std::abs(queries[phase]);
    k(t, slow) = 0.4 * keys[phase];
  }
  head_.dominantChannel = dominant;
  head_.period = static_cast<double>(season);
  head_.explanation =
      "Queries and keys repeat, and the repeat is a whole number of turns of the dominant channel: every row comes "
      "back one season later.";
}

void Construction::unpredictable() {
  const double size = std::sqrt(uniform(2, 4) / std::sqrt(2.0 * channels_) / head_.scale);
  for (std::size_t j = 0; j < q_.size(); ++j) {
    q_[j] = size * Complex(normal(), normal());
    k_[j] = size * Complex(normal(), normal());
  }
  head_.explanation =
      "Queries and keys are random: nothing carries over from one row to the next. This is how a retrieval head looks "
      "from outside.";
}

CaptureHeader galleryHeader(const std::vector<ConstructedHead>& heads) {
  const ConstructedHead& first = heads.front();
  CaptureHeader header;
  header.model = "Gallery of constructed heads";
  header.family = "constructed";
  header.layers = 1;
  header.heads = header.kvHeads = static_cast<int>(heads.size());
  header.headDim = first.plan.dim;
  AttentionSpec spec;
  spec.scale = first.scale;
  spec.rope = 0;
  header.attention = {spec};
  header.ropes = {first.rope};
  for (const ConstructedHead& head : heads) {
    header.headNotes.push_back(head.note());
  }
  for (std::int64_t t = 0; t < first.plan.tokens; ++t) {
    header.ids.push_back(t);
    header.tokens.push_back(concat("·", t));
    header.text += header.tokens.back();
  }
  return header;
}

}  // namespace

std::string_view constructedFrom(Case kind) {
  constexpr std::array<std::string_view, kCaseCount> kSources{"Theorem 5.1", "Theorem 5.2", "Theorem 5.3",
                                                              "Theorem 5.4", "Proposition 4.1"};
  return kSources[static_cast<std::size_t>(kind)];
}

std::string ConstructedHead::note() const {
  std::string text(caseLabel(plan.kind));
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  text += concat(", built from ", constructedFrom(plan.kind), ". ", explanation);
  std::string keys;
  for (const std::int64_t column : columns) {
    keys += concat(keys.empty() ? "" : ", ", column);
  }
  if (!keys.empty()) {
    text += concat(" Look for: key ", keys, ".");
  } else if (plan.kind == Case::Seasonal) {
    text += concat(" Look for: rows that return after ", std::llround(*period), " tokens.");
  } else if (period) {
    text += concat(" Look for: a diagonal every ", std::round(*period * 10) / 10, " tokens.");
  } else if (offset) {
    text += concat(" Look for: distance ", *offset, ".");
  }
  return text;
}

ConstructedHead constructHead(const ConstructionPlan& plan) {
  return Construction(plan).build();
}

ConstructionPlan randomPlan(Case kind, double noise, unsigned seed) {
  std::mt19937 random(seed * 7919u + static_cast<unsigned>(kind));
  const auto choose = [&random](auto... values) {
    const std::array choices{values...};
    return choices[std::uniform_int_distribution<std::size_t>(0, choices.size() - 1)(random)];
  };
  ConstructionPlan plan;
  plan.kind = kind;
  plan.noise = noise;
  plan.seed = seed;
  plan.tokens = std::uniform_int_distribution<std::int64_t>(160, 400)(random);
  plan.dim = choose(32, 48, 64, 128);
  plan.base = choose(1e4, 1e5, 5e5, 1e6);
  plan.pairing = choose(RopePairing::Half, RopePairing::Interleaved);
  return plan;
}

HeadVectors headVectors(const ConstructedHead& head) {
  AttentionSpec spec;
  spec.scale = head.scale;
  return makeHeadVectors({head.q.begin(), head.q.end()}, {head.k.begin(), head.k.end()}, head.plan.dim, spec,
                         head.rope);
}

std::vector<ConstructedHead> gallery(double noise, unsigned seed) {
  std::vector<ConstructedHead> heads;
  for (std::size_t c = 0; c < kCaseCount; ++c) {
    ConstructionPlan plan;
    plan.kind = static_cast<Case>(c);
    plan.noise = noise;
    plan.seed = seed + static_cast<unsigned>(c);
    heads.push_back(constructHead(plan));
  }
  return heads;
}

std::shared_ptr<const Capture> galleryCapture(double noise, unsigned seed) {
  const std::vector<ConstructedHead> heads = gallery(noise, seed);
  const ConstructionPlan& plan = heads.front().plan;
  CaptureBuilder::Options options;
  options.shapes = {{static_cast<int>(heads.size()), static_cast<int>(heads.size()), plan.dim}};
  CaptureBuilder builder(galleryHeader(heads), plan.tokens, options);
  const CaptureBuilder::Target target = builder.target(0);
  auto* q = reinterpret_cast<float*>(target.q);
  auto* k = reinterpret_cast<float*>(target.k);
  float* lse = target.lse;
  for (const ConstructedHead& head : heads) {
    q = std::copy(head.q.begin(), head.q.end(), q);
    k = std::copy(head.k.begin(), head.k.end(), k);
    for (const double value : logSumExp(headVectors(head))) {
      *lse++ = static_cast<float>(value);
    }
  }
  builder.finishLayer(0);
  builder.finish();
  return builder.capture();
}

}  // namespace headscope
