// One tile at native zoom and at coarser levels, against the bare product of the same shape.
//   bench_tile [--tokens 131072] [--dim 64] [--rounds 25]

#include "core/base/parallel.h"
#include "core/maps/sweep.h"
#include "core/maps/tiles.h"
#include "tests/benchmarks/measure.h"
#include "tests/support/large_capture.h"

using namespace headscope;

namespace {

// Random rows as they are after preparation: no capture is needed for a tile.
HeadView randomHead(std::int64_t tokens, int dim) {
  HeadView head;
  head.tokens = tokens;
  head.dim = dim;
  test::CheapNormal random(1);
  for (std::vector<float>* side : {&head.q, &head.k}) {
    side->resize(static_cast<std::size_t>(tokens * dim));
    std::generate(side->begin(), side->end(), [&random] { return random() * 0.35f; });
  }
  head.lse.resize(static_cast<std::size_t>(tokens));
  for (std::size_t t = 0; t < head.lse.size(); ++t) {
    head.lse[t] = std::log(static_cast<float>(t + 1)) + 0.5f;  // about right; the time doesn't depend on it
  }
  return head;
}

// One thread, as computeTile at level 0.
void bareProduct(const HeadView& head, const MapRange& range) {
  const std::int64_t rowsOfTask = rowsPerTask(range.rows());
  Sweep sweep({head.dim, {}, {}}, head.k.data());
  std::vector<QueryRow> rows;
  for (std::int64_t t = range.rowBegin; t < range.rowEnd; t += rowsOfTask) {
    rows.clear();
    for (std::int64_t row = t; row < std::min(t + rowsOfTask, range.rowEnd); ++row) {
      rows.push_back({row, head.q.data() + row * head.dim, 0});
    }
    sweep.load(rows, false);
    sweep.run(range.colBegin, range.colEnd, [](std::size_t, std::int64_t, int, const float*) {});
  }
}

}  // namespace

int main(int count, char** arguments) {
  const long tokens = bench::option(count, arguments, "--tokens", 131072);
  const int dim = static_cast<int>(bench::option(count, arguments, "--dim", 64));
  const int rounds = static_cast<int>(bench::option(count, arguments, "--rounds", 25));
  const HeadView head = randomHead(tokens, dim);
  bench::Table table(concat("one tile of 256 × 256 cells: ", tokens, " tokens, dim ", dim, ", ", kernels().name));
  std::shared_ptr<const Tile> sink;
  const int deepest = std::min(5, tileLevels(tokens) - 2);
  std::int64_t next = 0;
  for (int level = 0; level <= deepest; ++level) {
    const std::int64_t last = tokens / (std::int64_t{kTileSize} << level) - 1;
    const auto key = [=, &next] { return TileKey{1, level, next++ % std::max<std::int64_t>(last, 1), last}; };
    const std::string bare = concat("level ", level, ": bare product, 1 thread");
    table.add(bare, [&head, key] { bareProduct(head, tileRange(key(), head.tokens)); });
    table.add(
        concat("level ", level, ": exact tile"), [&, key] { sink = computeTile(head, key()); }, bare);
    if (level >= 4) {
      table.add(
          concat("level ", level, ": preview, 1 row a cell"), [&, key] { sink = previewTile(head, key(), 1); }, bare);
    }
  }
  std::array<std::shared_ptr<const Tile>, 4> children;
  for (std::size_t i = 0; i < 4; ++i) {
    children[i] = computeTile(head, childKeys({1, 1, 0, 3})[i]);
  }
  table.add("level 1: derived from four tiles", [&] { sink = deriveTile({1, 1, 0, 3}, tokens, {}, children); });
  table.measure(rounds);
  table.print();
}
