#include "core/maps/gpu_maps.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

#include "core/gpu/driver.h"
#include "core/maps/gpu_source.h"
#include "core/maps/log_sum_exp.h"

namespace headscope {
namespace {

constexpr unsigned kThreads = 128;
constexpr std::int64_t kRows = 128;  ///< query rows of a block of threads
constexpr std::int64_t kKeys = 64;   ///< keys of a step

/// As gpu_source.h has it.
struct Params {
  gpu::Pointer q = 0, k = 0, normalizer = 0, largest = 0, sum = 0, logit = 0;
  std::int64_t tokens = 0, rowBegin = 0, rowEnd = 0, colBegin = 0, colEnd = 0, window = 0;
  std::int64_t keysOfBlock = 0;
  int level = 0, width = 0;
  float scale = 0, cap = 0;
};

std::int64_t roundUp(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// The order-preserving bits of the CUDA program back to a float; 0 stands for nothing.
float fromOrdered(std::uint32_t bits) {
  if (bits == 0) {
    return -std::numeric_limits<float>::infinity();
  }
  return std::bit_cast<float>(bits ^ ((bits >> 31) != 0 ? 0x80000000u : 0xFFFFFFFFu));
}

std::vector<float> fromOrdered(const std::uint32_t* bits, std::size_t count, float factor) {
  std::vector<float> values(count);
  std::transform(bits, bits + count, values.begin(), [factor](std::uint32_t one) { return factor * fromOrdered(one); });
  return values;
}

struct Program {
  gpu::Module module = nullptr;
  gpu::Function pool = nullptr, rowSums = nullptr, split = nullptr;
};

}  // namespace

struct GpuMaps::Head::Data {
  gpu::Memory q, k, normalizer;
  std::int64_t tokens = 0;
  int paddedDim = 0;
  int parts = 1;
  std::optional<std::int64_t> window;
  std::optional<double> softcap;
};

/// The cells of one pass on the device: three planes of the state's memory, cleared.
struct GpuMaps::Pass {
  Pass(const State& state, const Head::Data& head, const MapRange& range, int level);

  std::size_t bytes() const { return 3 * cells * sizeof(float); }

  Params params;
  std::size_t cells = 0;
};

struct GpuMaps::State {
  gpu::Device device;
  mutable std::mutex mutex;  ///< one caller at a time
  mutable std::map<std::tuple<int, int, bool, int>, Program> programs;
  // Kept from pass to pass: asking for memory costs more than a tile.
  mutable gpu::Memory planes;
  mutable gpu::HostBuffer fetched;

  std::size_t sharedBytes(int paddedDim, int parts) const {
    return 2 * static_cast<std::size_t>(parts) * static_cast<std::size_t>(kRows + 2 * kKeys) *
           static_cast<std::size_t>(paddedDim + 8);
  }

  const Program& program(const Head::Data& head, int level) const {
    const int cell = std::clamp(level, kFinestLevel, 6);
    const auto key = std::make_tuple(head.paddedDim, head.parts, head.softcap.has_value(), cell);
    const auto found = programs.find(key);
    if (found != programs.end()) {
      return found->second;
    }
    Program made;
    made.module = gpu::loadModule(gpu::compile(kGpuSource, concat("sm_", device.major, device.minor),
                                               {concat("DIM=", head.paddedDim), concat("PARTS=", head.parts),
                                                concat("SOFTCAP=", head.softcap ? 1 : 0), concat("CELL=", cell)}));
    const std::size_t shared = sharedBytes(head.paddedDim, head.parts);
    made.pool = gpu::function(made.module, "pool", shared);
    made.rowSums = gpu::function(made.module, "rowSums", shared);
    made.split = gpu::function(made.module, "split", 0);
    return programs.emplace(key, made).first->second;
  }

  static Params params(const Head::Data& head) {
    Params p;
    p.q = head.q.pointer();
    p.k = head.k.pointer();
    p.normalizer = head.normalizer.pointer();
    p.tokens = head.tokens;
    p.window = head.window.value_or(0);
    p.scale = static_cast<float>(head.softcap ? 1.0 / *head.softcap : kLog2E);
    p.cap = static_cast<float>(head.softcap.value_or(0.0) * kLog2E);
    return p;
  }

  void launchPass(const Head::Data& head, const Pass& pass, int level) const {
    Params p = pass.params;
    // Enough blocks of threads for all multiprocessors, each with whole cells.
    const std::int64_t rowBlocks = roundUp(p.rowEnd - p.rowBegin, kRows) / kRows;
    const std::int64_t chunks = std::max<std::int64_t>(1, 8 * device.multiprocessors / rowBlocks);
    const std::int64_t keys = p.colEnd - p.colBegin;
    p.keysOfBlock = roundUp((keys + chunks - 1) / chunks, std::max(std::int64_t{1} << level, kKeys));
    const std::int64_t keyBlocks = (keys + p.keysOfBlock - 1) / p.keysOfBlock;
    void* arguments[] = {&p};
    gpu::launch(program(head, level).pool, static_cast<unsigned>(rowBlocks), static_cast<unsigned>(keyBlocks), kThreads,
                sharedBytes(head.paddedDim, head.parts), arguments);
  }

  gpu::Memory splitRows(const Head::Data& head, const std::vector<float>& rows, int dim) const {
    gpu::Memory whole(rows.size() * sizeof(float));
    whole.upload(rows.data(), whole.bytes());
    const std::int64_t elements = head.tokens * head.paddedDim;
    gpu::Memory parts(static_cast<std::size_t>(elements * head.parts) * 2);
    gpu::Pointer from = whole.pointer(), to = parts.pointer();
    std::int64_t tokens = head.tokens;
    void* arguments[] = {&from, &to, &tokens, &dim};
    gpu::launch(program(head, 6).split, static_cast<unsigned>((elements + 255) / 256), 1, 256, 0, arguments);
    gpu::synchronize();  // before the float32 rows are freed
    return parts;
  }

  // Natural log Σ exp(logit) of every row.
  std::vector<float> logSumExp(const Head::Data& head) const {
    Params p = params(head);
    p.rowEnd = p.colEnd = head.tokens;
    void* arguments[] = {&p};
    gpu::launch(program(head, 6).rowSums, static_cast<unsigned>(roundUp(head.tokens, kRows) / kRows), 1, kThreads,
                sharedBytes(head.paddedDim, head.parts), arguments);
    std::vector<float> lse(static_cast<std::size_t>(head.tokens));
    head.normalizer.download(lse.data(), lse.size() * sizeof(float));
    std::transform(lse.begin(), lse.end(), lse.begin(), toBaseE);
    return lse;
  }

  void uploadNormalizers(Head::Data& data, const HeadView& head) const {
    std::vector<float> normalizers(static_cast<std::size_t>(head.tokens));
    for (std::int64_t t = 0; t < head.tokens; ++t) {
      normalizers[static_cast<std::size_t>(t)] = toBase2(head.normalizer(t));
    }
    data.normalizer.upload(normalizers.data(), normalizers.size() * sizeof(float));
  }

  std::unique_ptr<Head::Data> upload(const HeadView& head, GpuPrecision precision) const {
    auto data = std::make_unique<Head::Data>();
    data->tokens = head.tokens;
    data->paddedDim = static_cast<int>(roundUp(head.dim, 16));
    data->parts = static_cast<int>(precision);
    data->window = head.window;
    data->softcap = head.softcap;
    if (sharedBytes(data->paddedDim, data->parts) > device.sharedBytes) {
      throw Error("", concat("head dim ", head.dim, " is too large for ", device.name), ErrorKind::Unsupported);
    }
    data->normalizer = gpu::Memory(static_cast<std::size_t>(head.tokens) * sizeof(float));
    data->q = splitRows(*data, head.q, head.dim);
    data->k = splitRows(*data, head.k, head.dim);
    return data;
  }
};

GpuMaps::Pass::Pass(const State& state, const Head::Data& head, const MapRange& range, int level)
    : params(State::params(head)) {
  const std::int64_t side = std::int64_t{1} << level;
  const std::int64_t height = (range.rows() + side - 1) / side;
  const std::int64_t width = (range.cols() + side - 1) / side;
  cells = static_cast<std::size_t>(height * width);
  if (state.planes.bytes() < bytes()) {
    state.planes = gpu::Memory();  // first, so that both need not fit
    state.planes = gpu::Memory(bytes());
  }
  state.planes.clear(bytes());
  params.largest = state.planes.pointer();
  params.logit = params.largest + cells * sizeof(float);
  params.sum = params.logit + cells * sizeof(float);
  params.rowBegin = range.rowBegin;
  params.rowEnd = range.rowEnd;
  params.colBegin = range.colBegin;
  params.colEnd = range.colEnd;
  params.level = level;
  params.width = static_cast<int>(width);
}

GpuMaps::Head::Head(std::unique_ptr<Data> data) : data_(std::move(data)) {}
GpuMaps::Head::~Head() = default;

GpuMaps::GpuMaps(std::unique_ptr<State> state) : state_(std::move(state)) {}

GpuMaps::~GpuMaps() {
  try {
    gpu::enter(state_->device);
  } catch (const Error&) {
    return;  // the driver has gone: so have the programs
  }
  for (const auto& [key, program] : state_->programs) {
    gpu::unloadModule(program.module);
  }
}

std::shared_ptr<GpuMaps> GpuMaps::open(int device, std::string& reason) {
  auto state = std::make_unique<State>();
  state->device = gpu::openDevice(device);
  reason = state->device.missing;
  return reason.empty() ? std::shared_ptr<GpuMaps>(new GpuMaps(std::move(state))) : nullptr;
}

const std::string& GpuMaps::name() const noexcept {
  return state_->device.name;
}

std::shared_ptr<const GpuMaps::Head> GpuMaps::upload(HeadView& head, GpuPrecision precision) {
  const std::lock_guard lock(state_->mutex);
  gpu::enter(state_->device);
  std::unique_ptr<Head::Data> data = state_->upload(head, precision);
  if (std::any_of(head.lse.begin(), head.lse.end(), [](float lse) { return std::isnan(lse); })) {
    head.lse = state_->logSumExp(*data);
  }
  state_->uploadNormalizers(*data, head);
  return std::shared_ptr<const Head>(new Head(std::move(data)));
}

std::shared_ptr<const GpuMaps::Head> GpuMaps::upload(const HeadView& head, GpuPrecision precision) {
  const std::lock_guard lock(state_->mutex);
  gpu::enter(state_->device);
  std::unique_ptr<Head::Data> data = state_->upload(head, precision);
  state_->uploadNormalizers(*data, head);
  return std::shared_ptr<const Head>(new Head(std::move(data)));
}

CellValues GpuMaps::poolSquares(const Head& head, const MapRange& range, int level) const {
  CellValues values;
  if (range.rows() <= 0 || range.cols() <= 0) {
    return values;
  }
  const std::lock_guard lock(state_->mutex);
  gpu::enter(state_->device);
  const Pass pass(*state_, *head.data_, range, level);
  state_->launchPass(*head.data_, pass, level);
  const auto* bits = static_cast<std::uint32_t*>(state_->fetched.room(pass.bytes()));
  state_->planes.download(state_->fetched.room(pass.bytes()), pass.bytes());
  values.max = fromOrdered(bits, pass.cells, 1.0f);
  values.logit = fromOrdered(bits + pass.cells, pass.cells, toBaseE(1.0f));
  values.sum.resize(pass.cells);
  std::memcpy(values.sum.data(), bits + 2 * pass.cells, pass.cells * sizeof(float));
  return values;
}

double GpuMaps::poolSeconds(const Head& head, const MapRange& range, int level, int rounds) const {
  const std::lock_guard lock(state_->mutex);
  gpu::enter(state_->device);
  const Pass pass(*state_, *head.data_, range, level);
  state_->launchPass(*head.data_, pass, level);  // compiles and warms up
  gpu::synchronize();
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < rounds; ++round) {
    state_->launchPass(*head.data_, pass, level);
  }
  gpu::synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / rounds;
}

std::shared_ptr<const Tile> GpuMaps::computeTile(const Head& head, const TileKey& key) const {
  const MapRange range = tileRange(key, head.data_->tokens);
  const CellValues values = poolSquares(head, range, key.level);
  return finishTile(key, squareGrid(range, std::int64_t{1} << key.level), values, head.data_->window);
}

}  // namespace headscope
