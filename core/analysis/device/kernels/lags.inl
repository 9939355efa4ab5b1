// Curves over lags: lag_curves.h, measurePeriod, bestSeason, prominentLag, and what the means predict.

namespace headscope::device {

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

}  // namespace headscope::device
