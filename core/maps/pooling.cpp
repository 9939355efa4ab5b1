#include "core/maps/pooling.h"

#include "core/base/parallel.h"
#include "core/maps/panel_pooler.h"

namespace headscope {
namespace {

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

}  // namespace

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

}  // namespace headscope
