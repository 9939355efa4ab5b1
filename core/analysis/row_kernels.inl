// Included once per instruction set by row_kernels.cpp, inside a namespace that defines
//   Wide (vector of kLanes doubles), WideBits (same of int64), kLanes, kRowsAtOnce, multiplyAdd(a, b, c) = a·b + c,
//   squareRoot(a).
// No templates: GCC gives a template the instruction set of the place where it is instantiated.

inline Wide broadcast(double value) {
  return value - Wide{};
}

inline Wide load(const double* from) {
  Wide value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

inline void store(double* to, Wide value) {
  __builtin_memcpy(to, &value, sizeof value);
}

/// The first `count` lanes, the rest `fill`.
inline Wide loadPart(const double* from, std::int64_t count, double fill) {
  Wide value = broadcast(fill);
  __builtin_memcpy(&value, from, static_cast<std::size_t>(count) * sizeof(double));
  return value;
}

inline void storePart(double* to, Wide value, std::int64_t count) {
  __builtin_memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(double));
}

inline Wide larger(Wide a, Wide b) {
  return a > b ? a : b;
}

inline Wide smaller(Wide a, Wide b) {
  return a < b ? a : b;
}

inline Wide absolute(Wide a) {
  return a < 0 ? -a : a;
}

inline double lanesSum(Wide a) {
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    sum += a[lane];
  }
  return sum;
}

inline double lanesMaximum(Wide a) {
  double best = a[0];
  for (int lane = 1; lane < kLanes; ++lane) {
    best = a[lane] > best ? a[lane] : best;
  }
  return best;
}

/// e^x to about 1 ulp for x ≤ 709; 0 below −708. x = n·ln 2 + r, |r| ≤ ln 2 / 2, Taylor series of e^r to r^13.
inline Wide exponential(Wide x) {
  const Wide magic = broadcast(0x1.8p52);  // adding it rounds to an integer, which then stands in the low bits
  const Wide shifted = multiplyAdd(x, broadcast(0x1.71547652b82fep0), magic);
  const Wide n = shifted - magic;
  Wide r = multiplyAdd(n, broadcast(-0x1.62e42fefa0000p-1), x);
  r = multiplyAdd(n, broadcast(-0x1.cf79abc9e3b3ap-40), r);
  Wide y = broadcast(1.0 / 6227020800.0);
  y = multiplyAdd(y, r, broadcast(1.0 / 479001600.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 39916800.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 3628800.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 362880.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 40320.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 5040.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 720.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 120.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 24.0));
  y = multiplyAdd(y, r, broadcast(1.0 / 6.0));
  y = multiplyAdd(y, r, broadcast(0.5));
  y = multiplyAdd(y, r, broadcast(1.0));
  y = multiplyAdd(y, r, broadcast(1.0));
  const auto bits = reinterpret_cast<WideBits>(y) + (reinterpret_cast<WideBits>(shifted) << 52);
  return x < -708.0 ? broadcast(0.0) : reinterpret_cast<Wide>(bits);
}

/// kRowsAtOnce rows against 2·kLanes keys of one panel.
inline void productTile(const double* rows, std::int64_t width, const double* panel, double scale, double* out,
                        std::int64_t stride) {
  Wide low[kRowsAtOnce], high[kRowsAtOnce];
  for (int r = 0; r < kRowsAtOnce; ++r) {
    low[r] = high[r] = broadcast(0);
  }
  for (std::int64_t d = 0; d < width; ++d, panel += kPanel) {
    const Wide first = load(panel), second = load(panel + kLanes);
    for (int r = 0; r < kRowsAtOnce; ++r) {
      const Wide x = broadcast(rows[r * width + d]);
      low[r] = multiplyAdd(x, first, low[r]);
      high[r] = multiplyAdd(x, second, high[r]);
    }
  }
  for (int r = 0; r < kRowsAtOnce; ++r) {
    store(out + r * stride, low[r] * scale);
    store(out + r * stride + kLanes, high[r] * scale);
  }
}

/// One row against `panels` whole panels, four at a time so that sums don't wait for each other.
inline void productRow(const double* row, std::int64_t width, const double* panels, std::int64_t count, double scale,
                       double* out) {
  constexpr int kVectors = kPanel / kLanes;
  constexpr int kAtOnce = kVectors < 8 ? 8 / kVectors : 1;
  std::int64_t p = 0;
  for (; p + kAtOnce <= count; p += kAtOnce, panels += kAtOnce * width * kPanel) {
    Wide sums[kAtOnce * kVectors]{};
    for (std::int64_t d = 0; d < width; ++d) {
      const Wide x = broadcast(row[d]);
      for (int v = 0; v < kAtOnce * kVectors; ++v) {
        sums[v] = multiplyAdd(x, load(panels + (v / kVectors * width + d) * kPanel + v % kVectors * kLanes), sums[v]);
      }
    }
    for (int v = 0; v < kAtOnce * kVectors; ++v) {
      store(out + p * kPanel + v * kLanes, sums[v] * scale);
    }
  }
  for (; p < count; ++p, panels += width * kPanel) {
    Wide sums[kVectors]{};
    for (std::int64_t d = 0; d < width; ++d) {
      const Wide x = broadcast(row[d]);
      for (int v = 0; v < kVectors; ++v) {
        sums[v] = multiplyAdd(x, load(panels + d * kPanel + v * kLanes), sums[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      store(out + p * kPanel + v * kLanes, sums[v] * scale);
    }
  }
}

void product(const double* rows, std::int64_t count, std::int64_t width, const double* panels, std::int64_t firstPanel,
             std::int64_t lastPanel, double scale, double* out, std::int64_t stride) {
  const std::int64_t tiled = count / kRowsAtOnce * kRowsAtOnce;
  for (std::int64_t p = firstPanel; p < lastPanel && tiled > 0; ++p) {
    for (std::int64_t part = 0; part < kPanel; part += 2 * kLanes) {
      const double* panel = panels + p * width * kPanel + part;
      double* target = out + (p - firstPanel) * kPanel + part;
      for (std::int64_t r = 0; r < tiled; r += kRowsAtOnce) {
        productTile(rows + r * width, width, panel, scale, target + r * stride, stride);
      }
    }
  }
  for (std::int64_t r = tiled; r < count; ++r) {
    productRow(rows + r * width, width, panels + firstPanel * width * kPanel, lastPanel - firstPanel, scale,
               out + r * stride);
  }
}

RowSums exponentials(const double* a, std::int64_t n, double shift, double* p) {
  Wide mass = broadcast(0), logit = broadcast(0), moment = broadcast(0), index;
  for (int lane = 0; lane < kLanes; ++lane) {
    index[lane] = lane;
  }
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Wide x = load(a + i);
    const Wide y = exponential(x - shift);
    store(p + i, y);
    mass += y;
    logit = multiplyAdd(y, x, logit);
    moment = multiplyAdd(y, index, moment);
    index += static_cast<double>(kLanes);
  }
  if (i < n) {
    const Wide x = loadPart(a + i, n - i, shift - 1000.0);  // e^−1000 = 0
    const Wide y = exponential(x - shift);
    storePart(p + i, y, n - i);
    mass += y;
    logit = multiplyAdd(y, x, logit);
    moment = multiplyAdd(y, index, moment);
  }
  return {lanesSum(mass), lanesSum(logit), lanesSum(moment)};
}

double maximum(const double* a, std::int64_t n) {
  Wide best = broadcast(-__builtin_inf());
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    best = larger(load(a + i), best);
  }
  if (i < n) {
    best = larger(loadPart(a + i, n - i, -__builtin_inf()), best);
  }
  return lanesMaximum(best);
}

double absoluteMaximum(const double* a, std::int64_t n) {
  Wide best = broadcast(0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    best = larger(absolute(load(a + i)), best);
  }
  if (i < n) {
    best = larger(absolute(loadPart(a + i, n - i, 0)), best);
  }
  return lanesMaximum(best);
}

double sum(const double* a, std::int64_t n) {
  Wide total = broadcast(0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    total += load(a + i);
  }
  if (i < n) {
    total += loadPart(a + i, n - i, 0);
  }
  return lanesSum(total);
}

double dot(const double* a, const double* b, std::int64_t n) {
  Wide total = broadcast(0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    total = multiplyAdd(load(a + i), load(b + i), total);
  }
  if (i < n) {
    total = multiplyAdd(loadPart(a + i, n - i, 0), loadPart(b + i, n - i, 0), total);
  }
  return lanesSum(total);
}

double squaredDistance(const double* a, const double* b, std::int64_t n) {
  Wide total = broadcast(0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Wide difference = load(a + i) - load(b + i);
    total = multiplyAdd(difference, difference, total);
  }
  if (i < n) {
    const Wide difference = loadPart(a + i, n - i, 0) - loadPart(b + i, n - i, 0);
    total = multiplyAdd(difference, difference, total);
  }
  return lanesSum(total);
}

double maskedSum(const double* p, const double* u, const double* v, std::int64_t n) {
  Wide total = broadcast(0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    total = multiplyAdd(load(p + i), larger(load(u + i), load(v + i)), total);
  }
  if (i < n) {
    const std::int64_t rest = n - i;
    total = multiplyAdd(loadPart(p + i, rest, 0), larger(loadPart(u + i, rest, 0), loadPart(v + i, rest, 0)), total);
  }
  return lanesSum(total);
}

double overlap(const double* a, const double* b, std::int64_t n) {
  Wide total = broadcast(0);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    total += smaller(load(a + i), load(b + i));
  }
  if (i < n) {
    total += smaller(loadPart(a + i, n - i, 0), loadPart(b + i, n - i, 0));
  }
  return lanesSum(total);
}

void add(const double* a, std::int64_t n, double* total) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(total + i, load(total + i) + load(a + i));
  }
  for (; i < n; ++i) {
    total[i] += a[i];
  }
}

void addScaled(const double* a, double factor, std::int64_t n, double* total) {
  const Wide scale = broadcast(factor);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(total + i, multiplyAdd(load(a + i), scale, load(total + i)));
  }
  for (; i < n; ++i) {
    total[i] += factor * a[i];
  }
}

void lengths(const double* x, const double* y, std::int64_t n, double* out) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Wide a = load(x + i), b = load(y + i);
    store(out + i, squareRoot(multiplyAdd(a, a, b * b)));
  }
  if (i < n) {
    const Wide a = loadPart(x + i, n - i, 0), b = loadPart(y + i, n - i, 0);
    storePart(out + i, squareRoot(multiplyAdd(a, a, b * b)), n - i);
  }
}

void crossPower(const double* qRe, const double* qIm, const double* kRe, const double* kIm, double weight,
                std::int64_t n, double* crossRe, double* crossIm, double* power) {
  const Wide factor = broadcast(weight);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Wide a = load(qRe + i), b = load(qIm + i), c = load(kRe + i), d = load(kIm + i);
    store(crossRe + i, multiplyAdd(a, c, multiplyAdd(b, d, load(crossRe + i))));
    store(crossIm + i, multiplyAdd(b, c, load(crossIm + i) - a * d));
    store(power + i, multiplyAdd(factor, multiplyAdd(a, a, b * b), load(power + i)));
  }
  for (; i < n; ++i) {
    crossRe[i] += qRe[i] * kRe[i] + qIm[i] * kIm[i];
    crossIm[i] += qIm[i] * kRe[i] - qRe[i] * kIm[i];
    power[i] += weight * (qRe[i] * qRe[i] + qIm[i] * qIm[i]);
  }
}

RowTightness tightness(const double* a, const double* b, const double* bound, std::int64_t n) {
  Wide measuredMax = broadcast(0), boundMax = broadcast(0), ratioSum = broadcast(0), ratioMax = broadcast(0);
  Wide excess = broadcast(0);
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const std::int64_t rest = n - i < kLanes ? n - i : kLanes;
    const bool whole = rest == kLanes;
    const Wide limit = whole ? load(bound + i) : loadPart(bound + i, rest, 0);
    const Wide measured =
        absolute(whole ? load(a + i) - load(b + i) : loadPart(a + i, rest, 0) - loadPart(b + i, rest, 0));
    const auto positive = limit > 0;
    const Wide ratio = positive ? measured / (positive ? limit : broadcast(1)) : broadcast(0);
    for (int lane = 0; lane < kLanes; ++lane) {
      pairs -= positive[lane];
    }
    measuredMax = larger(measured, measuredMax);
    boundMax = larger(limit, boundMax);
    ratioSum += ratio;
    ratioMax = larger(ratio, ratioMax);
    excess = larger(measured - limit, excess);
  }
  return {pairs,
          lanesMaximum(measuredMax),
          lanesMaximum(boundMax),
          lanesSum(ratioSum),
          lanesMaximum(ratioMax),
          lanesMaximum(excess)};
}

constexpr RowKernels kKernels{kName, product,   exponentials,    maximum,    absoluteMaximum,
                              sum,   dot,       squaredDistance, maskedSum,  overlap,
                              add,   addScaled, lengths,         crossPower, tightness};
