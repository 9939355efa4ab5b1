// The overview on a GPU against the processor's results and against the bare causal product q·kᵀ in bf16 by LibTorch.
//   bench_gpu_maps [--dim 128] [--size 1024] [--tokens 0 (32768 and 131072)]

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include <chrono>

#include "core/maps/gpu_maps.h"
#include "core/model/model.h"
#include "tests/benchmarks/measure.h"
#include "tests/support/large_capture.h"

using namespace headscope;

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

HeadView randomHead(std::int64_t tokens, int dim) {
  HeadView head;
  head.tokens = tokens;
  head.dim = dim;
  test::CheapNormal random(1);
  const float spread = 1.0f / std::sqrt(std::sqrt(static_cast<float>(dim)));  // logits of about ±1
  for (std::vector<float>* side : {&head.q, &head.k}) {
    side->resize(static_cast<std::size_t>(tokens * dim));
    std::generate(side->begin(), side->end(), [&] { return random() * spread; });
  }
  head.lse.assign(static_cast<std::size_t>(tokens), std::numeric_limits<float>::quiet_NaN());
  return head;
}

// Seconds of the causal half of q·kᵀ in bf16, in blocks of rows; 0 where LibTorch has no GPU.
double bareProduct(std::int64_t tokens, int dim) {
  if (listDevices().size() < 2) {
    return 0;
  }
  constexpr std::int64_t kRows = 4096;
  constexpr int kRounds = 5;
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16);
  const at::Tensor q = at::randn({tokens, dim}, options), k = at::randn({tokens, dim}, options);
  at::Tensor block = at::empty({kRows * tokens}, options);
  const auto pass = [&] {
    for (std::int64_t t = 0; t < tokens; t += kRows) {
      at::Tensor target = block.narrow(0, 0, kRows * (t + kRows)).view({kRows, t + kRows});
      at::mm_out(target, q.narrow(0, t, kRows), k.narrow(0, 0, t + kRows).t());
    }
  };
  pass();
  at::detail::getCUDAHooks().deviceSynchronize(0);
  const double start = now();
  for (int round = 0; round < kRounds; ++round) {
    pass();
  }
  at::detail::getCUDAHooks().deviceSynchronize(0);
  return (now() - start) / kRounds;
}

double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return difference;
}

void table(GpuMaps& gpu, std::int64_t tokens, int dim, std::int64_t size) {
  int level = 0;
  while (((tokens - 1) >> level) >= size) {
    ++level;
  }
  const MapRange all{0, tokens, 0, tokens};
  const double bare = bareProduct(tokens, dim);
  std::printf("\n%s: one head, %ld tokens, dim %d, cells of %ld; bare causal bf16 product by LibTorch %.3f ms\n",
              gpu.name().c_str(), static_cast<long>(tokens), dim, 1L << level, bare * 1e3);
  std::printf("| %-22s | %10s | %7s | %13s | %10s | %10s | %10s | %10s\n", "precision", "overview ms", "ratio",
              "upload+lse ms", "fetch ms", "tile ms", "max error", "mass error");
  for (const auto& [precision, name] :
       {std::pair{GpuPrecision::Bf16, "bf16"}, std::pair{GpuPrecision::Split, "2 parts"},
        std::pair{GpuPrecision::Full, "3 parts (float32)"}}) {
    HeadView head = randomHead(tokens, dim);
    gpu.upload(head, precision);  // compiles
    head.lse.assign(head.lse.size(), std::numeric_limits<float>::quiet_NaN());
    const double start = now();
    const auto uploaded = gpu.upload(head, precision);
    const double upload = now() - start;
    const double overview = gpu.poolSeconds(*uploaded, all, level, 10);
    const double fetchStart = now();
    gpu.poolSquares(*uploaded, all, level);
    const double fetch = now() - fetchStart - overview;
    const TileKey key{1, 5, 0, (tokens >> 13) - 1};
    const double tileStart = now();
    const auto tile = gpu.computeTile(*uploaded, key);
    const double tileSeconds = now() - tileStart;
    const auto expected = computeTile(head, key);
    std::printf("| %-22s | %11.3f | %7.2f | %13.2f | %10.2f | %10.2f | %10.1e | %10.1e\n", name, overview * 1e3,
                bare > 0 ? overview / bare : 0.0, upload * 1e3, fetch * 1e3, tileSeconds * 1e3,
                worst(tile->max, expected->max), worst(tile->mass, expected->mass));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::string reason;
  const auto gpu = GpuMaps::open(0, reason);
  if (gpu == nullptr) {
    std::printf("no GPU: %s\n", reason.c_str());
    return 0;
  }
  const int dim = static_cast<int>(bench::option(count, arguments, "--dim", 128));
  const long size = bench::option(count, arguments, "--size", 1024);
  const long tokens = bench::option(count, arguments, "--tokens", 0);
  for (const long length : tokens > 0 ? std::vector<long>{tokens} : std::vector<long>{32768, 131072}) {
    table(*gpu, length, dim, size);
  }
}
