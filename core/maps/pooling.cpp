#include "core/maps/pooling.h"

#include <cmath>
#include <limits>
#include <utility>

#include "core/maps/parallel.h"

namespace headscope {
namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

// Values of some cell rows: those of the whole grid, or a part that is merged later.
struct Target {
  float* max = nullptr;
  float* sum = nullptr;
  float* logit = nullptr;
  std::int64_t width = 0;

  Target row(std::int64_t y) const {
    const std::int64_t offset = y * width;
    return {max + offset, sum != nullptr ? sum + offset : nullptr, logit != nullptr ? logit + offset : nullptr, width};
  }
};

// Pools one panel: the running values of each lane, handed on when a cell ends. Where all lanes belong to one cell row
// they are reduced at once; otherwise they are kept for some cells and then added row by row, in the order of memory.
class PanelPooler {
 public:
  // rows[i] belongs to cell row cellRows[i] of the target.
  PanelPooler(const Kernels& set, const CellGrid& grid, const PoolOptions& options, std::span<const QueryRow> rows,
              std::span<const std::int64_t> cellRows, const Target& target)
      : kernels_(set),
        grid_(grid),
        options_(options),
        lanes_(static_cast<std::size_t>(set.lanes)),
        oneRow_(cellRows.front() == cellRows.back()),
        max_((oneRow_ ? 1 : kKept) * lanes_),
        sum_(max_.size()),
        normalizers_(lanes_),
        cellRows_(cellRows),
        target_(target) {
    std::transform(rows.begin(), rows.end(), normalizers_.begin(),
                   [](const QueryRow& row) { return toBase2(row.normalizer); });
    reset();
  }

  void visit(std::int64_t key, int count, const float* y) {
    if (cell_ < 0) {  // the first block may begin in any cell
      cell_ = std::upper_bound(grid_.cols.begin(), grid_.cols.end(), key) - grid_.cols.begin() - 1;
      firstKept_ = cell_;
    }
    while (count > 0) {
      const std::int64_t cellEnd = grid_.cols[static_cast<std::size_t>(cell_ + 1)];
      const int part = static_cast<int>(std::min<std::int64_t>(count, cellEnd - key));
      if (part > 0) {
        if (options_.sum) {
          kernels_.maxAndSum(y, part, max(), sum());
        } else {
          kernels_.maxOnly(y, part, max());
        }
        pending_ = true;
      }
      key += part;
      count -= part;
      y += part * kernels_.lanes;
      if (key == cellEnd) {
        endCell();
      }
    }
  }

  void finish() {
    if (pending_) {
      endCell();
    }
    handOn();
  }

 private:
  static constexpr std::size_t kKept = 32;  ///< cells

  float* max() { return max_.data() + kept_ * lanes_; }
  float* sum() { return sum_.data() + kept_ * lanes_; }

  void reset() {
    std::fill_n(max(), lanes_, kHidden);
    std::fill_n(sum(), lanes_, 0.0f);
  }

  void endCell() {
    if (oneRow_) {
      reduce();
    } else if (++kept_ == kKept) {
      handOn();
    }
    ++cell_;
    pending_ = false;
    reset();
  }

  void reduce() {
    const Target at = target_.row(cellRows_.front());
    at.max[cell_] = std::max(at.max[cell_], kernels_.largest(max()));
    if (at.sum != nullptr) {
      at.sum[cell_] += kernels_.total(sum());
    }
    if (at.logit != nullptr) {  // in one lane the row's divisor is the same for all keys
      at.logit[cell_] = std::max(at.logit[cell_], toBaseE(kernels_.largestOfSum(max(), normalizers_.data())));
    }
  }

  void handOn() {
    const std::size_t cells = std::exchange(kept_, 0);
    for (std::size_t lane = 0; lane < cellRows_.size() && cells > 0; ++lane) {
      const Target at = target_.row(cellRows_[lane]);
      const float* lanesMax = max_.data() + lane;
      const float* lanesSum = sum_.data() + lane;
      for (std::size_t i = 0; i < cells; ++i) {
        float& largest = at.max[firstKept_ + static_cast<std::int64_t>(i)];
        largest = std::max(largest, lanesMax[i * lanes_]);
      }
      for (std::size_t i = 0; i < cells && at.sum != nullptr; ++i) {
        at.sum[firstKept_ + static_cast<std::int64_t>(i)] += lanesSum[i * lanes_];
      }
      for (std::size_t i = 0; i < cells && at.logit != nullptr; ++i) {
        float& largest = at.logit[firstKept_ + static_cast<std::int64_t>(i)];
        largest = std::max(largest, toBaseE(lanesMax[i * lanes_] + normalizers_[lane]));
      }
    }
    firstKept_ += static_cast<std::int64_t>(cells);
  }

  const Kernels& kernels_;
  const CellGrid& grid_;
  const PoolOptions& options_;
  std::size_t lanes_;
  bool oneRow_;
  std::vector<float> max_, sum_;    ///< [kept cells, lanes]; the one at hand is the last
  std::vector<float> normalizers_;  ///< [lanes] in base 2
  std::span<const std::int64_t> cellRows_;
  Target target_;
  std::int64_t cell_ = -1;      ///< at hand
  std::int64_t firstKept_ = 0;  ///< cell of max_[0]
  std::size_t kept_ = 0;        ///< complete cells in max_ and sum_
  bool pending_ = false;        ///< the cell at hand has values
};

// A task: whole cell rows, or a part of the rows of one cell row (then it has values of its own, merged in order).
struct Task {
  std::int64_t cellBegin = 0, cellEnd = 0;
  std::int64_t partBegin = 0, partEnd = 0;  ///< among the picked rows of cellBegin; 0, 0: all
  CellValues part;
  bool split() const { return partEnd > partBegin; }
};

CellValues emptyValues(std::int64_t cells, const PoolOptions& options) {
  const auto count = static_cast<std::size_t>(cells);
  CellValues values;
  values.max.assign(count, kHidden);
  values.sum.assign(options.sum ? count : 0, 0.0f);
  values.logit.assign(options.logit ? count : 0, kHidden);
  return values;
}

Target targetOf(CellValues& values, std::int64_t width) {
  return {values.max.data(), values.sum.empty() ? nullptr : values.sum.data(),
          values.logit.empty() ? nullptr : values.logit.data(), width};
}

std::vector<Task> planTasks(const CellGrid& grid, const PoolOptions& options) {
  std::int64_t all = 0;
  for (std::int64_t y = 0; y < grid.height(); ++y) {
    all += pickedRows(grid, y, options.rowsPerCell);
  }
  const std::int64_t most = rowsPerTask(all);
  std::vector<Task> tasks;
  std::int64_t rows = 0;  // in the last task, if it is still open
  for (std::int64_t y = 0; y < grid.height(); ++y) {
    const std::int64_t picked = pickedRows(grid, y, options.rowsPerCell);
    if (picked > most) {
      for (std::int64_t begin = 0; begin < picked; begin += most) {
        tasks.push_back({y, y + 1, begin, std::min(begin + most, picked), emptyValues(grid.width(), options)});
      }
      rows = most;  // closed
    } else if (tasks.empty() || rows + picked > most) {
      tasks.push_back({y, y + 1, 0, 0, {}});
      rows = picked;
    } else {
      tasks.back().cellEnd = y + 1;
      rows += picked;
    }
  }
  return tasks;
}

void merge(const CellValues& part, const Target& row) {
  for (std::size_t x = 0; x < part.max.size(); ++x) {
    row.max[x] = std::max(row.max[x], part.max[x]);
    if (row.sum != nullptr) {
      row.sum[x] += part.sum[x];
    }
    if (row.logit != nullptr) {
      row.logit[x] = std::max(row.logit[x], part.logit[x]);
    }
  }
}

class GridPooler {
 public:
  GridPooler(const LogitRule& rule, const float* keys, const RowSource& source, const CellGrid& grid,
             const PoolOptions& options, CellValues& values)
      : rule_(rule), keys_(keys), source_(source), grid_(grid), options_(options), values_(values) {}

  void run(const JobControl& control) {
    std::vector<Task> tasks = planTasks(grid_, options_);
    const auto count = static_cast<std::int64_t>(tasks.size());
    parallelFor(count, [&](std::int64_t index) {
      control.checkpoint();
      runTask(tasks[static_cast<std::size_t>(count - 1 - index)]);  // the longest rows first
    });
    for (const Task& task : tasks) {
      if (task.split()) {
        merge(task.part, targetOf(values_, grid_.width()).row(task.cellBegin));
      }
    }
  }

 private:
  void runTask(Task& task) const {
    std::vector<std::int64_t> tokens, cellRows, picked;
    for (std::int64_t y = task.cellBegin; y < task.cellEnd; ++y) {
      picked.clear();
      pickRows(grid_, y, options_.rowsPerCell, picked);
      tokens.insert(tokens.end(), picked.begin(), picked.end());
      cellRows.insert(cellRows.end(), picked.size(), task.split() ? 0 : y);
    }
    if (task.split()) {
      tokens = {tokens.begin() + task.partBegin, tokens.begin() + task.partEnd};
    }
    if (tokens.empty()) {
      return;
    }
    std::vector<QueryRow> rows;
    source_(tokens, rows);
    Sweep sweep(rule_, keys_);
    sweep.load(rows, true);
    const Target target = targetOf(task.split() ? task.part : values_, grid_.width());
    const auto lanes = static_cast<std::size_t>(sweep.lanes());
    std::vector<PanelPooler> poolers;
    poolers.reserve(sweep.panels());
    for (std::size_t first = 0; first < rows.size(); first += lanes) {
      const std::size_t count = std::min(lanes, rows.size() - first);
      poolers.emplace_back(sweep.kernels(), grid_, options_, std::span<const QueryRow>(rows).subspan(first, count),
                           std::span<const std::int64_t>(cellRows).subspan(first, count), target);
    }
    sweep.run(grid_.cols.front(), grid_.cols.back(),
              [&poolers](std::size_t panel, std::int64_t key, int count, const float* y) {
                poolers[panel].visit(key, count, y);
              });
    for (PanelPooler& pooler : poolers) {
      pooler.finish();
    }
  }

  const LogitRule& rule_;
  const float* keys_;
  const RowSource& source_;
  const CellGrid& grid_;
  const PoolOptions& options_;
  CellValues& values_;
};

// Visible pairs of the picked rows with keys [begin, end).
std::int64_t pairsOf(std::optional<std::int64_t> window, const std::vector<std::int64_t>& rows, std::int64_t begin,
                     std::int64_t end) {
  if (rows.empty() || begin >= end || begin > rows.back()) {
    return 0;
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  if (end - 1 <= rows.front() && begin >= firstVisibleKey(window, rows.back())) {
    return count * (end - begin);
  }
  if (rows.back() - rows.front() + 1 == count) {
    return visiblePairs(window, rows.front(), rows.back() + 1, begin, end);
  }
  std::int64_t pairs = 0;
  for (const std::int64_t t : rows) {
    pairs += visiblePairs(window, t, t + 1, begin, end);
  }
  return pairs;
}

void finishCellRow(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window, std::int64_t y,
                   const std::vector<std::int64_t>& rows, float empty, const FinishedCells& target) {
  const std::int64_t from = y * grid.width();
  const std::int64_t to = y * target.stride;
  const auto width = static_cast<std::size_t>(grid.width());
  std::copy_n(values.max.begin() + from, width, target.max + to);
  kernels().powers(target.max + to, width);
  const float perRow = rows.empty() ? 0.0f : 1.0f / static_cast<float>(rows.size());
  for (std::int64_t x = 0; x < grid.width(); ++x) {
    const auto column = static_cast<std::size_t>(x);
    const std::int64_t pairs = pairsOf(window, rows, grid.cols[column], grid.cols[column + 1]);
    const std::size_t cell = static_cast<std::size_t>(from + x);
    if (pairs == 0) {
      target.max[to + x] = empty;
    }
    if (!values.sum.empty()) {
      target.mean[to + x] = pairs == 0 ? empty : values.sum[cell] / static_cast<float>(pairs);
      target.mass[to + x] = pairs == 0 ? empty : values.sum[cell] * perRow;
    }
    if (target.logit != nullptr) {
      target.logit[to + x] = pairs == 0 ? empty : values.logit[cell];
    }
  }
}

std::vector<std::int64_t> evenEdges(std::int64_t begin, std::int64_t end, std::int64_t cells) {
  std::vector<std::int64_t> edges;
  for (std::int64_t i = 0; i <= cells; ++i) {
    edges.push_back(begin + i * (end - begin) / cells);
  }
  return edges;
}

std::vector<std::int64_t> squareEdges(std::int64_t begin, std::int64_t end, std::int64_t side) {
  std::vector<std::int64_t> edges;
  for (std::int64_t at = begin; at < end; at += side) {
    edges.push_back(at);
  }
  edges.push_back(std::max(begin, end));
  return edges;
}

// Mixes two numbers to 64 even bits (the finalizer of Vigna's splitmix64).
std::uint64_t hash(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t x = a * 0x9E3779B97F4A7C15u + b;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

CellGrid evenGrid(const MapRange& range, std::int64_t height, std::int64_t width) {
  return {evenEdges(range.rowBegin, range.rowEnd, height), evenEdges(range.colBegin, range.colEnd, width)};
}

CellGrid squareGrid(const MapRange& range, std::int64_t side) {
  return {squareEdges(range.rowBegin, range.rowEnd, side), squareEdges(range.colBegin, range.colEnd, side)};
}

std::int64_t pickedRows(const CellGrid& grid, std::int64_t y, std::int64_t rowsPerCell) noexcept {
  const std::int64_t rows = grid.rows[static_cast<std::size_t>(y + 1)] - grid.rows[static_cast<std::size_t>(y)];
  return rowsPerCell > 0 ? std::min(rows, rowsPerCell) : rows;
}

void pickRows(const CellGrid& grid, std::int64_t y, std::int64_t rowsPerCell, std::vector<std::int64_t>& rows) {
  const std::int64_t begin = grid.rows[static_cast<std::size_t>(y)];
  const std::int64_t count = grid.rows[static_cast<std::size_t>(y + 1)] - begin;
  const std::int64_t picked = pickedRows(grid, y, rowsPerCell);
  for (std::int64_t i = 0; i < picked; ++i) {
    const std::int64_t from = i * count / picked;
    const std::int64_t part = (i + 1) * count / picked - from;
    const auto drawn = static_cast<std::int64_t>(
        hash(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(part));
    rows.push_back(begin + from + drawn);
  }
}

CellValues poolCells(const LogitRule& rule, const float* keys, const RowSource& source, const CellGrid& grid,
                     const PoolOptions& options, const JobControl& control) {
  CellValues values = emptyValues(grid.height() * grid.width(), options);
  if (!values.max.empty()) {
    GridPooler(rule, keys, source, grid, options, values).run(control);
  }
  return values;
}

CellValues poolCells(const HeadView& head, const CellGrid& grid, const PoolOptions& options,
                     const JobControl& control) {
  const RowSource source = [&head](std::span<const std::int64_t> tokens, std::vector<QueryRow>& target) {
    for (const std::int64_t t : tokens) {
      target.push_back({t, head.q.data() + t * head.dim, head.normalizer(t)});
    }
  };
  return poolCells(head.rule(), head.k.data(), source, grid, options, control);
}

void finishCells(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                 std::int64_t rowsPerCell, float empty, const FinishedCells& target) {
  constexpr std::int64_t kRows = 16;
  parallelFor((grid.height() + kRows - 1) / kRows, [&](std::int64_t task) {
    std::vector<std::int64_t> rows;
    for (std::int64_t y = task * kRows; y < std::min((task + 1) * kRows, grid.height()); ++y) {
      rows.clear();
      pickRows(grid, y, rowsPerCell, rows);
      finishCellRow(grid, values, window, y, rows, empty, target);
    }
  });
}

PooledMaps finishMaps(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                      std::int64_t rowsPerCell, float empty) {
  PooledMaps maps{grid.height(), grid.width(), {}, {}, {}};
  maps.max.resize(values.max.size());
  maps.mean.resize(values.sum.size());
  maps.mass.resize(values.sum.size());
  finishCells(grid, values, window, rowsPerCell, empty,
              {maps.max.data(), maps.mean.data(), maps.mass.data(), nullptr, maps.width});
  return maps;
}

}  // namespace headscope
