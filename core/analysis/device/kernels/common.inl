// Kernels over a batch of heads (head_layout.h), for CUDA. Compiled by NVRTC when the program runs on a GPU; tests
// compile the same text for the processor with one thread a block, so a loop over threads must work with any number.
// Every kernel gets the batch first. Sums are added in a fixed order: two runs give the same digits.
//
// This file: what threads do together, and values of q and k.

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

}  // namespace headscope::device
