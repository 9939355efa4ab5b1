#include "core/capture/lse_check.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/capture/capture_format.h"
#include "core/capture/prepared_rows.h"

namespace headscope {
namespace {

constexpr double kTolerance = 1e-2;
constexpr double kExhaustiveWork = 2e8;        ///< multiply-adds up to which every row is checked
constexpr std::int64_t kShortRows = 160;       ///< beyond that, rows up to here are cheap for every head
constexpr std::int64_t kLongKeys = 1'000'000;  ///< keys of long rows, one head a layer

struct Sampler {
  const Capture& capture;
  const std::string& where;
  bool exhaustive = false;
  std::int64_t longKeys = kLongKeys;  ///< left
};

std::int64_t firstKey(const AttentionSpec& spec, std::int64_t row) {
  return spec.window ? std::max<std::int64_t>(0, row - *spec.window + 1) : 0;
}

double rowLse(const AttentionSpec& spec, int dim, const float* query, const float* keys, std::int64_t count) {
  double largest = -HUGE_VAL;
  std::vector<double> logits(static_cast<std::size_t>(count));
  for (double& logit : logits) {
    float sum = 0;
    for (int d = 0; d < dim; ++d) {
      sum += query[d] * keys[d];
    }
    keys += dim;
    logit = spec.scale * static_cast<double>(sum);
    if (spec.softcap) {
      logit = *spec.softcap * std::tanh(logit / *spec.softcap);
    }
    largest = std::max(largest, logit);
  }
  double sum = 0;
  for (const double logit : logits) {
    sum += std::exp(logit - largest);
  }
  return largest + std::log(sum);
}

void compare(const Sampler& sampler, int layer, int head, std::int64_t row, double expected) {
  const float stored =
      sampler.capture.layer(layer).lse[static_cast<std::size_t>(head * sampler.capture.tokens() + row)];
  if (std::abs(static_cast<double>(stored) - expected) <= kTolerance) {
    return;
  }
  throw Error(sampler.where, concat("\"", capture_format::tensorName("lse", layer), "\" contradicts q and k: head ",
                                    head, ", token ", row, " has ", stored, ", they give ", expected));
}

// Rows [0, count) of one head that are in `rows`, over keys that are all within [0, count).
void checkHead(const Sampler& sampler, const RowPreparation& rows, int layer, int head,
               const std::set<std::int64_t>& sampled, const float* keys, std::int64_t keysFirst) {
  const CaptureLayer& data = sampler.capture.layer(layer);
  const AttentionSpec& spec = sampler.capture.attention(layer);
  std::vector<float> query(static_cast<std::size_t>(data.dim));
  for (const std::int64_t row : sampled) {
    rows.read(RowsOf::Query, head, row, 1, query.data());
    const std::int64_t first = firstKey(spec, row);
    compare(sampler, layer, head, row,
            rowLse(spec, data.dim, query.data(), keys + (first - keysFirst) * data.dim, row - first + 1));
  }
}

std::set<std::int64_t> shortRows(std::int64_t limit, bool all) {
  std::set<std::int64_t> rows;
  for (std::int64_t row = 0; row < limit; row += all ? 1 : row / 4 + 1) {
    rows.insert(row);
  }
  rows.insert(limit - 1);
  return rows;
}

void checkLongRow(Sampler& sampler, const RowPreparation& rows, int layer) {
  const std::int64_t row = sampler.capture.tokens() - 1;
  const CaptureLayer& data = sampler.capture.layer(layer);
  const std::int64_t first = firstKey(sampler.capture.attention(layer), row);
  if (row - first + 1 > sampler.longKeys) {
    return;
  }
  sampler.longKeys -= row - first + 1;
  const int head = layer % data.heads;
  std::vector<float> keys(static_cast<std::size_t>((row - first + 1) * data.dim));
  rows.read(RowsOf::Key, data.kvHead(head), first, row - first + 1, keys.data());
  checkHead(sampler, rows, layer, head, {row}, keys.data(), first);
}

void checkLayerLse(Sampler& sampler, int layer) {
  const CaptureLayer& data = sampler.capture.layer(layer);
  const RowPreparation rows(sampler.capture, layer);
  const std::int64_t tokens = sampler.capture.tokens();
  const std::int64_t limit = sampler.exhaustive ? tokens : std::min(tokens, kShortRows);
  const std::set<std::int64_t> sampled = shortRows(limit, sampler.exhaustive);
  std::vector<float> keys(static_cast<std::size_t>(limit * data.dim));
  const int group = data.heads / data.kvHeads;
  for (int kvHead = 0; kvHead < data.kvHeads; ++kvHead) {
    rows.read(RowsOf::Key, kvHead, 0, limit, keys.data());
    for (int head = kvHead * group; head < (kvHead + 1) * group; ++head) {
      checkHead(sampler, rows, layer, head, sampled, keys.data(), 0);
    }
  }
  if (!sampler.exhaustive) {
    checkLongRow(sampler, rows, layer);
  }
}

}  // namespace

void checkStoredLse(const Capture& capture, const std::string& where) {
  const auto tokens = static_cast<double>(capture.tokens());
  double work = 0;
  for (int layer = 0; layer < capture.header().layers; ++layer) {
    work += capture.layer(layer).heads * capture.layer(layer).dim * tokens * tokens / 2;
  }
  Sampler sampler{capture, where, work <= kExhaustiveWork};
  for (int layer = 0; layer < capture.header().layers; ++layer) {
    if (!capture.layer(layer).lse.empty()) {
      checkLayerLse(sampler, layer);
    }
  }
}

}  // namespace headscope
