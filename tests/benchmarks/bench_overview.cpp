// The exact overview of one head against the bare product q·kᵀ of the same shape, and the first paint.
//   bench_overview [--tokens 32768] [--dim 64] [--size 1024] [--rounds 7] [--threads 0]

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/triu.h>

#include <future>
#include <limits>

#include "core/maps/attention_map.h"
#include "core/maps/log_sum_exp.h"
#include "core/base/parallel.h"
#include "core/maps/tile_service.h"
#include "tests/benchmarks/measure.h"
#include "tests/support/large_capture.h"

using namespace headscope;

namespace {

std::shared_ptr<const Capture> randomHead(std::int64_t tokens, int dim) {
  test::SyntheticCapture options;
  options.tokens = tokens;
  options.dim = dim;
  options.heads = 1;
  options.spread = 1.0;
  options.scale = 1.0 / std::sqrt(static_cast<double>(dim));
  return test::makeLargeCapture(options);
}

at::Tensor tensorOf(const std::vector<float>& values, int dim) {
  return at::from_blob(const_cast<float*>(values.data()), {static_cast<std::int64_t>(values.size()) / dim, dim});
}

// The causal half of q·kᵀ by LibTorch, in blocks of rows.
void productByLibTorch(const at::Tensor& q, const at::Tensor& k, at::Tensor& block) {
  const std::int64_t tokens = q.size(0), rows = block.size(0);
  for (std::int64_t t = 0; t < tokens; t += rows) {
    at::Tensor target = block.flatten().narrow(0, 0, rows * (t + rows)).view({rows, t + rows});
    at::mm_out(target, q.narrow(0, t, rows), k.narrow(0, 0, t + rows).t());
  }
}

// The same by the kernel of core/maps, with nobody looking at the result.
void productByKernel(const HeadView& head) {
  const std::int64_t rowsOfTask = rowsPerTask(head.tokens);
  const std::int64_t tasks = (head.tokens + rowsOfTask - 1) / rowsOfTask;
  parallelFor(tasks, [&](std::int64_t task) {
    const std::int64_t begin = (tasks - 1 - task) * rowsOfTask;
    std::vector<QueryRow> rows;
    for (std::int64_t row = begin; row < std::min(begin + rowsOfTask, head.tokens); ++row) {
      rows.push_back({row, head.q.data() + row * head.dim, 0});
    }
    Sweep sweep({head.dim, {}, {}}, head.k.data());
    sweep.load(rows, false);
    sweep.run(0, head.tokens, [](std::size_t, std::int64_t, int, const float*) {});
  });
}

// What other viewers do: the whole map, then its picture.
void denseMap(const HeadView& head, std::int64_t size) {
  at::Tensor logits = at::mm(tensorOf(head.q, head.dim), tensorOf(head.k, head.dim).t());
  logits.masked_fill_(at::triu(at::ones_like(logits, at::kBool), 1), -std::numeric_limits<float>::infinity());
  const at::Tensor map = at::softmax(logits, -1);
  const std::int64_t side = head.tokens / size;
  at::amax(map.view({size, side, size, side}), {1, 3});
}

void overviewTable(const std::shared_ptr<const Capture>& capture, int dim, std::int64_t size, int rounds) {
  const auto head = makeHeadView(*capture, 0, 0);
  const MapRange all{0, head->tokens, 0, head->tokens};
  const at::Tensor q = tensorOf(head->q, dim), k = tensorOf(head->k, dim);
  at::Tensor block = at::empty({512, head->tokens});
  const std::string bare = "bare product, kernel of core/maps";
  bench::Table table(concat("overview of one head: ", head->tokens, " tokens, dim ", dim, ", ", size, " px, ",
                            mapThreads(), " threads, ", kernels().name));
  table.add("bare product, LibTorch mm in blocks", [&] { productByLibTorch(q, k, block); });
  table.add(bare, [&] { productByKernel(*head); });
  table.add(
      "overview: max, mean and mass", [&] { pooledAll(*head, all, size, size); }, bare);
  table.add(
      "overview: max only", [&] { pooled(*head, all, size, size, Pool::Max); }, bare);
  table.add(
      "log-sum-exp where it is not stored",
      [&] { logSumExp(head->rule(), head->q.data(), head->k.data(), head->tokens); }, bare);
  table.add(
      "first paint: prepare the head, 1 row a cell",
      [&] { pooledPreview(*makeHeadView(*capture, 0, 0), all, size, size, 1); }, bare);
  table.add(
      "  of that, preparing (read, rotate)", [&] { makeHeadView(*capture, 0, 0); }, bare);
  table.measure(rounds);
  table.print();
  const double work = static_cast<double>(head->tokens) * static_cast<double>(head->tokens) * dim;
  std::printf("bare product: LibTorch %.0f, kernel %.0f GFLOP/s\n",
              work / table.median("bare product, LibTorch mm in blocks") / 1e9, work / table.median(bare) / 1e9);
}

// A click on a head that was never shown, as the window sees it: until the first, and until the last picture.
enum class Until { FirstTile, AllPreviews, AllExact };

void click(const std::shared_ptr<const Capture>& capture, std::int64_t size, Until until) {
  std::promise<void> reached;
  bool waiting = true;
  const auto reach = [&reached, &waiting](bool there) {
    if (there && waiting) {
      waiting = false;
      reached.set_value();
    }
  };
  TileService::Callbacks callbacks;
  callbacks.tileReady = [&](int, const std::shared_ptr<const Tile>&) { reach(until == Until::FirstTile); };
  callbacks.status = [&](int, const ViewStatus& status) {
    const int there = until == Until::AllPreviews ? status.exact + status.preview : status.exact;
    reach(until != Until::FirstTile && status.wanted > 0 && there == status.wanted);
  };
  TileService service({}, callbacks);
  const auto tokens = static_cast<double>(capture->tokens());
  service.setView(
      0, {{capture, 0, 0}, levelFor(tokens / static_cast<double>(size), capture->tokens()), 0, tokens, 0, tokens});
  reached.get_future().wait();
}

void clickTable(const std::shared_ptr<const Capture>& capture, std::int64_t size, int rounds) {
  bench::Table table(concat("a click on a head: ", capture->tokens(), " tokens, ", size, " px, through TileService"));
  table.add("first tile", [&] { click(capture, size, Until::FirstTile); });
  table.add("whole view as a labelled preview", [&] { click(capture, size, Until::AllPreviews); });
  table.add("whole view exact", [&] { click(capture, size, Until::AllExact); });
  table.measure(rounds);
  table.print();
}

void denseTable(int dim, std::int64_t size, int rounds) {
  const auto capture = randomHead(8192, dim);
  const auto head = makeHeadView(*capture, 0, 0);
  bench::Table table(concat("against a dense map: 8192 tokens, dim ", dim, ", ", size, " px"));
  table.add("dense map by LibTorch, then max-pool", [&] { denseMap(*head, size); });
  table.add(
      "overview: max, mean and mass",
      [&] {
        pooledAll(*head, {0, 8192, 0, 8192}, size, size);
      },
      "dense map by LibTorch, then max-pool");
  table.measure(rounds);
  table.print();
}

}  // namespace

int main(int count, char** arguments) {
  const long tokens = bench::option(count, arguments, "--tokens", 32768);
  const int dim = static_cast<int>(bench::option(count, arguments, "--dim", 64));
  const long size = bench::option(count, arguments, "--size", 1024);
  const int rounds = static_cast<int>(bench::option(count, arguments, "--rounds", 7));
  setMapThreads(static_cast<int>(bench::option(count, arguments, "--threads", 0)));
  at::set_num_threads(mapThreads());
  const auto capture = randomHead(tokens / 512 * 512, dim);
  overviewTable(capture, dim, size, rounds);
  clickTable(capture, size, rounds);
  denseTable(dim, size, rounds);
}
