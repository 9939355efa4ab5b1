#include "core/analysis/device/head_batch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <type_traits>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/fft_fft.h>
#include <ATen/ops/fft_ifft.h>
#include <ATen/ops/fft_irfft.h>
#include <ATen/ops/fft_rfft.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include "core/analysis/case_prediction.h"
#include "core/analysis/device/head_layout.h"
#include "core/analysis/logit_rows.h"
#include "core/base/error.h"

namespace headscope::device {
namespace {

constexpr int kThreads = 256;
constexpr double kRowBytes = 2e9;  ///< of logits at once

std::int64_t ceilDivide(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

std::int64_t powerOfTwo(std::int64_t atLeast) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(1, atLeast))));
}

std::int64_t lagTokens(const BatchRequest& request) {
  const std::int64_t tokens = request.capture.tokens();
  return request.options.lagTokens > 0 ? std::min(request.options.lagTokens, tokens) : tokens;
}

/// One batch, from upload to figures. Tensors live as long as it; the kernels' pointers go into them.
class Work {
 public:
  Work(HeadProgram& program, const BatchRequest& request, const JobControl& control)
      : program_(program),
        request_(request),
        text_(request.text),
        control_(control),
        device_(program.gpu() < 0 ? at::Device(at::kCPU)
                                  : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(program.gpu()))),
        layer_(request.capture.layer(request.layers.front())),
        spec_(request.capture.attention(request.layers.front())),
        rope_(request.capture.rope(request.layers.front())) {}

  BatchFigures run() {
    describe();
    upload();
    statistics();
    lags();
    means();
    BatchFigures result;
    if (request_.options.cases) {
      control_.checkpoint();
      cases(result);
    }
    control_.checkpoint();
    rowScores(result);
    if (text_.needle) {
      retrieval(result);
    }
    if (request_.bounds) {
      control_.checkpoint();
      bounds(result);
    }
    result.figures = download(figures_);
    return result;
  }

 private:
  // Memory ---------------------------------------------------------------------------------------------------------

  at::Tensor keep(at::Tensor tensor) {
    kept_.push_back(tensor);
    return tensor;
  }
  at::Tensor doubles(at::IntArrayRef shape) { return keep(at::empty(shape, doubleKind_)); }
  double* room(double*& field, at::IntArrayRef shape) {
    field = doubles(shape).data_ptr<double>();
    return field;
  }
  /// Complex numbers [rows, length].
  at::Tensor waves(std::int64_t rows, std::int64_t length) {
    return at::empty({rows, length}, at::dtype(at::kComplexDouble).device(device_));
  }
  static double* parts(const at::Tensor& complex) { return static_cast<double*>(complex.data_ptr()); }

  template <typename Number>
  const Number* send(std::span<const Number> values, at::ScalarType type) {
    if (values.empty()) {
      return nullptr;
    }
    const at::Tensor host =
        at::from_blob(const_cast<Number*>(values.data()), {static_cast<std::int64_t>(values.size())}, at::dtype(type));
    return static_cast<const Number*>(keep(host.to(device_, false, true)).data_ptr());
  }
  const Index* send(const std::vector<std::int64_t>& values) {
    static_assert(std::is_same_v<Index, std::int64_t>);
    return send(std::span(values), at::kLong);
  }

  static std::vector<double> download(const at::Tensor& tensor) {
    const at::Tensor host = tensor.contiguous().cpu();
    const auto* values = host.data_ptr<double>();
    return {values, values + host.numel()};
  }

  // Kernels --------------------------------------------------------------------------------------------------------

  template <typename... More>
  void run(const char* kernel, std::int64_t blocksX, std::int64_t blocksY, int threads, More... more) {
    runWith(0, kernel, blocksX, blocksY, threads, more...);
  }
  template <typename... More>
  void runWith(std::size_t shared, const char* kernel, std::int64_t blocksX, std::int64_t blocksY, int threads,
               More... more) {
    void* arguments[] = {&b_, &more...};
    program_.launch(kernel, blocksX, blocksY, program_.threads(threads), shared, arguments);
  }
  std::int64_t blocksOfThreads(std::int64_t items) const { return ceilDivide(items, program_.threads(kThreads)); }
  std::int64_t blocksOfWarps(std::int64_t items) const {
    return ceilDivide(items, program_.threads(kThreads) / program_.warp());
  }
  /// Threads of a block in which each has a pair of dims.
  int pairThreads() const { return static_cast<int>(std::clamp<std::int64_t>(ceilDivide(b_.pairs, 32) * 32, 32, 256)); }

  // Steps ----------------------------------------------------------------------------------------------------------

  void describe() {
    const auto layers = static_cast<int>(request_.layers.size());
    b_.tokens = request_.capture.tokens();
    b_.dim = layer_.dim;
    b_.heads = layers * layer_.heads;
    b_.kvHeads = layers * layer_.kvHeads;
    b_.group = layer_.heads / layer_.kvHeads;
    b_.channels = rope_ != nullptr ? rope_->channels() : 0;
    b_.interleaved = rope_ != nullptr && rope_->pairing == RopePairing::Interleaved ? 1 : 0;
    b_.pairs = b_.channels + (b_.dim - 2 * b_.channels + 1) / 2;
    b_.type = typeCode(layer_.q.front().type);
    b_.scale = spec_.scale;
    b_.attentionScaling = rope_ != nullptr ? rope_->attentionScaling : 1;
    b_.softcap = spec_.softcap.value_or(0);
    b_.window = spec_.window.value_or(0);
    b_.lagTokens = lagTokens(request_);
    b_.fourier = powerOfTwo(2 * b_.lagTokens);
    const CaseLags lags = caseLags(b_.tokens);
    b_.lagFirst = lags.first;
    b_.lagSecond = lags.second;
  }

  void copyBytes(const void* from, const at::Device& where, std::int64_t bytes, std::byte* to) const {
    const at::Tensor source = at::from_blob(const_cast<void*>(from), {bytes}, at::dtype(at::kByte).device(where));
    at::from_blob(to, {bytes}, at::dtype(at::kByte).device(device_)).copy_(source, true);
  }

  /// Rows of one layer, one copy where the heads lie side by side.
  void sendRows(const std::vector<FloatRows>& heads, std::byte* target) const {
    const std::int64_t bytes = b_.tokens * b_.dim * static_cast<std::int64_t>(floatBytes(heads.front().type));
    bool together = true;
    for (std::size_t h = 1; h < heads.size(); ++h) {
      together = together && heads[h].data == heads[h - 1].data + bytes;
    }
    for (std::size_t h = 0; h < heads.size(); h += together ? heads.size() : 1) {
      copyBytes(heads[h].data, at::kCPU, together ? bytes * static_cast<std::int64_t>(heads.size()) : bytes,
                target + static_cast<std::int64_t>(h) * bytes);
    }
  }

  /// Queries and keys of one layer, from the GPU's memory if a run left them there.
  void sendLayer(int index, std::int64_t rowBytes, std::byte* q, std::byte* k) const {
    const CaptureLayer& layer = request_.capture.layer(index);
    const auto there = device_.is_cuda() ? request_.capture.deviceRows(index) : std::nullopt;
    if (!there) {
      sendRows(layer.q, q);
      sendRows(layer.k, k);
      return;
    }
    const at::Device gpu(at::kCUDA, static_cast<c10::DeviceIndex>(there->gpu));
    copyBytes(there->q, gpu, layer.heads * rowBytes, q);
    copyBytes(there->k, gpu, layer.kvHeads * rowBytes, k);
  }

  void upload() {
    const std::int64_t rowBytes = b_.tokens * b_.dim * static_cast<std::int64_t>(floatBytes(layer_.q.front().type));
    const auto bytes = [this](std::int64_t size) {
      return static_cast<std::byte*>(keep(at::empty({size}, at::dtype(at::kByte).device(device_))).data_ptr());
    };
    std::byte* q = bytes(b_.heads * rowBytes);
    std::byte* k = bytes(b_.kvHeads * rowBytes);
    b_.q = q;
    b_.k = k;
    std::vector<float> lse, sinks;
    for (const int index : request_.layers) {
      const CaptureLayer& layer = request_.capture.layer(index);
      sendLayer(index, rowBytes, q, k);
      q += layer.heads * rowBytes;
      k += layer.kvHeads * rowBytes;
      lse.insert(lse.end(), layer.lse.begin(), layer.lse.end());
      sinks.insert(sinks.end(), layer.sinks.begin(), layer.sinks.end());
    }
    b_.lse = send(std::span<const float>(lse), at::kFloat);
    b_.sinks = send(std::span<const float>(sinks), at::kFloat);
    b_.positions = send(text_.positions);
    b_.order = send(text_.order);
    b_.group0 = send(text_.groupStart);
    b_.earlier = send(text_.earlier);
    b_.noise = request_.options.cases ? send(std::span<const double>(text_.noise), at::kDouble) : nullptr;
    turns();
    steps();
    const std::int64_t step = text_.positions[1] - text_.positions[0];
    b_.evenStep = text_.evenly && b_.steps == 0 && step > 0 && step < b_.tokens ? step : -1;
  }

  void turns() {
    if (rope_ == nullptr) {
      return;
    }
    b_.frequency = send(std::span<const double>(rope_->invFreq), at::kDouble);
    turns_ = doubles({b_.tokens, 2 * b_.channels});
    bool plain = true;
    for (std::int64_t t = 0; t < b_.tokens; ++t) {
      plain = plain && text_.positions[static_cast<std::size_t>(t)] == t;
    }
    distances_ = plain ? turns_ : doubles({b_.tokens, 2 * b_.channels});
    b_.turns = turns_.data_ptr<double>();
    b_.distances = distances_.data_ptr<double>();
    run("angles", blocksOfThreads(b_.tokens * b_.channels), 1, kThreads);
  }

  void steps() {
    if (spec_.postRope.empty()) {
      return;
    }
    if (spec_.postRope.size() > std::size(b_.step)) {
      throw Error("", concat("more than ", std::size(b_.step), " steps after RoPE"), ErrorKind::Unsupported);
    }
    std::vector<double> q(static_cast<std::size_t>(b_.dim), 1.0), k(q);
    for (const PostRopeStep& step : spec_.postRope) {
      Step& target = b_.step[b_.steps++];
      target.norm = step.kind == PostRopeStep::Kind::RmsNorm ? 1 : 0;
      target.beta = step.beta;
      target.eps = step.eps;
      target.original = step.original;
      for (std::size_t d = 0; target.norm != 0 && d < q.size(); ++d) {
        q[d] *= static_cast<double>(step.q[d]);
        k[d] *= static_cast<double>(step.k[d]);
      }
      target.q = send(std::span<const float>(step.q), at::kFloat);
      target.k = send(std::span<const float>(step.k), at::kFloat);
    }
    b_.weightQ = send(std::span<const double>(q), at::kDouble);
    b_.weightK = send(std::span<const double>(k), at::kDouble);
    const std::int64_t rows = b_.heads + b_.kvHeads;
    room(b_.factor, {rows, b_.tokens});
    run("stepFactors", blocksOfWarps(rows * b_.tokens), 1, kThreads);
  }

  void statistics() {
    const std::int64_t rows = b_.heads + b_.kvHeads, chunks = ceilDivide(b_.tokens, kChunk);
    for (double** field : {&b_.norm, &b_.normDot, &b_.product, &b_.productDot}) {
      room(*field, {rows, b_.tokens});
    }
    room(b_.keyStep, {b_.kvHeads, b_.tokens});
    room(b_.sums, {rows, chunks, b_.pairs, kSums});
    for (double** field : {&b_.mean, &b_.meanUnrotated}) {
      room(*field, {rows, b_.dim});
    }
    meanDot_ = doubles({rows, b_.dim});
    b_.meanDot = meanDot_.data_ptr<double>();
    room(b_.lengths, {rows, std::max(1, b_.channels)});
    figures_ = keep(at::zeros({b_.heads, kFigures}, doubleKind_));
    b_.figures = figures_.data_ptr<double>();
    keys_ = doubles({b_.kvHeads, b_.tokens, b_.dim});
    b_.keys = keys_.data_ptr<double>();
    if (request_.bounds) {
      keyFactors_ = doubles({b_.kvHeads, b_.tokens, 1 + b_.channels});
      b_.keyFactors = keyFactors_.data_ptr<double>();
    }
    run("rowStatistics", blocksOfWarps(rows * b_.tokens), 1, kThreads);
    run("chunkSums", chunks, ceilDivide(rows, kRowsAtOnce), kThreads);
    run("summarize", rows, 1, kThreads, chunks);
    run("dominance", blocksOfThreads(b_.heads), 1, kThreads);
    run("prepareKeys", blocksOfWarps(b_.kvHeads * b_.tokens), 1, kThreads);
  }

  at::Tensor transformed(int which, std::int64_t rows, int pairs) {
    at::Tensor signal = waves(rows * pairs, b_.fourier);
    (which == 1 ? b_.keyWaves : b_.queryWaves) = parts(signal);
    run("loadWaves", ceilDivide(b_.fourier, 32), rows * ceilDivide(pairs, 32), kThreads, which, pairs);
    return at::fft_fft(signal);
  }

  void lags() {
    room(b_.weights, {b_.kvHeads, b_.pairs});
    run("keyWeights", b_.kvHeads, 1, pairThreads());
    for (double** field : {&b_.logitByLag, &b_.queryByLag, &b_.cosineByLag}) {
      room(*field, {b_.heads, b_.lagTokens});
    }
    const std::int64_t blocks = blocksOfThreads(b_.fourier);
    const auto sums = [&](int pairs, int withKeys) {
      at::Tensor cross = waves(b_.heads, b_.fourier), power = waves(b_.heads, b_.fourier);
      b_.cross = parts(cross);
      b_.power = parts(power);
      run("addWaves", blocks, b_.heads, kThreads, pairs, withKeys);
      power = at::fft_ifft(power);
      b_.power = parts(power);
      if (withKeys != 0) {
        cross = at::fft_ifft(cross);
        b_.cross = parts(cross);
      }
      run("finishLags", blocksOfThreads(b_.lagTokens), b_.heads, kThreads, withKeys);
    };
    {
      const at::Tensor q = transformed(0, b_.heads, b_.pairs), k = transformed(1, b_.kvHeads, b_.pairs);
      b_.queryWaves = parts(q);
      b_.keyWaves = parts(k);
      sums(b_.pairs, 1);
    }
    if (request_.bounds && !request_.options.season) {
      const int pairs = (b_.dim + 1) / 2;
      const at::Tensor q = transformed(2, b_.heads, pairs);
      b_.queryWaves = parts(q);
      sums(pairs, 0);
      run("findSeason", b_.heads, 1, kThreads);
    } else if (request_.bounds) {
      const std::int64_t season = *request_.options.season;
      figures_.select(1, kSeason).fill_(season > 0 && season < b_.tokens ? static_cast<double>(season) : 0.0);
    }
    run("findProminentLag", ceilDivide(b_.heads, program_.threads(32)), 1, 32);
    findPeriods(b_.logitByLag, b_.lagTokens, kMeasuredPeriod);
  }

  /// measurePeriod of curves [heads, length] into two columns of the figures.
  void findPeriods(const double* curves, std::int64_t length, int figure) {
    const std::int64_t half = length / 2, padded = powerOfTwo(2 * half);
    if (half / 2 < 2) {
      return;
    }
    const at::Tensor rest = at::empty({b_.heads, padded}, doubleKind_);
    run("detrend", b_.heads, 1, kThreads, curves, length, padded, rest.data_ptr<double>());
    const at::Tensor spectrum = at::fft_rfft(rest);
    const at::Tensor correlation = at::fft_irfft(spectrum * spectrum.conj(), padded).contiguous();
    run("findPeriod", b_.heads, 1, kThreads, correlation.const_data_ptr<double>(), half, padded, figure);
  }

  /// [H, T] = amplitudes [H, 2 C] · turns [T, 2 C]ᵀ.
  at::Tensor waveSum(const at::Tensor& amplitudes, const at::Tensor& turns) {
    return b_.channels > 0 ? at::mm(amplitudes, turns.t()) : at::zeros({b_.heads, b_.tokens}, doubleKind_);
  }

  void means() {
    if (!request_.options.cases) {
      return;
    }
    const at::Tensor amplitude = doubles({b_.heads, 2 * b_.channels}), keyAmplitude = doubles(amplitude.sizes());
    b_.amplitude = amplitude.data_ptr<double>();
    b_.keyAmplitude = keyAmplitude.data_ptr<double>();
    room(b_.constant, {b_.heads});
    room(b_.keyConstant, {b_.heads});
    run("meanWaves", b_.heads, 1, pairThreads());
    const at::Tensor predicted = keep(waveSum(amplitude, distances_));
    const at::Tensor queries =
        meanDot_.narrow(0, 0, b_.heads).mul(b_.scale).view({b_.kvHeads, b_.group, static_cast<std::int64_t>(b_.dim)});
    const at::Tensor keyPart = keep(at::bmm(queries, keys_.transpose(1, 2)).view({b_.heads, b_.tokens}));
    if (b_.steps == 0 && b_.channels > 0) {
      keyPart.addmm_(keyAmplitude, turns_.t());
    }
    b_.predicted = predicted.data_ptr<double>();
    b_.keyPart = keyPart.data_ptr<double>();
    run("addConstants", blocksOfThreads(b_.tokens), b_.heads, kThreads);
    findPeriods(b_.predicted, b_.tokens, kExpectedPeriod);
  }

  /// Rows [H, count, D] times the keys: [H, count, keys].
  at::Tensor products(const at::Tensor& rows, const at::Tensor& factors, std::int64_t keys) const {
    const std::int64_t count = rows.size(1), width = rows.size(2);
    return at::bmm(rows.view({b_.kvHeads, b_.group * count, width}), factors.narrow(1, 0, keys).transpose(1, 2))
        .view({b_.heads, count, keys});
  }

  /// Logits of rows `tokens`: a list for all heads (stride 0), or one a head.
  at::Tensor logits(const Index* tokens, std::int64_t stride, std::int64_t count, std::int64_t keys) {
    const at::Tensor rows = at::empty({b_.heads, count, b_.dim}, doubleKind_);
    run("gatherRows", blocksOfWarps(b_.heads * count), 1, kThreads, tokens, stride, count, rows.data_ptr<double>());
    return products(rows, keys_, keys);
  }
  /// Rows of weights [H, count, keys], which times their factors [H, count] are probabilities.
  struct WeightedRows {
    at::Tensor weights, factors;
    const double* weightsData() const { return weights.data_ptr<double>(); }
    const double* factorsData() const { return factors.data_ptr<double>(); }
  };
  WeightedRows probabilities(const Index* tokens, std::int64_t stride, std::int64_t count, std::int64_t keys) {
    const WeightedRows rows{logits(tokens, stride, count, keys), at::empty({b_.heads, count}, doubleKind_)};
    run("softmaxRows", count, b_.heads, kThreads, tokens, stride, count, keys, rows.weights.data_ptr<double>(),
        rows.factors.data_ptr<double>());
    return rows;
  }

  void cases(BatchFigures& result) {
    b_.anchorsPredicted = kPredictionAnchors;
    b_.anchors = request_.options.caseOptions.anchors;
    const std::int64_t items = static_cast<std::int64_t>(b_.pairs) * kSlices;
    room(b_.correlations, {b_.heads, kCorrelations});
    runWith(static_cast<std::size_t>(items * 14 + b_.pairs * 6) * sizeof(double), "unexplained", b_.heads, 1, kThreads);
    const at::Tensor predicted = doubles({b_.heads, b_.anchorsPredicted, kAgreements});
    b_.predictedAgreements = predicted.data_ptr<double>();
    {
      const at::Tensor drawn = at::empty({b_.heads, b_.anchorsPredicted, 2, b_.tokens}, doubleKind_);
      b_.drawn = drawn.data_ptr<double>();
      run("predictCases", b_.anchorsPredicted, b_.heads, kThreads);
    }
    const std::int64_t rows = b_.anchors * kAnchorRows;
    const at::Tensor tokens = keep(at::empty({b_.heads, rows}, at::dtype(at::kLong).device(device_)));
    b_.anchorTokens = tokens.data_ptr<std::int64_t>();
    run("placeAnchors", blocksOfThreads(b_.heads * b_.anchors), 1, kThreads);
    const at::Tensor measured = doubles({b_.heads, b_.anchors, kAgreements});
    b_.measuredAgreements = measured.data_ptr<double>();
    const WeightedRows attention = probabilities(b_.anchorTokens, rows, rows, b_.tokens);
    run("measureCases", b_.anchors, b_.heads, kThreads, attention.weightsData(), attention.factorsData());
    result.predicted = download(predicted);
    result.measured = download(measured);
  }

  std::int64_t rowsAtOnce(std::int64_t width) const {
    const double bytes = 8.0 * static_cast<double>(b_.heads) * static_cast<double>(b_.tokens * width);
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(kRowBytes / bytes));
  }

  /// Calls visit(tokens on the device, count, keys) for rows in parts whose products fit.
  template <typename Visit>
  void inParts(const std::vector<std::int64_t>& rows, std::int64_t width, std::int64_t further, Visit visit) {
    const Index* tokens = send(rows);
    const std::int64_t count = static_cast<std::int64_t>(rows.size()), most = rowsAtOnce(width);
    for (std::int64_t first = 0; first < count; first += most) {
      control_.checkpoint();
      const std::int64_t part = std::min(most, count - first);
      const std::int64_t keys = std::min(b_.tokens, rows[static_cast<std::size_t>(first + part - 1)] + 1 + further);
      visit(tokens + first, first, part, keys);
    }
  }

  void markLines() {
    const std::int64_t probe = std::max<std::int64_t>(1, request_.options.verticalSlash.probeRows);
    const std::int64_t first = std::max<std::int64_t>(1, b_.tokens - probe), count = b_.tokens - first;
    std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
    std::iota(rows.begin(), rows.end(), first);
    const WeightedRows attention = probabilities(send(rows), 0, count, b_.tokens);
    room(b_.columnMass, {b_.heads, b_.tokens});
    room(b_.distanceMass, {b_.heads, b_.tokens});
    for (unsigned char** line : {&b_.columnLine, &b_.distanceLine}) {
      *line = keep(at::empty({b_.heads, b_.tokens}, at::dtype(at::kByte).device(device_))).data_ptr<std::uint8_t>();
    }
    b_.columnLines = keptLines(request_.options.verticalSlash.columnShare, b_.tokens);
    b_.distanceLines = keptLines(request_.options.verticalSlash.distanceShare, b_.tokens);
    run("lineMass", blocksOfThreads(b_.tokens), b_.heads, kThreads, attention.weightsData(), attention.factorsData(),
        first, count);
    run("markLines", b_.heads, 2, kThreads);
  }

  void rowScores(BatchFigures& result) {
    markLines();
    at::Tensor sums = at::zeros({b_.heads, kRowScores}, doubleKind_);
    inParts(text_.rows, 1, 0, [&](const Index* tokens, std::int64_t, std::int64_t count, std::int64_t keys) {
      const at::Tensor row = logits(tokens, 0, count, keys);
      const at::Tensor scores = at::empty({b_.heads, count, kRowScores}, doubleKind_);
      run("scoreRows", count, b_.heads, kThreads, tokens, count, keys, row.const_data_ptr<double>(),
          scores.data_ptr<double>());
      sums += scores.sum(1);
    });
    result.rowScores = download(sums);
  }

  void retrieval(BatchFigures& result) {
    const Index* starts = send(text_.placeStarts);
    const Index* places = send(text_.places);
    at::Tensor sums = at::zeros({b_.heads, 2}, doubleKind_);
    inParts(text_.answerRows, 1, 0,
            [&](const Index* tokens, std::int64_t first, std::int64_t count, std::int64_t keys) {
              const at::Tensor row = logits(tokens, 0, count, keys);
              const at::Tensor scores = at::empty({b_.heads, count, 2}, doubleKind_);
              run("scoreRetrieval", count, b_.heads, kThreads, tokens, count, keys, row.const_data_ptr<double>(),
                  starts + first, places, scores.data_ptr<double>());
              sums += scores.sum(1);
            });
    result.retrieval = download(sums);
  }

  void bounds(BatchFigures& result) {
    room(b_.periodDistance, {b_.heads, b_.tokens});
    run("periodDistances", blocksOfWarps(b_.heads * b_.tokens), 1, kThreads);
    const at::Tensor totals = at::zeros({b_.heads, kStatements, kTotals}, doubleKind_);
    const std::int64_t width = kBoundRows + kBoundFactors;
    inParts(text_.boundRows, width, 1, [&](const Index* tokens, std::int64_t, std::int64_t count, std::int64_t keys) {
      const at::Tensor rows = at::empty({b_.heads, count * kBoundRows, b_.dim}, doubleKind_);
      const at::Tensor left = at::empty({b_.heads, count * kBoundFactors, 1 + b_.channels}, doubleKind_);
      run("gatherBounds", blocksOfWarps(count), b_.heads, kThreads, tokens, count, rows.data_ptr<double>(),
          left.data_ptr<double>());
      const at::Tensor product = products(rows, keys_, keys), bound = products(left, keyFactors_, keys);
      const at::Tensor checked = at::empty({b_.heads, count, kStatements, kTotals}, doubleKind_);
      run("checkRows", count, b_.heads, kThreads, tokens, count, keys, product.const_data_ptr<double>(),
          left.const_data_ptr<double>(), bound.const_data_ptr<double>(), checked.data_ptr<double>());
      run("addTotals", blocksOfThreads(b_.heads * kStatements), 1, kThreads, checked.const_data_ptr<double>(), count,
          totals.data_ptr<double>());
    });
    result.totals = download(totals);
  }

  HeadProgram& program_;
  const BatchRequest& request_;
  const BatchText& text_;
  const JobControl& control_;
  at::Device device_;
  const CaptureLayer& layer_;
  const AttentionSpec& spec_;
  const Rope* rope_;
  const at::TensorOptions doubleKind_ = at::dtype(at::kDouble).device(device_);
  Batch b_{};
  std::vector<at::Tensor> kept_;
  at::Tensor turns_, distances_, meanDot_, figures_, keys_, keyFactors_;
};

std::vector<std::int64_t> listed(const std::vector<RowRun>& runs, std::int64_t offset) {
  std::vector<std::int64_t> rows;
  for (const RowRun& run : runs) {
    for (std::int64_t r = 0; r < run.count; ++r) {
      rows.push_back(offset + run.first + r);
    }
  }
  return rows;
}

}  // namespace

int typeCode(FloatType type) {
  return type == FloatType::F32 ? 0 : type == FloatType::F16 ? 1 : 2;
}

BatchText::BatchText(const Capture& capture, const AnalysisOptions& options) {
  const std::int64_t tokens = capture.tokens();
  for (std::int64_t t = 0; t < tokens; ++t) {
    positions.push_back(capture.position(t));
    evenly = evenly && (t < 2 || positions[static_cast<std::size_t>(t)] - positions[static_cast<std::size_t>(t - 1)] ==
                                     positions[1] - positions[0]);
  }
  if (options.cases) {
    noise = predictionNoise(tokens);
  }
  rows = listed(rowRuns(tokens, options.sample.rows), 0);
  std::erase(rows, 0);
  boundRows = listed(rowRuns(tokens, options.boundRows().rows), 0);
  const std::vector<std::int64_t>& ids = capture.header().ids;
  if (ids.empty()) {
    return;
  }
  const auto size = static_cast<std::size_t>(tokens);
  order.resize(size);
  std::iota(order.begin(), order.end(), 0);
  const auto id = [&ids](std::int64_t t) { return ids[static_cast<std::size_t>(t)]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return id(a) < id(b); });
  groupStart.resize(size);
  earlier.resize(size);
  std::int64_t start = 0;
  for (std::int64_t place = 0; place < tokens; ++place) {
    const std::int64_t t = order[static_cast<std::size_t>(place)];
    start = place > 0 && id(order[static_cast<std::size_t>(place - 1)]) == id(t) ? start : place;
    groupStart[static_cast<std::size_t>(t)] = start;
    earlier[static_cast<std::size_t>(t)] = place - start;
  }
  repeated = std::count_if(rows.begin(), rows.end(),
                           [this](std::int64_t t) { return earlier[static_cast<std::size_t>(t)] > 0; });
  needle = findNeedle(ids);
  if (needle) {
    answerRows = listed(rowRuns(needle->tokens, options.sample.rows), needle->answer - 1);
    placeStarts.push_back(0);
    for (const std::int64_t t : answerRows) {
      const auto next = static_cast<std::size_t>(t + 1);  // the needle lies before it
      const auto begin = order.begin() + groupStart[next], end = begin + earlier[next];
      places.insert(places.end(), std::lower_bound(begin, end, needle->needle),
                    std::lower_bound(begin, end, needle->needle + needle->tokens));
      placeStarts.push_back(static_cast<std::int64_t>(places.size()));
    }
  }
}

double layerBytes(const BatchRequest& request) {
  const CaptureLayer& layer = request.capture.layer(request.layers.front());
  const auto tokens = static_cast<double>(request.capture.tokens());
  const double heads = layer.heads, kvHeads = layer.kvHeads, dim = layer.dim;
  const auto bytes = static_cast<double>(floatBytes(layer.q.front().type));
  const double waves = dim / 2 * static_cast<double>(powerOfTwo(2 * lagTokens(request))) * 16;
  const double anchors = request.options.cases ? static_cast<double>(request.options.caseOptions.anchors) : 0;
  const auto probe = static_cast<double>(request.options.verticalSlash.probeRows);
  const double perQuery = dim * bytes + 8 * 8 + 8 * 2 * probe + 8 * kAnchorRows * anchors + 2;
  const double perKey = dim * bytes + dim * 8 + (1 + dim / 2) * 8 + 8 * 4;
  return heads * (tokens * perQuery + 2 * waves) + kvHeads * (tokens * perKey + 2 * waves);
}

BatchFigures computeBatch(HeadProgram& program, const BatchRequest& request, const JobControl& control) {
  const c10::InferenceMode inference;
  try {
    program.enter();
    c10::OptionalDeviceGuard guard;
    if (program.gpu() >= 0) {
      guard.reset_device(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(program.gpu())));
    }
    return Work(program, request, control).run();
  } catch (const c10::OutOfMemoryError&) {
    throw Error("", "the GPU's memory doesn't suffice for the scores", ErrorKind::Memory);
  } catch (const c10::Error& error) {
    throw Error("", concat("the GPU failed: ", error.what_without_backtrace()), ErrorKind::Unsupported);
  }
}

}  // namespace headscope::device
