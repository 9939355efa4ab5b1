// Figures of single rows of q and k, and their means.

namespace headscope::device {

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

}  // namespace headscope::device
