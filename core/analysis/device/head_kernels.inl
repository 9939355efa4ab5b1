// Kernels over a batch of heads (head_layout.h), for CUDA. Compiled by NVRTC when the program runs on a GPU; tests
// compile the same text for the processor with one thread a block, so a loop over threads must work with any number.
// Every kernel gets the batch first. Sums are added in a fixed order: two runs give the same digits.

namespace headscope::device {

#ifndef HEADSCOPE_EMULATED
constexpr int kWarp = 32;
#define HEADSCOPE_BLOCK_MEMORY(name) extern __shared__ double name[]
#define HEADSCOPE_BARRIER() __syncthreads()
#define HEADSCOPE_COUNT(counter) atomicAdd(counter, 1u)
#define HEADSCOPE_CALLED __device__ __noinline__  // from many places: compiling takes the user's time

__device__ double warpSum(double x) {
  for (int other = kWarp / 2; other > 0; other /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, other);
  }
  return x;
}
__device__ double warpMax(double x) {
  for (int other = kWarp / 2; other > 0; other /= 2) {
    x = fmax(x, __shfl_xor_sync(0xffffffffu, x, other));
  }
  return x;
}
__device__ float asFloat(unsigned bits) {
  return __uint_as_float(bits);
}
__device__ unsigned long long bitsOf(double x) {
  return static_cast<unsigned long long>(__double_as_longlong(x));
}
#endif

struct Two {
  double x, y;
};

__device__ int lane() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ int warp() {
  return static_cast<int>(threadIdx.x) / kWarp;
}
__device__ int warps() {
  return static_cast<int>(blockDim.x) / kWarp;
}
/// Which row of many a warp has.
__device__ Index warpItem() {
  return static_cast<Index>(blockIdx.x) * warps() + warp();
}
__device__ Index threadItem() {
  return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
}

constexpr int kMostWarps = 32;

/// Sums over the block, for all threads.
template <int N>
__device__ void blockSums(double (&x)[N]) {
  __shared__ double part[kMostWarps][N];
  for (int j = 0; j < N; ++j) {
    x[j] = warpSum(x[j]);
  }
  HEADSCOPE_BARRIER();
  for (int j = 0; lane() == 0 && j < N; ++j) {
    part[warp()][j] = x[j];
  }
  HEADSCOPE_BARRIER();
  for (int j = 0; j < N; ++j) {
    x[j] = 0;
    for (int w = 0; w < warps(); ++w) {
      x[j] += part[w][j];
    }
  }
}
__device__ double blockSum(double x) {
  double one[1] = {x};
  blockSums(one);
  return one[0];
}

template <int N>
__device__ void blockMaxima(double (&x)[N]) {
  __shared__ double part[kMostWarps][N];
  for (int j = 0; j < N; ++j) {
    x[j] = warpMax(x[j]);
  }
  HEADSCOPE_BARRIER();
  for (int j = 0; lane() == 0 && j < N; ++j) {
    part[warp()][j] = x[j];
  }
  HEADSCOPE_BARRIER();
  for (int j = 0; j < N; ++j) {
    for (int w = 0; w < warps(); ++w) {
      x[j] = fmax(x[j], part[w][j]);
    }
  }
}
__device__ double blockMax(double x) {
  double one[1] = {x};
  blockMaxima(one);
  return one[0];
}
/// The smallest of whole numbers below 2^53.
__device__ Index blockMin(Index x) {
  return -static_cast<Index>(blockMax(-static_cast<double>(x)));
}

// Values of q and k ----------------------------------------------------------------------------------------------

__device__ double fromHalf(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31u);
  const double fraction = static_cast<double>(bits & 1023u);
  const double size = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000u) != 0 ? -size : size;
}

__device__ double raw(const Batch& b, int n, Index t, int d) {
  const bool query = n < b.heads;
  const Index at = (static_cast<Index>(query ? n : n - b.heads) * b.tokens + t) * b.dim + d;
  const void* rows = query ? b.q : b.k;
#ifdef HEADSCOPE_TYPE  // known when it is compiled: loads need not wait for each other
  constexpr int type = HEADSCOPE_TYPE;
#else
  const int type = b.type;
#endif
  if (type == 0) {
    return static_cast<double>(static_cast<const float*>(rows)[at]);
  }
  const unsigned bits = static_cast<const unsigned short*>(rows)[at];
  return type == 2 ? static_cast<double>(asFloat(bits << 16)) : fromHalf(bits);
}

__device__ int firstDim(const Batch& b, int p) {
  return p >= b.channels ? 2 * p : b.interleaved != 0 ? 2 * p : p;
}
/// −1 where the last dim stands alone.
__device__ int secondDim(const Batch& b, int p) {
  if (p < b.channels) {
    return b.interleaved != 0 ? 2 * p + 1 : p + b.channels;
  }
  return 2 * p + 1 < b.dim ? 2 * p + 1 : -1;
}

__device__ Two rawPair(const Batch& b, int n, Index t, int p) {
  const int second = secondDim(b, p);
  return {raw(b, n, t, firstDim(b, p)), second >= 0 ? raw(b, n, t, second) : 0.0};
}

__device__ Two rotated(Two z, double cosine, double sine) {
  return {z.x * cosine - z.y * sine, z.y * cosine + z.x * sine};
}

/// Times attention scaling on the rotary dims.
__device__ Two scaled(const Batch& b, int p, Two z) {
  return p < b.channels ? Two{z.x * b.attentionScaling, z.y * b.attentionScaling} : z;
}

/// R_t z, a pure rotation.
__device__ Two turned(const Batch& b, Index t, int p, Two z) {
  if (p >= b.channels) {
    return z;
  }
  const double* turn = b.turns + t * 2 * b.channels;
  return rotated(z, turn[p], turn[b.channels + p]);
}

/// As it enters the dot product.
__device__ Two dotPair(const Batch& b, int n, Index t, int p) {
  Two z = turned(b, t, p, scaled(b, p, rawPair(b, n, t, p)));
  if (b.steps > 0) {
    const double* weight = n < b.heads ? b.weightQ : b.weightK;
    const double factor = b.factor[n * b.tokens + t];
    const int second = secondDim(b, p);
    z.x *= weight[firstDim(b, p)] * factor;
    z.y *= second >= 0 ? weight[second] * factor : 0;
  }
  return z;
}

__device__ void putPair(const Batch& b, double* row, int p, Two z) {
  row[firstDim(b, p)] = z.x;
  if (secondDim(b, p) >= 0) {
    row[secondDim(b, p)] = z.y;
  }
}
__device__ Two pairOf(const Batch& b, const double* row, int p) {
  const int second = secondDim(b, p);
  return {row[firstDim(b, p)], second >= 0 ? row[second] : 0.0};
}

__device__ double length(Two z) {
  return sqrt(z.x * z.x + z.y * z.y);
}
__device__ Two difference(Two a, Two b) {
  return {a.x - b.x, a.y - b.y};
}

constexpr double kSmallestNorm = 1e-12;
constexpr double kPi = 3.14159265358979323846;

// Rows -----------------------------------------------------------------------------------------------------------

/// cos and sin at the positions and at all distances.
extern "C" __global__ void angles(Batch b) {
  const Index item = threadItem();
  if (item >= b.tokens * b.channels) {
    return;
  }
  const Index t = item / b.channels;
  const int m = static_cast<int>(item % b.channels);
  const double angle = static_cast<double>(b.positions[t]) * b.frequency[m];
  const double distance = static_cast<double>(t) * b.frequency[m];
  double* turn = b.turns + t * 2 * b.channels;
  turn[m] = cos(angle);
  turn[b.channels + m] = sin(angle);
  if (b.distances != b.turns) {
    b.distances[t * 2 * b.channels + m] = cos(distance);
    b.distances[t * 2 * b.channels + b.channels + m] = sin(distance);
  }
}

/// What the steps after RoPE multiply a row with, besides the weights of its dims. A warp per row.
extern "C" __global__ void stepFactors(Batch b) {
  const Index item = warpItem();
  if (item >= (b.heads + b.kvHeads) * b.tokens) {
    return;
  }
  const int n = static_cast<int>(item / b.tokens);
  const Index t = item % b.tokens;
  const bool query = n < b.heads;
  double factor = 1;
  for (int s = 0; s < b.steps; ++s) {
    if (b.step[s].norm == 0) {
      const double turn = floor(static_cast<double>(b.positions[t]) / static_cast<double>(b.step[s].original));
      factor *= query ? 1 + b.step[s].beta * log(1 + turn) : 1;
      continue;
    }
    double squares = 0;
    for (int p = lane(); p < b.pairs; p += kWarp) {
      Two z = turned(b, t, p, scaled(b, p, rawPair(b, n, t, p)));
      const int first = firstDim(b, p), second = secondDim(b, p);
      for (int before = 0; before < s; ++before) {
        if (b.step[before].norm != 0) {
          const float* weight = query ? b.step[before].q : b.step[before].k;
          z.x *= weight[first];
          z.y *= second >= 0 ? weight[second] : 0;
        }
      }
      squares += (z.x * z.x + z.y * z.y) * factor * factor;
    }
    factor *= 1 / sqrt(warpSum(squares) / b.dim + b.step[s].eps);
  }
  if (lane() == 0) {
    b.factor[item] = factor;
  }
}

/// Norms, products with the next row, steps of the keys. A warp per row.
extern "C" __global__ void rowStatistics(Batch b) {
  const Index item = warpItem();
  if (item >= (b.heads + b.kvHeads) * b.tokens) {
    return;
  }
  const int n = static_cast<int>(item / b.tokens);
  const Index t = item % b.tokens;
  const bool query = n < b.heads, last = t + 1 == b.tokens;
  const bool changed = b.steps > 0 || b.attentionScaling != 1;
  double own = 0, product = 0, ownDot = 0, productDot = 0;
  for (int p = lane(); p < b.pairs; p += kWarp) {
    const Two z = rawPair(b, n, t, p);
    const Two y = last ? Two{0, 0} : rawPair(b, n, t + 1, p);
    own += z.x * z.x + z.y * z.y;
    product += z.x * y.x + z.y * y.y;
    if (!query) {
      const Two change = scaled(b, p, difference(y, z));
      productDot += change.x * change.x + change.y * change.y;
      continue;
    }
    Two zDot = scaled(b, p, z), yDot = scaled(b, p, y);
    if (b.evenStep < 0) {
      zDot = dotPair(b, n, t, p);
      yDot = last ? Two{0, 0} : dotPair(b, n, t + 1, p);
    } else if (p < b.channels) {  // R_t z · R_{t+1} y = z · R_step y
      const double* turn = b.distances + b.evenStep * 2 * b.channels;
      yDot = rotated(yDot, turn[p], turn[b.channels + p]);
    }
    ownDot += zDot.x * zDot.x + zDot.y * zDot.y;
    productDot += zDot.x * yDot.x + zDot.y * yDot.y;
  }
  own = sqrt(warpSum(own));
  product = warpSum(product);
  productDot = warpSum(productDot);
  ownDot = query && changed ? sqrt(warpSum(ownDot)) : own;
  if (lane() == 0) {
    b.norm[item] = own;
    b.product[item] = product;
    if (query) {
      b.normDot[item] = ownDot;
      b.productDot[item] = productDot;
    } else {
      b.keyStep[item - b.heads * b.tokens] = last ? 0 : sqrt(productDot);
    }
  }
}

/// Sums over kChunk tokens of one row: unit vectors, squares of these, rows before RoPE, in the dot product, and of the
/// latter turned back; lengths of the pairs. A block per chunk of kRowsAtOnce rows, which need the same
/// angles; a thread per row and pair.
extern "C" __global__ void chunkSums(Batch b) {
  const Index chunk = blockIdx.x, first = chunk * kChunk;
  const Index end = first + kChunk < b.tokens ? first + kChunk : b.tokens;
  for (int item = static_cast<int>(threadIdx.x); item < kRowsAtOnce * b.pairs; item += static_cast<int>(blockDim.x)) {
    const int n = static_cast<int>(blockIdx.y) * kRowsAtOnce + item / b.pairs, p = item % b.pairs;
    if (n >= b.heads + b.kvHeads) {
      continue;
    }
    const bool query = n < b.heads;
    double sum[kSums] = {};
    for (Index t = first; t < end; ++t) {
      const Two z = rawPair(b, n, t, p);
      const double norm = b.norm[n * b.tokens + t];
      const double unit = 1 / fmax(norm, kSmallestNorm);
      sum[0] += z.x * unit;
      sum[1] += z.y * unit;
      sum[2] += norm * unit * norm * unit;
      sum[3] += z.x;
      sum[4] += z.y;
      Two back = scaled(b, p, z);
      if (query || b.steps > 0) {
        const Two dot = dotPair(b, n, t, p);
        sum[5] += dot.x;
        sum[6] += dot.y;
        if (b.steps > 0) {
          const double* turn = b.turns + t * 2 * b.channels;
          back = p < b.channels ? rotated(dot, turn[p], -turn[b.channels + p]) : dot;
        }
      }
      sum[7] += back.x;
      sum[8] += back.y;
      sum[9] += length(z);
    }
    double* out = b.sums + ((n * static_cast<Index>(gridDim.x) + chunk) * b.pairs + p) * kSums;
    for (int j = 0; j < kSums; ++j) {
      out[j] = sum[j];
    }
  }
}

/// Means of each row, and of query heads the similarity in the published settings. A block per row.
extern "C" __global__ void summarize(Batch b, Index chunks) {
  const int n = static_cast<int>(blockIdx.x);
  const double* sums = b.sums + n * chunks * b.pairs * kSums;
  const double share = 1.0 / static_cast<double>(b.tokens);
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    double total[kSums] = {};
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      for (int j = 3; j < kSums; ++j) {
        total[j] += sums[(chunk * b.pairs + p) * kSums + j];
      }
    }
    putPair(b, b.mean + static_cast<Index>(n) * b.dim, p, {total[3] * share, total[4] * share});
    putPair(b, b.meanDot + static_cast<Index>(n) * b.dim, p, {total[5] * share, total[6] * share});
    putPair(b, b.meanUnrotated + static_cast<Index>(n) * b.dim, p, {total[7] * share, total[8] * share});
    if (p < b.channels) {
      b.lengths[static_cast<Index>(n) * b.channels + p] = total[9] * share;
    }
  }
  double cosines[2] = {};
  const auto cosine = [&](const double* product, const double* norm, Index t) {
    return product[t] / fmax(norm[t], kSmallestNorm) / fmax(norm[t + 1], kSmallestNorm);
  };
  for (Index t = threadIdx.x; t + 1 < b.tokens; t += blockDim.x) {
    const Index row = n * b.tokens;
    cosines[0] += cosine(b.product + row, b.norm + row, t);
    cosines[1] += n < b.heads ? cosine(b.productDot + row, b.normDot + row, t) : 0;
  }
  blockSums(cosines);
  const double steps = static_cast<double>(b.tokens - 1);
  if (n >= b.heads) {
    if (threadIdx.x == 0) {
      for (int h = (n - b.heads) * b.group; h < (n - b.heads + 1) * b.group; ++h) {
        b.figures[static_cast<Index>(h) * kFigures + kKeyConsecutive] = cosines[0] / steps;
      }
    }
    return;
  }
  double pruning = 0, segments = 0;
  for (Index start = 0; start < chunks; ++start) {
    const Index end = start + kSegmentChunks < chunks ? start + kSegmentChunks : chunks;
    const Index endToken = end * kChunk < b.tokens ? end * kChunk : b.tokens;
    const double rows = static_cast<double>(endToken - start * kChunk);
    double parts[2] = {};  // |Σ unit|², Σ |unit|²
    for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
      double x = 0, y = 0;
      for (Index chunk = start; chunk < end; ++chunk) {
        const double* sum = sums + (chunk * b.pairs + p) * kSums;
        x += sum[0];
        y += sum[1];
        parts[1] += p == 0 ? sum[2] : 0;
      }
      parts[0] += x * x + y * y;
    }
    blockSums(parts);
    if (rows > 1) {
      pruning += (parts[0] - parts[1]) / (rows * (rows - 1));
      segments += 1;
    }
  }
  const Index window = b.tokens < 32 ? b.tokens : 32;
  double parts[2] = {};
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    double x = 0, y = 0;
    for (Index t = b.tokens - window; t < b.tokens; ++t) {
      const double norm = b.normDot[n * b.tokens + t], unit = 1 / fmax(norm, kSmallestNorm);
      const Two z = dotPair(b, n, t, p);
      x += z.x * unit;
      y += z.y * unit;
      parts[1] += p == 0 ? norm * unit * norm * unit : 0;
    }
    parts[0] += x * x + y * y;
  }
  blockSums(parts);
  if (threadIdx.x == 0) {
    double* figures = b.figures + static_cast<Index>(n) * kFigures;
    figures[kQueryConsecutive] = cosines[0] / steps;
    figures[kQueryConsecutiveDot] = cosines[1] / steps;
    figures[kQueryPrune] = pruning / segments;
    figures[kQueryKv] = (parts[0] - parts[1]) / static_cast<double>(window * (window - 1));
  }
}

/// The dominant channel and its period. A thread per query head.
extern "C" __global__ void dominance(Batch b) {
  const Index h = threadItem();
  if (h >= b.heads) {
    return;
  }
  const double* q = b.lengths + h * b.channels;
  const double* k = b.lengths + (b.heads + h / b.group) * b.channels;
  double top = 0, next = 0;
  int dominant = -1;
  for (int m = 0; m < b.channels; ++m) {
    const double strength = q[m] * k[m];
    if (strength > top) {
      next = top;
      top = strength;
      dominant = m;
    } else if (strength > next) {
      next = strength;
    }
  }
  const double frequency = dominant >= 0 ? fabs(b.frequency[dominant]) : 0;
  const double period = frequency > 0 ? 2 * kPi / frequency : 0;
  double* figures = b.figures + h * kFigures;
  figures[kDominantChannel] = dominant;
  figures[kDominance] = next > 0 ? top / next : 0;
  figures[kPredictedPeriod] = period;
  figures[kDiagonalPeriod] = period < static_cast<double>(b.tokens) ? floor(period + 0.5) : 0;
}

/// Keys in the dot product and, if asked for, the right factors of the bounds. A warp per row.
extern "C" __global__ void prepareKeys(Batch b) {
  const Index item = warpItem();
  if (item >= b.kvHeads * b.tokens) {
    return;
  }
  const int n = b.heads + static_cast<int>(item / b.tokens);
  const Index t = item % b.tokens;
  double squares = 0;
  for (int p = lane(); p < b.pairs; p += kWarp) {
    const Two z = dotPair(b, n, t, p);
    putPair(b, b.keys + item * b.dim, p, z);
    squares += z.x * z.x + z.y * z.y;
    if (b.keyFactors != nullptr && p < b.channels) {
      b.keyFactors[item * (1 + b.channels) + 1 + p] = length(z);
    }
  }
  squares = warpSum(squares);
  if (b.keyFactors != nullptr && lane() == 0) {
    b.keyFactors[item * (1 + b.channels)] = sqrt(squares);
  }
}

// Curves over lags -----------------------------------------------------------------------------------------------

/// Variance of the keys in each pair, over the tokens looked at. A block per KV head, a thread per pair.
extern "C" __global__ void keyWeights(Batch b) {
  const int kv = static_cast<int>(blockIdx.x);
  const double tokens = static_cast<double>(b.lagTokens);
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    const Index first = b.tokens - b.lagTokens;
    const double* rows = b.keys + (kv * b.tokens + first) * b.dim;
    const Two origin = pairOf(b, rows, p);  // a common offset must not eat digits
    double x = 0, y = 0, squares = 0;
    for (Index t = 0; t < b.lagTokens; ++t) {
      const Two z = difference(pairOf(b, rows + t * b.dim, p), origin);
      x += z.x;
      y += z.y;
      squares += z.x * z.x + z.y * z.y;
    }
    b.weights[kv * b.pairs + p] = fmax(0.0, squares / tokens - (x * x + y * y) / (tokens * tokens));
  }
}

/// Pairs of dims as complex signals, zero beyond the tokens looked at. which 0: queries in the dot product; 1: keys
/// there; 2: unit queries before RoPE, dims two by two. A block per 32 tokens × 32 pairs: blockIdx.y counts rows and
/// groups of pairs.
extern "C" __global__ void loadWaves(Batch b, int which, int pairs) {
  __shared__ double tile[32][33][2];
  const int groups = (pairs + 31) / 32;
  const int row = static_cast<int>(blockIdx.y) / groups, firstPair = static_cast<int>(blockIdx.y) % groups * 32;
  const Index firstToken = static_cast<Index>(blockIdx.x) * 32, skipped = b.tokens - b.lagTokens;
  for (int item = static_cast<int>(threadIdx.x); item < 32 * 32; item += static_cast<int>(blockDim.x)) {
    const int p = firstPair + item % 32;
    const Index t = firstToken + item / 32;
    Two z = {0, 0};
    if (p < pairs && t < b.lagTokens) {
      if (which == 0) {
        z = dotPair(b, row, skipped + t, p);
      } else if (which == 1) {
        z = pairOf(b, b.keys + (row * b.tokens + skipped + t) * b.dim, p);
      } else {
        const double unit = 1 / fmax(b.norm[row * b.tokens + skipped + t], kSmallestNorm);
        z.x = raw(b, row, skipped + t, 2 * p) * unit;
        z.y = 2 * p + 1 < b.dim ? raw(b, row, skipped + t, 2 * p + 1) * unit : 0;
      }
    }
    tile[item % 32][item / 32][0] = z.x;
    tile[item % 32][item / 32][1] = z.y;
  }
  HEADSCOPE_BARRIER();
  double* out = which == 1 ? b.keyWaves : b.queryWaves;
  for (int item = static_cast<int>(threadIdx.x); item < 32 * 32; item += static_cast<int>(blockDim.x)) {
    const int p = firstPair + item / 32;
    const Index t = firstToken + item % 32;
    if (p < pairs && t < b.fourier) {
      double* target = out + ((static_cast<Index>(row) * pairs + p) * b.fourier + t) * 2;
      target[0] = tile[item / 32][item % 32][0];
      target[1] = tile[item / 32][item % 32][1];
    }
  }
}

/// Σ Q conj(K) and Σ weight |Q|² over the pairs; without keys Σ |Q|² alone. A thread per frequency.
extern "C" __global__ void addWaves(Batch b, int pairs, int withKeys) {
  const Index f = threadItem();
  const int h = static_cast<int>(blockIdx.y), kv = h / b.group;
  if (f >= b.fourier) {
    return;
  }
  double re = 0, im = 0, power = 0;
  for (int p = 0; p < pairs; ++p) {
    const double* q = b.queryWaves + ((static_cast<Index>(h) * pairs + p) * b.fourier + f) * 2;
    const double square = q[0] * q[0] + q[1] * q[1];
    if (withKeys != 0) {
      const double* k = b.keyWaves + ((static_cast<Index>(kv) * pairs + p) * b.fourier + f) * 2;
      re += q[0] * k[0] + q[1] * k[1];
      im += q[1] * k[0] - q[0] * k[1];
      power += b.weights[kv * b.pairs + p] * square;
    } else {
      power += square;
    }
  }
  const Index at = (h * b.fourier + f) * 2;
  if (withKeys != 0) {
    b.cross[at] = re;
    b.cross[at + 1] = im;
  }
  b.power[at] = power;
  b.power[at + 1] = 0;
}

/// From the inverse transforms to curves by lag. A thread per lag.
extern "C" __global__ void finishLags(Batch b, int withKeys) {
  const Index lag = threadItem();
  const Index h = blockIdx.y;
  if (lag >= b.lagTokens) {
    return;
  }
  const double count = static_cast<double>(b.lagTokens - lag);
  const double* power = b.power + h * b.fourier * 2;
  if (withKeys == 0) {
    b.cosineByLag[h * b.lagTokens + lag] = power[2 * lag] / count;
    return;
  }
  const double zero = power[0] / static_cast<double>(b.lagTokens);
  b.logitByLag[h * b.lagTokens + lag] = b.scale * b.cross[(h * b.fourier + lag) * 2] / count;
  b.queryByLag[h * b.lagTokens + lag] = zero > 0 ? power[2 * lag] / count / zero : 0;
}

/// The best season of Theorem 5.4 (bestSeason). A block per head.
extern "C" __global__ void findSeason(Batch b) {
  const Index h = blockIdx.x, lags = b.lagTokens;
  const Index quarter = lags / 4 > 2 ? lags / 4 : 2;
  const Index longest = lags - 1 < quarter ? lags - 1 : quarter;
  const double* curve = b.cosineByLag + h * lags;
  double best = -2;
  for (Index lag = 2 + threadIdx.x; lag <= longest; lag += blockDim.x) {
    best = fmax(best, curve[lag]);
  }
  best = blockMax(best);
  Index season = lags;
  for (Index lag = longest - threadIdx.x; lag >= 2; lag -= blockDim.x) {
    season = curve[lag] == best ? lag : season;
  }
  season = blockMin(season);
  if (threadIdx.x == 0) {
    b.figures[h * kFigures + kSeason] = lags >= 3 ? static_cast<double>(season) : 0;
  }
}

/// prominentLag of the queries' correlation. A thread per head.
extern "C" __global__ void findProminentLag(Batch b) {
  const Index h = threadItem();
  if (h >= b.heads) {
    return;
  }
  const double* curve = b.queryByLag + h * b.lagTokens;
  Index best = 0;
  double rise = 0, lowest = curve[0], before = curve[0], here = b.lagTokens > 3 ? curve[1] : 0;
  for (Index lag = 1; 3 * lag < b.lagTokens; ++lag) {
    const double after = curve[lag + 1];
    lowest = fmin(lowest, here);
    if (lag >= 2 && here > before && here >= after && here - lowest > rise * 1.02) {
      rise = here - lowest;
      best = lag;
    }
    before = here;
    here = after;
  }
  b.figures[h * kFigures + kProminentLag] = static_cast<double>(best);
}

/// First half of a curve [H, length] less its straight-line fit, zero up to `padded` (measurePeriod). Where nothing but
/// rounding is left, all zero. A block per head.
extern "C" __global__ void detrend(Batch, const double* curves, Index length, Index padded, double* out) {
  const Index h = blockIdx.x, half = length / 2;
  const double* curve = curves + h * length;
  const double n = static_cast<double>(half), meanX = (n - 1) / 2;
  double sums[3] = {};
  for (Index d = threadIdx.x; d < half; d += blockDim.x) {
    sums[0] += curve[d];
    sums[1] += curve[d] * curve[d];
  }
  blockSums(sums);
  const double meanY = sums[0] / n, scale = sums[1];
  double fit[2] = {};
  for (Index d = threadIdx.x; d < half; d += blockDim.x) {
    const double x = static_cast<double>(d) - meanX;
    fit[0] += x * (curve[d] - meanY);
    fit[1] += x * x;
  }
  blockSums(fit);
  const double slope = fit[1] > 0 ? fit[0] / fit[1] : 0;
  const auto rest = [&](Index d) { return curve[d] - meanY - slope * (static_cast<double>(d) - meanX); };
  double power = 0;
  for (Index d = threadIdx.x; d < half; d += blockDim.x) {
    power += rest(d) * rest(d);
  }
  power = blockSum(power);
  const bool straight = !(power > 1e-24 * scale);
  for (Index d = threadIdx.x; d < padded; d += blockDim.x) {
    out[h * padded + d] = d < half && !straight ? rest(d) : 0;
  }
}

/// The period in an autocorrelation [H, padded] of `half` values (measurePeriod). A block per head.
extern "C" __global__ void findPeriod(Batch b, const double* correlation, Index half, Index padded, int figure) {
  const Index h = blockIdx.x, longest = half / 2;
  const double* sums = correlation + h * padded;
  const double zero = sums[0] / static_cast<double>(half);
  const auto r = [&](Index l) { return sums[l] / static_cast<double>(half - l) / zero; };
  const auto peak = [&](Index l) { return r(l) > r(l - 1) && r(l) >= r(l + 1); };
  double largest = 0;
  for (Index l = 2 + threadIdx.x; zero > 0 && l <= longest; l += blockDim.x) {
    largest = peak(l) ? fmax(largest, r(l)) : largest;
  }
  largest = blockMax(largest);
  Index found = half;
  for (Index l = longest - threadIdx.x; largest > 0 && l >= 2; l -= blockDim.x) {
    found = peak(l) && r(l) >= 0.9 * largest ? l : found;
  }
  found = blockMin(found);
  if (threadIdx.x == 0) {
    double tokens = 0, strength = 0;
    if (found < half) {
      const double curvature = r(found - 1) - 2 * r(found) + r(found + 1);
      const double shift = curvature < 0 ? 0.5 * (r(found - 1) - r(found + 1)) / curvature : 0;
      tokens = static_cast<double>(found) + shift;
      strength = r(found);
    }
    b.figures[h * kFigures + figure] = tokens;
    b.figures[h * kFigures + figure + 1] = strength;
  }
}

/// What the means say of a logit: by distance (predictedLogitByDistance) and by key (PredictedRows). A block per head,
/// a thread per pair.
extern "C" __global__ void meanWaves(Batch b) {
  const int h = static_cast<int>(blockIdx.x), kv = b.heads + h / b.group;
  const double* q = b.meanUnrotated + static_cast<Index>(h) * b.dim;
  const double* k = b.meanUnrotated + static_cast<Index>(kv) * b.dim;
  const double* query = b.meanDot + static_cast<Index>(h) * b.dim;
  const double* key = b.mean + static_cast<Index>(kv) * b.dim;
  double constants[2] = {};
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    const Two x = pairOf(b, q, p), y = pairOf(b, k, p);
    const Two u = pairOf(b, query, p), v = scaled(b, p, pairOf(b, key, p));
    const double dot = x.x * y.x + x.y * y.y, turn = x.y * y.x - x.x * y.y;
    const double dotKey = u.x * v.x + u.y * v.y, turnKey = u.y * v.x - u.x * v.y;
    if (p < b.channels) {
      b.amplitude[h * 2 * b.channels + p] = b.scale * dot;
      b.amplitude[h * 2 * b.channels + b.channels + p] = -b.scale * turn;
      b.keyAmplitude[h * 2 * b.channels + p] = -b.scale * dotKey;
      b.keyAmplitude[h * 2 * b.channels + b.channels + p] = -b.scale * turnKey;
    } else {
      constants[0] += dot;
      constants[1] += dotKey;
    }
  }
  blockSums(constants);
  if (threadIdx.x == 0) {
    b.constant[h] = b.scale * constants[0];
    b.keyConstant[h] = -b.scale * constants[1];
  }
}

/// keyPart += constant, predicted += constant; with steps after RoPE the key part has no such split. A thread per
/// token.
extern "C" __global__ void addConstants(Batch b) {
  const Index t = threadItem();
  const Index h = blockIdx.y;
  if (t < b.tokens) {
    b.predicted[h * b.tokens + t] += b.constant[h];
    b.keyPart[h * b.tokens + t] += b.steps > 0 ? 0 : b.keyConstant[h];
  }
}

// Cases ----------------------------------------------------------------------------------------------------------

/// Calls visit(t, p) for the tokens of one slice of kSlices; item counts pairs within slices.
template <typename Visit>
__device__ void visitSlice(Index begin, Index count, int pairs, int item, Visit visit) {
  const Index slice = item / pairs;
  for (Index t = count * slice / kSlices; t < count * (slice + 1) / kSlices; ++t) {
    visit(begin + t, item % pairs);
  }
}

/// `Unexplained` of case_prediction.cpp. A block per head; shared memory for 14 sums of each pair and slice and
/// 6 means of each pair.
extern "C" __global__ void unexplained(Batch b) {
  HEADSCOPE_BLOCK_MEMORY(shared);
  constexpr int kHere = 14;
  const int h = static_cast<int>(blockIdx.x), kv = b.heads + h / b.group;
  const Index season = static_cast<Index>(b.figures[h * kFigures + kProminentLag]);
  Index longest = b.lagFirst > b.lagSecond ? b.lagFirst : b.lagSecond;
  longest = season > longest ? season : longest;
  Index count = 2 * longest > 512 ? 2 * longest : 512;
  count = count < b.tokens ? count : b.tokens;
  const Index begin = b.tokens - count;
  const double* keys = b.keys + (kv - b.heads) * b.tokens * b.dim;
  const int items = b.pairs * kSlices;
  const auto sumsOf = [&](int item) { return shared + item * kHere; };
  const auto total = [&](int p, int j) {
    double sum = 0;
    for (int slice = 0; slice < kSlices; ++slice) {
      sum += sumsOf(slice * b.pairs + p)[j];
    }
    return sum;
  };
  for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
    double sum[6] = {};
    visitSlice(begin, count, b.pairs, item, [&](Index t, int p) {
      const Two q = rawPair(b, h, t, p), k = rawPair(b, kv, t, p), dot = pairOf(b, keys + t * b.dim, p);
      sum[0] += q.x;
      sum[1] += q.y;
      sum[2] += k.x;
      sum[3] += k.y;
      sum[4] += dot.x;
      sum[5] += dot.y;
    });
    for (int j = 0; j < 6; ++j) {
      sumsOf(item)[j] = sum[j];
    }
  }
  HEADSCOPE_BARRIER();
  const double n = static_cast<double>(count);
  const Index lags[5] = {1, b.lagFirst, b.lagSecond, season, season / 2};
  double* means = shared + items * kHere;  // [P, 6]
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    for (int j = 0; j < 6; ++j) {
      means[p * 6 + j] = total(p, j) / n;
    }
  }
  HEADSCOPE_BARRIER();
  for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
    double sum[kHere] = {};
    visitSlice(begin, count, b.pairs, item, [&](Index t, int p) {
      const double* m = means + p * 6;
      const auto query = [&](Index at) { return difference(rawPair(b, h, at, p), {m[0], m[1]}); };
      const auto key = [&](Index at) { return difference(rawPair(b, kv, at, p), {m[2], m[3]}); };
      const auto dot = [](Two x, Two y) { return x.x * y.x + x.y * y.y; };
      const Two q = query(t), k = key(t), turn = turned(b, t, p, scaled(b, p, q));
      const Two inDot = difference(pairOf(b, keys + t * b.dim, p), {m[4], m[5]});
      sum[0] += dot(q, q);
      sum[4] += dot(k, k);
      sum[8] += dot(inDot, inDot);
      for (int l = 0; l < 5; ++l) {
        const Index later = t + lags[l];
        if (lags[l] <= 0 || later >= b.tokens) {
          continue;
        }
        const Two q2 = query(later);
        sum[9 + l] += dot(turn, turned(b, later, p, scaled(b, p, q2)));
        if (l < 3) {
          sum[1 + l] += dot(q, q2);
          sum[5 + l] += dot(k, key(later));
        }
      }
    });
    for (int j = 0; j < kHere; ++j) {
      sumsOf(item)[j] = sum[j];
    }
  }
  HEADSCOPE_BARRIER();
  // Power, then the sums of the five column lags and of the three changes along diagonals.
  double parts[9] = {};
  const auto mean1 = [&](double sum, Index lag) {
    const Index rows = count - lag;
    return sum / static_cast<double>(rows > 1 ? rows : 1);
  };
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    const double q0 = mean1(total(p, 0), 0), k0 = mean1(total(p, 4), 0), variance = mean1(total(p, 8), 0);
    const double scaling = p < b.channels ? b.attentionScaling * b.attentionScaling : 1;
    parts[0] += variance * q0 * scaling;
    for (int l = 0; l < 5; ++l) {
      parts[1 + l] += variance * mean1(total(p, 9 + l), lags[l]);
    }
    for (int l = 0; l < 3; ++l) {
      parts[6 + l] += variance * (q0 - mean1(total(p, 1 + l), lags[l])) + q0 * (k0 - mean1(total(p, 5 + l), lags[l]));
    }
  }
  blockSums(parts);
  if (threadIdx.x == 0) {
    double* out = b.correlations + static_cast<Index>(h) * kCorrelations;
    const double power = parts[0];
    const auto clamped = [&](double x) { return power > 0 ? fmin(fmax(x, 0.0), 1.0) : 1.0; };
    out[kDeviation] = b.scale * sqrt(fmax(power, 0.0) / 2);
    for (int l = 0; l < 5; ++l) {
      out[kColumnStep + l] = clamped(parts[1 + l] / power);
    }
    for (int l = 0; l < 3; ++l) {
      out[kDiagonalStep + l] = clamped(1 - parts[6 + l] / power);
    }
  }
}

/// anchorRows of case_evidence.cpp; −1: there is no such anchor.
__device__ Index anchorAt(Index tokens, Index reach, Index wanted, Index j) {
  const Index last = tokens - reach - 1 > 2 ? tokens - reach - 1 : 2;
  Index begin = tokens / 8 > reach ? tokens / 8 : reach;
  begin = begin < 2 ? 2 : begin > last ? last : begin;
  const Index places = tokens - reach - begin > 1 ? tokens - reach - begin : 1;
  Index count = wanted < 1 ? 1 : wanted;
  count = count > places ? places : count;
  return j < count ? begin + places * (2 * j + 1) / (2 * count) : -1;
}

__device__ Index reachOf(const Batch& b, Index season) {
  const Index longer = b.lagFirst > b.lagSecond ? b.lagFirst : b.lagSecond;
  return season > longer ? season : longer;
}

__device__ Index wholePeriods(double period, Index tokens) {
  Index best = 0;
  double off = 1;
  for (int turns = 1; period > 0 && turns <= 4; ++turns) {
    const double exact = turns * period, nearest = floor(exact + 0.5);
    if (exact < static_cast<double>(tokens) / 3 && fabs(exact - nearest) < off) {
      off = fabs(exact - nearest);
      best = static_cast<Index>(nearest);
    }
  }
  return best;
}

__device__ Index firstKey(const Batch& b, Index t) {
  return b.window > 0 && t >= b.window ? t - b.window + 1 : 0;
}

/// A row of attention up to a factor, which saves a pass over it.
struct Row {
  const double* weights;
  double factor;
};

/// rowAgreement, by the whole block.
HEADSCOPE_CALLED double agreement(Row rowA, Row rowB, Index n, Index extra) {
  if (n < 2) {
    return 0;
  }
  const double turns[5] = {0.1458980338, 0.2360679775, 0.3819660113, 0.6180339887, 0.8541019662};
  Index shift[5];
  for (int j = 0; j < 5; ++j) {
    shift[j] = static_cast<Index>(floor(turns[j] * static_cast<double>(n) + 0.5));
    shift[j] = shift[j] < 1 ? 1 : shift[j] > n - 1 ? n - 1 : shift[j];
  }
  double shared[6] = {};
  for (Index i = threadIdx.x; i < n; i += blockDim.x) {
    const double x = rowA.factor * rowA.weights[i];
    shared[5] += fmin(x, rowB.factor * rowB.weights[i]);
    for (int j = 0; j < 5; ++j) {
      const Index other = i + shift[j] < n ? i + shift[j] : i + shift[j] - n;
      shared[j] += fmin(x, rowB.factor * rowB.weights[other]);
    }
  }
  blockSums(shared);
  for (int j = 1; j < 5; ++j) {  // the five chances in order
    for (int l = j; l > 0 && shared[l] < shared[l - 1]; --l) {
      const double smaller = shared[l];
      shared[l] = shared[l - 1];
      shared[l - 1] = smaller;
    }
  }
  const double chance = shared[2];
  if (!(chance < 1)) {
    return 0;
  }
  const double reach = static_cast<double>(n) / static_cast<double>(n + extra);
  return fmin(1.0, (shared[5] - chance) / (1 - chance) / reach);
}

/// Agreements around one anchor, from rows that `columnRow(slot, lag)` and `diagonalRow(slot, lag)` give.
template <typename Base, typename Column, typename Diagonal>
__device__ void agreeAround(const Batch& b, Index t, Index season, double period, Base baseRow, Column columnRow,
                            Diagonal diagonalRow, double* out) {
  const Index n = t + 1;
  const Row base = baseRow();
  const auto moved = [](Row row, Index lag) { return Row{row.weights + lag, row.factor}; };
  double values[kAgreements] = {};
  const Index lags[3] = {1, b.lagFirst, b.lagSecond};
  for (int l = 0; l < 3; ++l) {
    values[2 * l] = agreement(base, columnRow(1 + l, lags[l]), n, lags[l]);
    values[2 * l + 1] = agreement(base, moved(diagonalRow(1 + l, lags[l]), lags[l]), n, lags[l]);
  }
  if (season > 0) {
    values[kAgreeSeason] = agreement(base, columnRow(4, season), n, season);
    values[kAgreeBetween] = agreement(base, columnRow(5, season / 2), n, season / 2);
  }
  const Index periods = wholePeriods(period, b.tokens);
  if (periods > 0 && t >= 2 * periods) {
    values[kAgreeHasEcho] = 1;
    values[kAgreeEcho] = periods < n ? agreement(base, moved(base, periods), n - periods, periods) : 0;
  }
  values[kAgreeHasAnchor] = 1;
  for (int j = 0; threadIdx.x == 0 && j < kAgreements; ++j) {
    out[j] = values[j];
  }
}

__device__ void noAnchor(double* out) {
  for (int j = 0; threadIdx.x == 0 && j < kAgreements; ++j) {
    out[j] = 0;
  }
}

/// `draw` of PredictedRows: row t into `weights`, by the whole block.
HEADSCOPE_CALLED Row drawRow(const Batch& b, int h, Index t, Index moved, double correlation, double* weights) {
  const double deviation = b.correlations[static_cast<Index>(h) * kCorrelations + kDeviation];
  const double kept = deviation * correlation, fresh = deviation * sqrt(1 - correlation * correlation);
  const double* key = b.keyPart + h * b.tokens;
  const double* distance = b.predicted + h * b.tokens;
  const Index first = firstKey(b, t);
  const auto logit = [&](Index i) {  // cheaper twice than stored and read
    const double old = i >= moved ? b.noise[i - moved] : 0;
    return key[i] + distance[t - i] + kept * old + fresh * b.noise[b.tokens + i];
  };
  double top = -1e300;
  for (Index i = first + threadIdx.x; i <= t; i += blockDim.x) {
    top = fmax(top, logit(i));
  }
  top = blockMax(top);  // and a barrier: nobody reads any more what stands in `weights`
  double mass = 0;
  for (Index i = threadIdx.x; i <= t; i += blockDim.x) {
    weights[i] = i >= first ? exp(logit(i) - top) : 0;
    mass += weights[i];
  }
  mass = blockSum(mass);
  HEADSCOPE_BARRIER();
  return {weights, 1 / mass};
}

/// A block per anchor and head.
extern "C" __global__ void predictCases(Batch b) {
  const Index j = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y);
  const double* figures = b.figures + static_cast<Index>(h) * kFigures;
  const double* correlation = b.correlations + static_cast<Index>(h) * kCorrelations;
  const Index season = static_cast<Index>(figures[kProminentLag]);
  const Index t = anchorAt(b.tokens, reachOf(b, season), b.anchorsPredicted, j);
  double* out = b.predictedAgreements + (h * b.anchorsPredicted + j) * kAgreements;
  if (t < 0) {
    noAnchor(out);
    return;
  }
  double* base = b.drawn + (h * b.anchorsPredicted + j) * 2 * b.tokens;
  double* other = base + b.tokens;
  agreeAround(
      b, t, season, figures[kExpectedPeriod], [&] { return drawRow(b, h, t, 0, 1, base); },
      [&](int slot, Index lag) { return drawRow(b, h, t + lag, 0, correlation[kColumnStep + slot - 1], other); },
      [&](int slot, Index lag) { return drawRow(b, h, t + lag, lag, correlation[kDiagonalStep + slot - 1], other); },
      out);
}

/// Tokens of the rows around the anchors of each head. A thread per anchor.
extern "C" __global__ void placeAnchors(Batch b) {
  const Index item = threadItem();
  if (item >= b.heads * b.anchors) {
    return;
  }
  const Index season = static_cast<Index>(b.figures[item / b.anchors * kFigures + kProminentLag]);
  const Index t = anchorAt(b.tokens, reachOf(b, season), b.anchors, item % b.anchors);
  const Index lags[kAnchorRows] = {0, 1, b.lagFirst, b.lagSecond, season, season / 2};
  for (int r = 0; r < kAnchorRows; ++r) {
    b.anchorTokens[item * kAnchorRows + r] = t < 0 || (r >= 4 && season == 0) ? -1 : t + lags[r];
  }
}

/// A block per anchor and head; `rows` [H, anchors · kAnchorRows, T] times `factors` are probabilities.
extern "C" __global__ void measureCases(Batch b, const double* rows, const double* factors) {
  const Index j = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y);
  const double* figures = b.figures + static_cast<Index>(h) * kFigures;
  double* out = b.measuredAgreements + (h * b.anchors + j) * kAgreements;
  const Index t = b.anchorTokens[(h * b.anchors + j) * kAnchorRows];
  if (t < 0) {
    noAnchor(out);
    return;
  }
  const Index at = (h * b.anchors + j) * kAnchorRows;
  const auto row = [&](int slot, Index) { return Row{rows + (at + slot) * b.tokens, factors[at + slot]}; };
  agreeAround(
      b, t, static_cast<Index>(figures[kProminentLag]), figures[kMeasuredPeriod], [&] { return row(0, 0); }, row, row,
      out);
}

// Rows of attention ----------------------------------------------------------------------------------------------

/// Queries of the dot product times scale, [H, count, D]: rows tokens[h · stride + r], zero where that is negative. A
/// warp per row.
extern "C" __global__ void gatherRows(Batch b, const Index* tokens, Index stride, Index count, double* out) {
  const Index item = warpItem();
  if (item >= b.heads * count) {
    return;
  }
  const int h = static_cast<int>(item / count);
  const Index t = tokens[h * stride + item % count];
  for (int p = lane(); p < b.pairs; p += kWarp) {
    const Two z = t < 0 ? Two{0, 0} : dotPair(b, h, t, p);
    putPair(b, out + item * b.dim, p, {z.x * b.scale, z.y * b.scale});
  }
}

HEADSCOPE_CALLED double capped(const Batch& b, double logit) {
  return b.softcap > 0 ? b.softcap * tanh(logit / b.softcap) : logit;
}

/// What a row's logits are measured against: its largest logit, or the captured log-sum-exp. By the whole block.
HEADSCOPE_CALLED double shiftOf(const Batch& b, int h, Index t, Index first, const double* logits) {
  if (b.lse != nullptr) {
    return static_cast<double>(b.lse[h * b.tokens + t]);
  }
  double top = -1e300;
  for (Index i = first + threadIdx.x; i <= t; i += blockDim.x) {
    top = fmax(top, capped(b, logits[i]));
  }
  return blockMax(top);
}

/// ln of what the exponentials of a row are divided by; `mass` = Σ exp(a − shift).
__device__ double logTotal(const Batch& b, int h, double shift, double mass) {
  const double total = b.lse != nullptr ? shift : shift + log(mass);
  if (b.sinks == nullptr) {
    return total;
  }
  const double sink = static_cast<double>(b.sinks[h]);
  return fmax(total, sink) + log1p(exp(-fabs(total - sink)));
}

/// Logits [H, count, keys] become weights up to each row's own token; what lies beyond is not touched. Times its factor
/// [H, count] a row is the probabilities. A block per row.
extern "C" __global__ void softmaxRows(Batch b, const Index* tokens, Index stride, Index count, Index keys,
                                       double* rows, double* factors) {
  const Index r = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y);
  const Index t = tokens[h * stride + r];
  if (t < 0) {
    return;
  }
  double* row = rows + (h * count + r) * keys;
  const Index first = firstKey(b, t);
  const double shift = shiftOf(b, h, t, first, row);
  HEADSCOPE_BARRIER();
  double mass = 0;
  for (Index i = threadIdx.x; i <= t; i += blockDim.x) {
    row[i] = i >= first ? exp(capped(b, row[i]) - shift) : 0;
    mass += row[i];
  }
  mass = blockSum(mass);
  if (threadIdx.x == 0) {
    factors[h * count + r] = exp(shift - logTotal(b, h, shift, mass));
  }
}

/// Mass of the probe's rows `first` … T − 1, [H, count, T] times factors, by key and by distance. A thread per key.
extern "C" __global__ void lineMass(Batch b, const double* rows, const double* factors, Index first, Index count) {
  const Index at = threadItem();
  const Index h = blockIdx.y;
  if (at >= b.tokens) {
    return;
  }
  double column = 0, distance = 0;
  for (Index r = 0; r < count; ++r) {
    const double* row = rows + (h * count + r) * b.tokens;
    const double factor = factors[h * count + r];
    column += first + r >= at ? factor * row[at] : 0;
    distance += first + r >= at ? factor * row[first + r - at] : 0;
  }
  b.columnMass[h * b.tokens + at] = column;
  b.distanceMass[h * b.tokens + at] = distance;
}

/// The key of rank `rank` (from 0, the largest first) among those that take part, by eight bits at a time; `rank`
/// becomes its rank among equals. By the whole block.
template <typename TakesPart, typename Key>
__device__ unsigned long long selectKey(Index count, Index& rank, TakesPart takesPart, Key key) {
  __shared__ unsigned histogram[256];
  unsigned long long prefix = 0;
  for (int shift = 56; shift >= 0; shift -= 8) {
    HEADSCOPE_BARRIER();
    for (int bin = static_cast<int>(threadIdx.x); bin < 256; bin += static_cast<int>(blockDim.x)) {
      histogram[bin] = 0;
    }
    HEADSCOPE_BARRIER();
    const unsigned long long mask = shift == 56 ? 0 : ~0ull << (shift + 8);
    for (Index i = threadIdx.x; i < count; i += blockDim.x) {
      if (takesPart(i) && (key(i) & mask) == prefix) {
        HEADSCOPE_COUNT(&histogram[key(i) >> shift & 255u]);
      }
    }
    HEADSCOPE_BARRIER();
    int bin = 255;
    while (bin > 0 && rank >= static_cast<Index>(histogram[bin])) {
      rank -= static_cast<Index>(histogram[bin]);
      --bin;
    }
    prefix |= static_cast<unsigned long long>(bin) << shift;
  }
  return prefix;
}

/// Marks the columns and distances with the most mass, ties to the lower index. A block per head and kind of line.
extern "C" __global__ void markLines(Batch b) {
  const Index h = blockIdx.x;
  const bool columns = blockIdx.y == 0;
  const double* mass = (columns ? b.columnMass : b.distanceMass) + h * b.tokens;
  unsigned char* line = (columns ? b.columnLine : b.distanceLine) + h * b.tokens;
  const Index wanted = columns ? b.columnLines : b.distanceLines;
  if (wanted == 0) {
    for (Index i = threadIdx.x; i < b.tokens; i += blockDim.x) {
      line[i] = 0;
    }
    return;
  }
  Index rank = wanted - 1;
  const auto value = [&](Index i) { return bitsOf(mass[i]); };  // of doubles ≥ 0: in their order
  const unsigned long long least = selectKey(
      b.tokens, rank, [](Index) { return true; }, value);
  const auto early = [&](Index i) { return ~static_cast<unsigned long long>(i); };
  const unsigned long long latest = selectKey(
      b.tokens, rank, [&](Index i) { return value(i) == least; }, early);
  for (Index i = threadIdx.x; i < b.tokens; i += blockDim.x) {
    line[i] = value(i) > least || (value(i) == least && early(i) >= latest) ? 1 : 0;
  }
}

/// What the scores are means of, per row: logits [H, count, keys] of rows tokens[r] into [H, count, kRowScores]. A
/// block per row.
extern "C" __global__ void scoreRows(Batch b, const Index* tokens, Index count, Index keys, const double* logits,
                                     double* out) {
  const Index r = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y);
  const Index t = tokens[r], first = firstKey(b, t);
  const double* row = logits + (h * count + r) * keys;
  const double shift = shiftOf(b, h, t, first, row);
  const unsigned char* column = b.columnLine + h * b.tokens;
  const unsigned char* distance = b.distanceLine + h * b.tokens;
  const Index local = t - 31 > first ? t - 31 : first;
  const auto weight = [&](Index i) { return i >= first ? exp(capped(b, row[i]) - shift) : 0.0; };
  double sums[7] = {};  // of weights w = exp(a − shift): mass, Σ w a, Σ w i, local, recall, duplicate, induction
  for (Index i = first + threadIdx.x; i <= t; i += blockDim.x) {
    const double a = capped(b, row[i]), p = exp(a - shift);
    sums[0] += p;
    sums[1] += p * a;
    sums[2] += p * static_cast<double>(i - first);
    sums[3] += i >= local ? p : 0;
    sums[4] += column[i] != 0 || distance[t - i] != 0 ? p : 0;
  }
  const Index earlier = b.order != nullptr ? b.earlier[t] : 0;
  for (Index j = threadIdx.x; j < earlier; j += blockDim.x) {
    const Index i = b.order[b.group0[t] + j];
    sums[5] += weight(i);
    sums[6] += weight(i + 1);
  }
  blockSums(sums);
  if (threadIdx.x == 0) {
    const double total = logTotal(b, h, shift, sums[0]), factor = exp(shift - total);
    for (double& sum : sums) {
      sum *= factor;
    }
    const auto probability = [&](Index i) { return factor * weight(i); };
    double* score = out + (h * count + r) * kRowScores;
    score[kRowEntropy] = total * sums[0] - sums[1];
    score[kRowSink] = probability(0);
    score[kRowPrevious] = probability(t - 1);
    score[kRowSelf] = probability(t);
    score[kRowLocal] = sums[3];
    score[kRowDistance] = static_cast<double>(t - first) * sums[0] - sums[2];
    score[kRowRecall] = sums[4];
    score[kRowDuplicate] = sums[5];
    score[kRowInduction] = sums[6];
  }
}

/// Retrieval (retrieval.h): logits [H, count, keys]; `places` holds, for row r from starts[r] to
/// starts[r + 1], where in the needle the next token stands. Out [H, count, 2]: copied, mass. A block per row.
extern "C" __global__ void scoreRetrieval(Batch b, const Index* tokens, Index count, Index keys, const double* logits,
                                          const Index* starts, const Index* places, double* out) {
  const Index r = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y);
  const Index t = tokens[r], first = firstKey(b, t);
  const double* row = logits + (h * count + r) * keys;
  const double shift = shiftOf(b, h, t, first, row);
  double largest = -1e300, mass = 0;  // the largest logit has the largest probability
  for (Index i = first + threadIdx.x; i <= t; i += blockDim.x) {
    largest = fmax(largest, row[i]);
    mass += exp(capped(b, row[i]) - shift);
  }
  largest = blockMax(largest);
  Index at = keys;
  for (Index i = t - threadIdx.x; i >= first; i -= blockDim.x) {
    at = row[i] == largest ? i : at;
  }
  at = blockMin(at);
  double sums[3] = {};
  sums[2] = mass;
  for (Index j = starts[r] + threadIdx.x; j < starts[r + 1]; j += blockDim.x) {
    const Index place = places[j];
    sums[0] += place == at ? 1 : 0;
    sums[1] += place >= first ? exp(capped(b, row[place]) - shift) : 0;
  }
  blockSums(sums);
  if (threadIdx.x == 0) {
    out[(h * count + r) * 2] = sums[0];
    out[(h * count + r) * 2 + 1] = sums[1] * exp(shift - logTotal(b, h, shift, sums[2]));
  }
}

// Bounds, for RoPE alone at positions without gaps -----------------------------------------------------------------

__device__ double sineFactor(double angle) {
  return 2 * fabs(sin(angle / 2));
}

/// Rows whose products with the keys a bound needs, [H, count · kBoundRows, D], and left factors, [H, count ·
/// kBoundFactors, 1 + C], all times scale. A warp per row; blockIdx.y is the head.
extern "C" __global__ void gatherBounds(Batch b, const Index* tokens, Index count, double* rows, double* factors) {
  const Index r = warpItem();
  const int h = static_cast<int>(blockIdx.y);
  if (r >= count) {
    return;
  }
  const Index t = tokens[r];
  const Index season = static_cast<Index>(b.figures[h * kFigures + kSeason]);
  const double period = b.figures[h * kFigures + kDiagonalPeriod];
  const bool hasNext = t + 1 < b.tokens, hasLater = season > 0 && t + season < b.tokens;
  double* row = rows + (h * count + r) * kBoundRows * b.dim;
  const Index width = 1 + b.channels;
  double* left = factors + (h * count + r) * kBoundFactors * width;
  const double step = hasNext ? static_cast<double>(b.positions[t + 1] - b.positions[t]) : 0;
  const double seasonStep = hasLater ? static_cast<double>(b.positions[t + season] - b.positions[t]) : 0;
  const double periodStep = period > 0 ? period * static_cast<double>(b.positions[1] - b.positions[0]) : 0;
  double change = 0, seasonChange = 0;
  const auto times = [&](Two z) { return Two{z.x * b.scale, z.y * b.scale}; };
  for (int p = lane(); p < b.pairs; p += kWarp) {
    const Two zero = {0, 0};
    const Two q = scaled(b, p, rawPair(b, h, t, p));
    const Two next = hasNext ? scaled(b, p, rawPair(b, h, t + 1, p)) : zero;
    const Two later = hasLater ? scaled(b, p, rawPair(b, h, t + season, p)) : zero;
    const Two own = turned(b, t, p, q);
    putPair(b, row, p, times(own));
    putPair(b, row + b.dim, p, hasNext ? times(turned(b, t + 1, p, next)) : zero);
    putPair(b, row + 2 * b.dim, p, hasLater ? times(turned(b, t + season, p, later)) : zero);
    putPair(b, row + 3 * b.dim, p, hasNext ? times(turned(b, t + 1, p, difference(next, q))) : zero);
    putPair(b, row + 4 * b.dim, p, hasNext ? times(difference(turned(b, t + 1, p, q), own)) : zero);
    const Two a = difference(next, q), c = difference(later, q);
    change += a.x * a.x + a.y * a.y;
    seasonChange += c.x * c.x + c.y * c.y;
    if (p < b.channels) {
      const double strength = b.scale * length(q), theta = b.frequency[p];
      left[1 + p] = strength * sineFactor(step * theta);
      left[width + 1 + p] = strength * sineFactor(seasonStep * theta);
      left[2 * width + 1 + p] = strength * sineFactor(periodStep * theta);
    }
  }
  change = warpSum(change);
  seasonChange = warpSum(seasonChange);
  if (lane() == 0) {
    left[0] = b.scale * sqrt(change);
    left[width] = b.scale * sqrt(seasonChange);
    left[2 * width] = 0;  // |K_{i−P} − K_i| is no factor of the key alone
  }
}

/// |K_{i−P} − K_i| for each head's own P. A warp per key.
extern "C" __global__ void periodDistances(Batch b) {
  const Index item = warpItem();
  if (item >= b.heads * b.tokens) {
    return;
  }
  const int h = static_cast<int>(item / b.tokens), kv = b.heads + h / b.group;
  const Index i = item % b.tokens, period = static_cast<Index>(b.figures[h * kFigures + kDiagonalPeriod]);
  double squares = 0;
  for (int p = lane(); period > 0 && i >= period && p < b.pairs; p += kWarp) {
    const Two z = scaled(b, p, difference(rawPair(b, kv, i - period, p), rawPair(b, kv, i, p)));
    squares += z.x * z.x + z.y * z.y;
  }
  squares = warpSum(squares);
  if (lane() == 0) {
    b.periodDistance[item] = sqrt(squares);
  }
}

/// RowTightness along one row.
struct Tightness {
  double sums[2] = {};    // pairs, ratios
  double maxima[4] = {};  // measured, bound, ratio, excess

  __device__ void add(double measured, double bound) {
    const double ratio = bound > 0 ? measured / bound : 0;
    sums[0] += bound > 0 ? 1 : 0;
    sums[1] += ratio;
    maxima[0] = fmax(maxima[0], measured);
    maxima[1] = fmax(maxima[1], bound);
    maxima[2] = fmax(maxima[2], ratio);
    maxima[3] = fmax(maxima[3], measured - bound);
  }
  /// By the whole block.
  __device__ void store(double* out) {
    blockSums(sums);
    blockMaxima(maxima);
    if (threadIdx.x == 0) {
      out[kPairs] = sums[0];
      out[kRatioSum] = sums[1];
      out[kRatioMax] = maxima[2];
      out[kBoundMax] = maxima[1];
      out[kExcessMax] = maxima[3];
    }
  }
};

/// The five statements at rows tokens[r], from products [H, count · kBoundRows, keys] and bounds [H, count ·
/// kBoundFactors, keys]. Out [H, count, kStatements, kTotals], in the order of `Statement`. A block per row.
extern "C" __global__ void checkRows(Batch b, const Index* tokens, Index count, Index keys, const double* products,
                                     const double* bounds, double* out) {
  const Index r = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y), kv = h / b.group;
  const Index t = tokens[r];
  const Index season = static_cast<Index>(b.figures[h * kFigures + kSeason]);
  const Index period = static_cast<Index>(b.figures[h * kFigures + kDiagonalPeriod]);
  const bool hasNext = t + 1 < b.tokens;
  const double* a = products + (h * count + r) * kBoundRows * keys;
  const double* bound = bounds + (h * count + r) * kBoundFactors * keys;
  double norms[2] = {};  // |ΔQ_t|², |Q_t|²
  for (int p = static_cast<int>(threadIdx.x); p < b.pairs; p += static_cast<int>(blockDim.x)) {
    const Two z = scaled(b, p, rawPair(b, h, t, p));
    const Two step = hasNext ? difference(scaled(b, p, rawPair(b, h, t + 1, p)), z) : Two{0, 0};
    norms[0] += step.x * step.x + step.y * step.y;
    norms[1] += z.x * z.x + z.y * z.y;
  }
  blockSums(norms);
  const double change = b.scale * sqrt(norms[0]), own = b.scale * sqrt(norms[1]);
  const double* keyNorm = b.keyFactors + kv * b.tokens * (1 + b.channels);
  const double* keyStep = b.keyStep + kv * b.tokens;
  const double* periodDistance = b.periodDistance + h * b.tokens;
  Tightness columns, diagonals, periods, seasons;
  double extremes[2] = {};
  for (Index i = threadIdx.x; i <= t; i += blockDim.x) {
    const double here = a[i];
    if (hasNext) {
      columns.add(fabs(a[keys + i] - here), bound[i]);
      diagonals.add(fabs(a[keys + i + 1] - here), change * keyNorm[(i + 1) * (1 + b.channels)] + own * keyStep[i]);
      extremes[0] = fmax(extremes[0], fabs(a[3 * keys + i]));
      extremes[1] = fmax(extremes[1], fabs(a[4 * keys + i]));
    }
    if (period > 0 && i >= period) {
      periods.add(fabs(a[i - period] - here), own * periodDistance[i] + bound[2 * keys + i]);
    }
    if (season > 0 && t + season < b.tokens) {
      seasons.add(fabs(a[2 * keys + i] - here), bound[keys + i]);
    }
  }
  double* total = out + (h * count + r) * kStatements * kTotals;
  columns.store(total + kTotals);
  diagonals.store(total + 2 * kTotals);
  periods.store(total + 3 * kTotals);
  seasons.store(total + 4 * kTotals);
  blockMaxima(extremes);
  if (threadIdx.x == 0) {  // Proposition 4.1: a lower bound of the largest change
    const double lower = extremes[0] - extremes[1], measured = columns.maxima[0];
    const bool counts = hasNext && lower > 0;
    total[kPairs] = counts ? 1 : 0;
    total[kRatioSum] = total[kRatioMax] = counts ? lower / measured : 0;
    total[kBoundMax] = hasNext ? fmax(lower, 0.0) : 0;
    total[kExcessMax] = hasNext ? fmax(lower - measured, 0.0) : 0;
  }
}

/// Totals over rows, added to what is there: [H, kStatements, kTotals]. A thread per head and statement.
extern "C" __global__ void addTotals(Batch b, const double* rows, Index count, double* totals) {
  const Index item = threadItem();
  if (item >= b.heads * kStatements) {
    return;
  }
  double* total = totals + item * kTotals;
  for (Index r = 0; r < count; ++r) {
    const double* row = rows + ((item / kStatements * count + r) * kStatements + item % kStatements) * kTotals;
    total[kPairs] += row[kPairs];
    total[kRatioSum] += row[kRatioSum];
    for (int j = kRatioMax; j < kTotals; ++j) {
      total[j] = fmax(total[j], row[j]);
    }
  }
}

}  // namespace headscope::device
