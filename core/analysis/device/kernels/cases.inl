// Cases, predicted and measured: case_prediction.cpp, case_evidence.cpp.

namespace headscope::device {

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

}  // namespace headscope::device
