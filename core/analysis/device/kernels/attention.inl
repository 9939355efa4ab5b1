// Rows of attention: head_scores.cpp, retrieval.cpp.

namespace headscope::device {

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

}  // namespace headscope::device
