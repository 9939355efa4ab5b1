// Bounds, for RoPE alone at positions without gaps: bounds.cpp, bound_factors.cpp.

namespace headscope::device {

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

/// The five statements at rows tokens[r], from products [H, count · kBoundRows, keys], left factors as gatherBounds
/// makes them, and bounds [H, count · kBoundFactors, keys]. Out [H, count, kStatements, kTotals], in the order of
/// `Statement`. A block per row.
extern "C" __global__ void checkRows(Batch b, const Index* tokens, Index count, Index keys, const double* products,
                                     const double* factors, const double* bounds, double* out) {
  const Index r = blockIdx.x;
  const int h = static_cast<int>(blockIdx.y), kv = h / b.group;
  const Index t = tokens[r];
  const Index season = static_cast<Index>(b.figures[h * kFigures + kSeason]);
  const Index period = static_cast<Index>(b.figures[h * kFigures + kDiagonalPeriod]);
  const bool hasNext = t + 1 < b.tokens;
  const double* a = products + (h * count + r) * kBoundRows * keys;
  const double* bound = bounds + (h * count + r) * kBoundFactors * keys;
  const double change = factors[(h * count + r) * kBoundFactors * (1 + b.channels)];  // of the column: σ |ΔQ_t|
  const double own = b.scale * b.normDot[h * b.tokens + t];                           // a rotation keeps |Q_t|
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
