// The wall: all heads of a capture as thumbnails, sampled and exact.
//   bench_thumbnails [--tokens 8192] [--dim 64] [--layers 32] [--heads 32] [--kv-heads 8] [--rounds 5] [--exact 16]

#include "core/base/parallel.h"
#include "core/maps/thumbnails.h"
#include "tests/benchmarks/measure.h"
#include "tests/benchmarks/random_capture.h"

using namespace headscope;

int main(int count, char** arguments) {
  const auto number = [&](const char* name, long fallback) {
    return static_cast<int>(bench::option(count, arguments, name, fallback));
  };
  test::SyntheticCapture options;
  options.tokens = number("--tokens", 8192);
  options.dim = number("--dim", 64);
  options.layers = number("--layers", 32);
  options.heads = number("--heads", 32);
  options.kvHeads = number("--kv-heads", 8);
  options.scale = 0.125;
  options.type = FloatType::BF16;
  const auto capture = bench::randomCapture(options);
  std::vector<ThumbnailRequest::Head> heads;
  for (int layer = 0; layer < options.layers; ++layer) {
    for (int head = 0; head < options.heads; ++head) {
      heads.push_back({layer, head});
    }
  }
  bench::Table table(concat("thumbnails of ", heads.size(), " heads: ", options.tokens, " tokens, dim ", options.dim,
                            ", ", options.kvHeads, " KV heads a layer, ", mapThreads(), " threads, ", kernels().name));
  const std::span<const ThumbnailRequest::Head> all(heads);
  table.add("all heads, 64 px, from sampled rows", [&] { sampleThumbnails(*capture, all, 64); });
  table.add("all heads, 96 px, from sampled rows", [&] { sampleThumbnails(*capture, all, 96); });
  const auto exact = static_cast<std::size_t>(number("--exact", 16));
  table.add(concat(exact, " heads, 64 px, exact"), [&] {
    for (const ThumbnailRequest::Head& head : all.first(exact)) {
      ThumbnailBuilder builder(*capture, head, 64);
      builder.step(std::numeric_limits<double>::infinity());
      builder.take();
    }
  });
  table.measure(number("--rounds", 5));
  table.print();
}
