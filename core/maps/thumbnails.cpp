#include "core/maps/thumbnails.h"

#include <algorithm>
#include <limits>
#include <map>

#include "core/capture/prepared_rows.h"
#include "core/maps/log_sum_exp.h"
#include "core/base/parallel.h"

namespace headscope {
namespace {

constexpr float kNoValue = std::numeric_limits<float>::quiet_NaN();

std::shared_ptr<Thumbnail> emptyThumbnail(const Capture& capture, ThumbnailRequest::Head head, int size) {
  auto thumbnail = std::make_shared<Thumbnail>();
  thumbnail->captureId = capture.id();
  thumbnail->layer = head.layer;
  thumbnail->head = head.head;
  thumbnail->size = static_cast<int>(std::min<std::int64_t>(size, capture.tokens()));
  return thumbnail;
}

CellGrid wholeGrid(std::int64_t tokens, int size) {
  return evenGrid({0, tokens, 0, tokens}, size, size);
}

// Heads of one layer that read the same keys, and where their thumbnails go.
struct Group {
  int layer = 0, kvHead = 0;
  std::vector<std::size_t> members;
};

std::vector<Group> groupHeads(const Capture& capture, std::span<const ThumbnailRequest::Head> heads) {
  std::map<std::pair<int, int>, Group> groups;
  for (std::size_t i = 0; i < heads.size(); ++i) {
    const int kvHead = capture.layer(heads[i].layer).kvHead(heads[i].head);
    Group& group = groups[{heads[i].layer, kvHead}];
    group.layer = heads[i].layer;
    group.kvHead = kvHead;
    group.members.push_back(i);
  }
  std::vector<Group> list;
  for (auto& [key, group] : groups) {
    list.push_back(std::move(group));
  }
  return list;
}

// One group's sampled thumbnails: all its keys, but only the sampled queries, are prepared.
class GroupSampler {
 public:
  GroupSampler(const Capture& capture, int layer, int kvHead)
      : capture_(capture),
        layer_(layer),
        data_(capture.layer(layer)),
        spec_(capture.attention(layer)),
        rows_(capture, layer),
        rule_{data_.dim, spec_.window, spec_.softcap},
        keys_(static_cast<std::size_t>(capture.tokens() * data_.dim)) {
    rows_.read(RowsOf::Key, kvHead, 0, capture.tokens(), keys_.data());
  }

  std::shared_ptr<const Thumbnail> sample(int head, int size, const JobControl& control) const {
    const std::shared_ptr<Thumbnail> thumbnail = emptyThumbnail(capture_, {layer_, head}, size);
    const CellGrid grid = wholeGrid(capture_.tokens(), thumbnail->size);
    std::vector<std::int64_t> tokens;
    for (std::int64_t y = 0; y < grid.height(); ++y) {
      pickRows(grid, y, 1, tokens);
    }
    const std::vector<float> queries = readQueries(head, tokens);
    const RowSource source = [&](std::span<const std::int64_t> wanted, std::vector<QueryRow>& target) {
      for (const std::int64_t t : wanted) {
        const auto at = std::lower_bound(tokens.begin(), tokens.end(), t) - tokens.begin();
        target.push_back({t, queries.data() + at * data_.dim, storedLse(head, t)});
      }
      if (data_.lse.empty()) {
        fillNormalizers(rule_, keys_.data(), target);
      }
      addSink(head, target);
    };
    PoolOptions options;
    options.rowsPerCell = 1;
    PooledMaps maps =
        finishMaps(grid, poolCells(rule_, keys_.data(), source, grid, options, control), spec_.window, 1, kNoValue);
    thumbnail->max = std::move(maps.max);
    thumbnail->mass = std::move(maps.mass);
    thumbnail->exact = grid.height() == capture_.tokens();
    return thumbnail;
  }

 private:
  std::vector<float> readQueries(int head, const std::vector<std::int64_t>& tokens) const {
    std::vector<float> queries(tokens.size() * static_cast<std::size_t>(data_.dim));
    float* target = queries.data();
    for (const std::int64_t t : tokens) {
      rows_.read(RowsOf::Query, head, t, 1, target);
      target += data_.dim;
    }
    const auto scale = static_cast<float>(spec_.scale);
    std::transform(queries.begin(), queries.end(), queries.begin(), [scale](float x) { return x * scale; });
    return queries;
  }

  float storedLse(int head, std::int64_t t) const {
    return data_.lse.empty() ? 0.0f : data_.lse[static_cast<std::size_t>(head * capture_.tokens() + t)];
  }

  void addSink(int head, std::vector<QueryRow>& rows) const {
    if (!data_.sinks.empty()) {
      for (QueryRow& row : rows) {
        row.normalizer = withSink(row.normalizer, data_.sinks[static_cast<std::size_t>(head)]);
      }
    }
  }

  const Capture& capture_;
  int layer_;
  const CaptureLayer& data_;
  const AttentionSpec& spec_;
  RowPreparation rows_;
  LogitRule rule_;
  std::vector<float> keys_;  ///< [tokens, dim]
};

}  // namespace

std::vector<std::shared_ptr<const Thumbnail>> sampleThumbnails(const Capture& capture,
                                                               std::span<const ThumbnailRequest::Head> heads, int size,
                                                               const JobControl& control) {
  const std::vector<Group> groups = groupHeads(capture, heads);
  std::vector<std::shared_ptr<const Thumbnail>> thumbnails(heads.size());
  parallelFor(static_cast<std::int64_t>(groups.size()), [&](std::int64_t index) {
    control.checkpoint();
    const Group& group = groups[static_cast<std::size_t>(index)];
    const GroupSampler sampler(capture, group.layer, group.kvHead);
    for (const std::size_t member : group.members) {
      thumbnails[member] = sampler.sample(heads[member].head, size, control);
    }
  });
  return thumbnails;
}

double sampleWork(const Capture& capture, int layer, int size) {
  constexpr double kPreparation = 8;  // rotating an element of a key costs as much as some multiply-adds
  const CaptureLayer& data = capture.layer(layer);
  const double elements = static_cast<double>(capture.tokens()) * data.dim;
  return elements * (0.5 * size + kPreparation);
}

ThumbnailBuilder::ThumbnailBuilder(const Capture& capture, ThumbnailRequest::Head head, int size,
                                   const JobControl& control)
    : head_(prepareHeadView(capture, head.layer, head.head, {}, control)),
      thumbnail_(emptyThumbnail(capture, head, size)) {
  grid_ = wholeGrid(capture.tokens(), thumbnail_->size);
  thumbnail_->exact = true;
}

bool ThumbnailBuilder::step(double work, const JobControl& control) {
  const std::int64_t height = grid_.height();
  const double all = 0.5 * static_cast<double>(head_->tokens) * static_cast<double>(head_->tokens) * head_->dim;
  const auto count = static_cast<std::int64_t>(std::min(1.0, work / all) * static_cast<double>(height));
  const std::int64_t end = std::min(nextCellRow_ + std::max<std::int64_t>(count, 1), height);
  CellGrid band{{grid_.rows.begin() + nextCellRow_, grid_.rows.begin() + end + 1}, grid_.cols};
  if (std::isnan(head_->lse[static_cast<std::size_t>(band.rows.front())])) {
    std::vector<std::int64_t> rows;
    for (std::int64_t t = band.rows.front(); t < band.rows.back(); ++t) {
      rows.push_back(t);
    }
    fillLogSumExp(*head_, rows, control);
  }
  const PooledMaps maps = finishMaps(band, poolCells(*head_, band, {}, control), head_->window, 0, kNoValue);
  thumbnail_->max.insert(thumbnail_->max.end(), maps.max.begin(), maps.max.end());
  thumbnail_->mass.insert(thumbnail_->mass.end(), maps.mass.begin(), maps.mass.end());
  nextCellRow_ = end;
  return end == height;
}

std::shared_ptr<const Thumbnail> ThumbnailBuilder::take() {
  return std::move(thumbnail_);
}

}  // namespace headscope
