#include "core/maps/attention_map.h"

#include <algorithm>
#include <limits>

#include "core/base/parallel.h"
#include "core/maps/pooling.h"

namespace headscope {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

void checkRange(const HeadView& head, const MapRange& range) {
  const auto within = [&head](std::int64_t begin, std::int64_t end) {
    return 0 <= begin && begin <= end && end <= head.tokens;
  };
  if (!within(range.rowBegin, range.rowEnd) || !within(range.colBegin, range.colEnd)) {
    throw Error("", concat("rows ", range.rowBegin, ":", range.rowEnd, " and columns ", range.colBegin, ":",
                           range.colEnd, " are not within the ", head.tokens, " tokens"));
  }
}

// Every pair of the range: log2 of the probability or log2(e) · logit, then `finish` on each row. Hidden pairs keep
// `hidden`.
template <typename Finish>
std::vector<float> everyPair(const HeadView& head, const MapRange& range, bool relative, float hidden,
                             const JobControl& control, const Finish& finish) {
  cleanVectorState();
  checkRange(head, range);
  const std::int64_t width = range.cols();
  std::vector<float> map(static_cast<std::size_t>(range.rows() * width), hidden);
  const LogitRule rule = head.rule();
  parallelFor((range.rows() + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    control.checkpoint();
    const std::int64_t taskBegin = range.rowBegin + task * kRowsPerTask;
    std::vector<QueryRow> rows;
    for (std::int64_t t = taskBegin; t < std::min(taskBegin + kRowsPerTask, range.rowEnd); ++t) {
      rows.push_back({t, head.q.data() + t * head.dim, head.normalizer(t)});
    }
    Sweep sweep(rule, head.k.data());
    sweep.load(rows, relative);
    const auto lanes = static_cast<std::size_t>(sweep.lanes());
    sweep.run(range.colBegin, range.colEnd, [&](std::size_t panel, std::int64_t key, int count, const float* y) {
      for (std::size_t lane = 0; lane < std::min(lanes, rows.size() - panel * lanes); ++lane) {
        const std::int64_t t = rows[panel * lanes + lane].token;
        const std::int64_t from = std::max(key, firstVisibleKey(head.window, t));
        const std::int64_t to = std::min(key + count, t + 1);
        float* line = map.data() + (t - range.rowBegin) * width - range.colBegin;
        for (std::int64_t i = from; i < to; ++i) {
          line[i] = y[static_cast<std::size_t>(i - key) * lanes + lane];
        }
        if (from < to) {
          finish(line + from, static_cast<std::size_t>(to - from));
        }
      }
    });
  });
  return map;
}

PooledMaps pool(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                const PoolOptions& options, const JobControl& control) {
  cleanVectorState();
  checkRange(head, range);
  if (height < 1 || width < 1) {
    throw Error("", concat("a map of ", height, " × ", width, " cells is empty"));
  }
  const CellGrid grid = evenGrid(range, height, width);
  return finishMaps(grid, poolCells(head, grid, options, control), head.window, options.rowsPerCell, 0.0f);
}

}  // namespace

std::vector<float> probabilities(const HeadView& head, const MapRange& range, const JobControl& control) {
  const Kernels& set = kernels();
  return everyPair(head, range, true, 0.0f, control,
                   [&set](float* values, std::size_t count) { set.powers(values, count); });
}

std::vector<float> logits(const HeadView& head, const MapRange& range, const JobControl& control) {
  return everyPair(head, range, false, -std::numeric_limits<float>::infinity(), control,
                   [](float* values, std::size_t count) {
                     std::transform(values, values + count, values, [](float y) { return toBaseE(y); });
                   });
}

std::vector<float> pooled(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                          Pool pooling, const JobControl& control) {
  PoolOptions options;
  options.sum = pooling != Pool::Max;
  PooledMaps maps = pool(head, range, height, width, options, control);
  return std::move(pooling == Pool::Max ? maps.max : pooling == Pool::Mean ? maps.mean : maps.mass);
}

PooledMaps pooledAll(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                     const JobControl& control) {
  return pool(head, range, height, width, {}, control);
}

PooledMaps pooledPreview(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                         std::int64_t rowsPerCell, const JobControl& control) {
  PoolOptions options;
  options.rowsPerCell = std::max<std::int64_t>(rowsPerCell, 1);
  return pool(head, range, height, width, options, control);
}

}  // namespace headscope
