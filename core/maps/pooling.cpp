#include "core/maps/pooling.h"

#include <cmath>
#include <limits>

#include "core/maps/parallel.h"

namespace headscope {
namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();
constexpr std::int64_t kRowsPerTask = 64;

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

// Pools one panel: per cell the running values of each lane, handed to the lanes' cell rows when the cell ends.
class PanelPooler {
 public:
  PanelPooler(Sweep& sweep, const CellGrid& grid, bool wantSum)
      : sweep_(sweep),
        grid_(grid),
        wantSum_(wantSum),
        max_(static_cast<std::size_t>(sweep.lanes())),
        sum_(static_cast<std::size_t>(sweep.lanes())) {}

  // rows[i] belongs to cell row cellRows[i] of the target.
  void pool(std::span<const QueryRow> rows, std::span<const std::int64_t> cellRows, const Target& target) {
    rows_ = rows;
    cellRows_ = cellRows;
    target_ = target;
    cell_ = -1;
    pending_ = false;
    reset();
    sweep_.load(rows, true);
    sweep_.run(grid_.cols.front(), grid_.cols.back(),
               [this](std::int64_t key, int count, const float* y) { visit(key, count, y); });
    if (pending_) {
      flush();
    }
  }

 private:
  void reset() {
    std::fill(max_.begin(), max_.end(), kHidden);
    std::fill(sum_.begin(), sum_.end(), 0.0f);
  }

  void visit(std::int64_t key, int count, const float* y) {
    if (cell_ < 0) {  // the first block may begin in any cell
      cell_ = std::upper_bound(grid_.cols.begin(), grid_.cols.end(), key) - grid_.cols.begin() - 1;
    }
    while (count > 0) {
      const std::int64_t cellEnd = grid_.cols[static_cast<std::size_t>(cell_ + 1)];
      const int part = static_cast<int>(std::min<std::int64_t>(count, cellEnd - key));
      if (part > 0) {
        if (wantSum_) {
          sweep_.kernels().maxAndSum(y, part, max_.data(), sum_.data());
        } else {
          sweep_.kernels().maxOnly(y, part, max_.data());
        }
        pending_ = true;
      }
      key += part;
      count -= part;
      y += part * sweep_.lanes();
      if (key == cellEnd) {
        flush();
        ++cell_;
      }
    }
  }

  void flush() {
    if (rows_.size() == max_.size() && cellRows_.front() == cellRows_.back() && target_.logit == nullptr) {
      const Target at = target_.row(cellRows_.front());
      at.max[cell_] = std::max(at.max[cell_], sweep_.kernels().largest(max_.data()));
      if (wantSum_) {
        at.sum[cell_] += sweep_.kernels().total(sum_.data());
      }
    } else {
      flushLanes();
    }
    pending_ = false;
    reset();
  }

  void flushLanes() {
    for (std::size_t lane = 0; lane < rows_.size(); ++lane) {
      const Target at = target_.row(cellRows_[lane]);
      at.max[cell_] = std::max(at.max[cell_], max_[lane]);
      if (wantSum_) {
        at.sum[cell_] += sum_[lane];
      }
      if (at.logit != nullptr) {  // in one lane the row's divisor is the same for all keys
        at.logit[cell_] = std::max(at.logit[cell_], max_[lane] * kLn2 + rows_[lane].normalizer);
      }
    }
  }

  Sweep& sweep_;
  const CellGrid& grid_;
  bool wantSum_;
  std::vector<float> max_, sum_;  ///< [lanes] of the cell at hand
  std::span<const QueryRow> rows_;
  std::span<const std::int64_t> cellRows_;
  Target target_;
  std::int64_t cell_ = -1;
  bool pending_ = false;  ///< the cell at hand has values that were not handed on
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
  std::vector<Task> tasks;
  std::int64_t rows = 0;  // in the last task, if it is still open
  for (std::int64_t y = 0; y < grid.height(); ++y) {
    const std::int64_t picked = pickedRows(grid, y, options.rowsPerCell);
    if (picked > kRowsPerTask) {
      for (std::int64_t begin = 0; begin < picked; begin += kRowsPerTask) {
        tasks.push_back({y, y + 1, begin, std::min(begin + kRowsPerTask, picked), emptyValues(grid.width(), options)});
      }
      rows = kRowsPerTask;  // closed
    } else if (tasks.empty() || rows + picked > kRowsPerTask) {
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
    PanelPooler pooler(sweep, grid_, options_.sum);
    const Target target = targetOf(task.split() ? task.part : values_, grid_.width());
    const auto lanes = static_cast<std::size_t>(sweep.lanes());
    for (std::size_t first = 0; first < rows.size(); first += lanes) {
      const std::size_t count = std::min(lanes, rows.size() - first);
      pooler.pool(std::span<const QueryRow>(rows).subspan(first, count),
                  std::span<const std::int64_t>(cellRows).subspan(first, count), target);
    }
  }

  const LogitRule& rule_;
  const float* keys_;
  const RowSource& source_;
  const CellGrid& grid_;
  const PoolOptions& options_;
  CellValues& values_;
};

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

PooledMaps finishMaps(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                      std::int64_t rowsPerCell, float empty) {
  PooledMaps maps{grid.height(), grid.width(), values.max, {}, {}};
  kernels().powers(maps.max.data(), maps.max.size());
  const bool sums = !values.sum.empty();
  maps.mean.resize(values.sum.size());
  maps.mass.resize(values.sum.size());
  std::vector<std::int64_t> rows;
  std::size_t cell = 0;
  for (std::int64_t y = 0; y < maps.height; ++y) {
    rows.clear();
    pickRows(grid, y, rowsPerCell, rows);
    const bool all = rowsPerCell == 0 || static_cast<std::int64_t>(rows.size()) < rowsPerCell;
    for (std::size_t x = 0; x + 1 < grid.cols.size(); ++x, ++cell) {
      std::int64_t pairs = 0;
      if (all) {
        pairs = rows.empty() ? 0 : visiblePairs(window, rows.front(), rows.back() + 1, grid.cols[x], grid.cols[x + 1]);
      } else {
        for (const std::int64_t t : rows) {
          pairs += visiblePairs(window, t, t + 1, grid.cols[x], grid.cols[x + 1]);
        }
      }
      if (pairs == 0) {
        maps.max[cell] = empty;
      }
      if (sums) {
        maps.mean[cell] = pairs == 0 ? empty : values.sum[cell] / static_cast<float>(pairs);
        maps.mass[cell] = pairs == 0 ? empty : values.sum[cell] / static_cast<float>(rows.size());
      }
    }
  }
  return maps;
}

}  // namespace headscope
