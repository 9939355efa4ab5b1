// The loops of core/maps/kernels.h over a vector type V. Included once by each kernels_*.cpp, inside its namespace and
// under its target options: no include here, and nothing with external linkage. (Hence no #pragma once.)
//
// The including file defines: V and its operations, kWidth (floats in a V), kVectors (vectors in a panel row),
// kKeys (keys of a register block).

constexpr int kLanes = kWidth * kVectors;

// Dimensions that are summed in registers before they are added to y. A sum that runs over all dimensions, or begins
// with a large −log-sum-exp, loses more digits at every step (measured: dim 128, log-sum-exp 57: 26e-6 against 10e-6).
constexpr std::ptrdiff_t kRun = 32;

// kVectors × Keys accumulators stay in registers; each key element is broadcast once a step.
template <int Keys>
inline void registerBlock(const float* panel, const float* keys, std::ptrdiff_t dim, const float* init, float* y) {
  for (std::ptrdiff_t begin = 0; begin < dim; begin += kRun) {
    V sums[Keys][kVectors];
#pragma GCC unroll 16
    for (int j = 0; j < Keys; ++j) {
#pragma GCC unroll 16
      for (int m = 0; m < kVectors; ++m) {
        sums[j][m] = broadcast(0.0f);
      }
    }
    const std::ptrdiff_t end = begin + kRun < dim ? begin + kRun : dim;
    for (std::ptrdiff_t d = begin; d < end; ++d) {
      V rows[kVectors];
#pragma GCC unroll 16
      for (int m = 0; m < kVectors; ++m) {
        rows[m] = load(panel + d * kLanes + m * kWidth);
      }
#pragma GCC unroll 16
      for (int j = 0; j < Keys; ++j) {
        const V key = broadcast(keys[j * dim + d]);
#pragma GCC unroll 16
        for (int m = 0; m < kVectors; ++m) {
          sums[j][m] = multiplyAdd(rows[m], key, sums[j][m]);
        }
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < Keys; ++j) {
#pragma GCC unroll 16
      for (int m = 0; m < kVectors; ++m) {
        float* at = y + j * kLanes + m * kWidth;
        store(at, add(load(begin == 0 ? init + m * kWidth : at), sums[j][m]));
      }
    }
  }
}

inline void product(const float* panel, const float* keys, int dim, int count, const float* init, float* y) {
  int done = 0;
  for (; done + kKeys <= count; done += kKeys) {
    registerBlock<kKeys>(panel, keys + static_cast<std::ptrdiff_t>(done) * dim, dim, init, y + done * kLanes);
  }
  for (; done + 2 <= count; done += 2) {
    registerBlock<2>(panel, keys + static_cast<std::ptrdiff_t>(done) * dim, dim, init, y + done * kLanes);
  }
  for (; done < count; ++done) {
    registerBlock<1>(panel, keys + static_cast<std::ptrdiff_t>(done) * dim, dim, init, y + done * kLanes);
  }
}

// 2^f on [0, 1): the polynomial of degree 5 with the smallest relative error (8e-8) that is exact at f = 0.
inline V fractionPower(V f) {
  V r = broadcast(1.86702343e-3f);
  r = multiplyAdd(r, f, broadcast(9.01725486e-3f));
  r = multiplyAdd(r, f, broadcast(5.57997546e-2f));
  r = multiplyAdd(r, f, broadcast(2.40164492e-1f));
  r = multiplyAdd(r, f, broadcast(6.93151309e-1f));
  return multiplyAdd(r, f, broadcast(1.0f));
}

inline void powers(float* values, std::size_t count) {
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    store(values + i, power(load(values + i)));
  }
  if (i < count) {
    float rest[kWidth];
    for (std::size_t j = 0; j < kWidth; ++j) {
      rest[j] = i + j < count ? values[i + j] : 0.0f;
    }
    store(rest, power(load(rest)));
    for (std::size_t j = 0; i + j < count; ++j) {
      values[i + j] = rest[j];
    }
  }
}

// tanh(z): an odd series near 0, 1 − 2/(1 + e^(2z)) elsewhere; relative error below 5e-7.
inline V hyperbolicTangent(V z) {
  const V square = multiply(z, z);
  V series = broadcast(62.0f / 2835.0f);
  series = multiplyAdd(series, square, broadcast(-17.0f / 315.0f));
  series = multiplyAdd(series, square, broadcast(2.0f / 15.0f));
  series = multiplyAdd(series, square, broadcast(-1.0f / 3.0f));
  series = multiplyAdd(multiply(series, square), z, z);
  // Beyond ±20 the result is ±1 in float32.
  const V bounded = smaller(larger(z, broadcast(-20.0f)), broadcast(20.0f));
  const V exponential = power(multiply(bounded, broadcast(2.885390082f)));  // 2 log2(e)
  const V one = broadcast(1.0f);
  const V far = subtract(one, divide(broadcast(2.0f), add(one, exponential)));
  return chooseBelow(square, broadcast(0.1f), series, far);
}

inline void softcap(float* y, int count, float cap, const float* init) {
  for (int key = 0; key < count; ++key) {
    for (int m = 0; m < kVectors; ++m) {
      float* at = y + key * kLanes + m * kWidth;
      store(at, multiplyAdd(hyperbolicTangent(load(at)), broadcast(cap), load(init + m * kWidth)));
    }
  }
}

inline void maxOnly(const float* y, int count, float* max) {
  V largest[kVectors];
  for (int m = 0; m < kVectors; ++m) {
    largest[m] = load(max + m * kWidth);
  }
  for (int key = 0; key < count; ++key) {
    for (int m = 0; m < kVectors; ++m) {
      largest[m] = larger(largest[m], load(y + key * kLanes + m * kWidth));
    }
  }
  for (int m = 0; m < kVectors; ++m) {
    store(max + m * kWidth, largest[m]);
  }
}

// `Keys` keys at once: where none of them reaches 2^−44, no power is taken.
template <int Keys>
inline void maxAndSumBlock(const float* y, V* largest, V* sums) {
  V values[Keys][kVectors];
  V highest[kVectors];
#pragma GCC unroll 16
  for (int m = 0; m < kVectors; ++m) {
    highest[m] = values[0][m] = load(y + m * kWidth);
#pragma GCC unroll 16
    for (int j = 1; j < Keys; ++j) {
      values[j][m] = load(y + j * kLanes + m * kWidth);
      highest[m] = larger(highest[m], values[j][m]);
    }
    largest[m] = larger(largest[m], highest[m]);
  }
  V over = highest[0];
#pragma GCC unroll 16
  for (int m = 1; m < kVectors; ++m) {
    over = larger(over, highest[m]);
  }
  if (!anyAbove(over, broadcast(-44.0f))) {
    return;
  }
#pragma GCC unroll 16
  for (int j = 0; j < Keys; ++j) {
#pragma GCC unroll 16
    for (int m = 0; m < kVectors; ++m) {
      sums[m] = add(sums[m], power(values[j][m]));
    }
  }
}

inline void maxAndSum(const float* y, int count, float* max, float* sum) {
  V largest[kVectors];
  V sums[kVectors];
  for (int m = 0; m < kVectors; ++m) {
    largest[m] = load(max + m * kWidth);
    sums[m] = broadcast(0.0f);  // of this block alone: 100,000 small terms added to one large sum would lose digits
  }
  int key = 0;
  for (; key + 4 <= count; key += 4) {
    maxAndSumBlock<4>(y + key * kLanes, largest, sums);
  }
  for (; key < count; ++key) {
    maxAndSumBlock<1>(y + key * kLanes, largest, sums);
  }
  for (int m = 0; m < kVectors; ++m) {
    store(max + m * kWidth, largest[m]);
    store(sum + m * kWidth, add(load(sum + m * kWidth), sums[m]));
  }
}

inline void onlineSum(const float* y, int count, float* max, float* sum) {
  float highest[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    highest[lane] = max[lane];
  }
  maxOnly(y, count, highest);
  for (int m = 0; m < kVectors; ++m) {
    const V base = load(highest + m * kWidth);
    V sums = broadcast(0.0f);
    for (int key = 0; key < count; ++key) {
      sums = add(sums, power(subtract(load(y + key * kLanes + m * kWidth), base)));
    }
    const V before = multiply(load(sum + m * kWidth), power(subtract(load(max + m * kWidth), base)));
    store(max + m * kWidth, base);
    store(sum + m * kWidth, add(before, sums));
  }
}

inline float largestOf(V all) {
  float values[kWidth];
  store(values, all);
  float result = values[0];
  for (int i = 1; i < kWidth; ++i) {
    result = values[i] > result ? values[i] : result;
  }
  return result;
}

inline float largestLane(const float* lanes) {
  V all = load(lanes);
  for (int m = 1; m < kVectors; ++m) {
    all = larger(all, load(lanes + m * kWidth));
  }
  return largestOf(all);
}

inline float largestOfSum(const float* lanes, const float* added) {
  V all = add(load(lanes), load(added));
  for (int m = 1; m < kVectors; ++m) {
    all = larger(all, add(load(lanes + m * kWidth), load(added + m * kWidth)));
  }
  return largestOf(all);
}

inline float totalOfLanes(const float* lanes) {
  V all = load(lanes);
  for (int m = 1; m < kVectors; ++m) {
    all = add(all, load(lanes + m * kWidth));
  }
  float values[kWidth];
  store(values, all);
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      values[i] += values[i + half];
    }
  }
  return values[0];
}

constexpr Kernels makeKernels(const char* name, int block) {
  return {name,    kLanes,    block,  product,     softcap,      maxAndSum,
          maxOnly, onlineSum, powers, largestLane, largestOfSum, totalOfLanes};
}
