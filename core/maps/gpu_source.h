#pragma once

// The CUDA program of core/maps/gpu_maps.cpp, compiled by NVRTC when it is first needed. Inside core/maps only.
//
// Compiled with these macros: DIM (head dim padded to a multiple of 16), PARTS (1 to 3 bf16 numbers that make up one
// float32), SOFTCAP (0 or 1), CELL (3 to 6: cells of 2^CELL pairs a side, 6 standing for 64 and more).
// A block of 4 warps takes 128 query rows; each warp computes 32 rows × 64 keys by tensor cores (mma.sync m16n8k16,
// PTX ISA 9.7.14) and pools them in registers. Values are in base 2, as in kernels.h.

namespace headscope {

constexpr const char* kGpuSource = R"cuda(
typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;

#define ROWS 128
#define KEYS 64
#define THREADS 128
#define PITCH (DIM + 8)  // elements: eight rows of a fragment lie in different banks
#define HIDDEN (-__int_as_float(0x7f800000))

struct Params {
  const u16* q;       // [PARTS][tokens][DIM]
  const u16* k;       // likewise
  float* normalizer;  // [tokens] base 2: read by pool, written by rowSums
  u32* largest;       // [height][width] ordered bits of log2 of the largest probability; 0: none
  float* sum;         // [height][width]
  u32* logit;         // [height][width] ordered bits
  i64 tokens, rowBegin, rowEnd, colBegin, colEnd, window;  // window 0: none
  i64 keysOfBlock;    // keys that one block of threads sweeps
  int level, width;
  float scale;        // to logits in base 2; with a softcap: to logits divided by the cap
  float cap;          // softcap · log2(e)
};

__device__ __forceinline__ u32 ordered(float x) {
  u32 bits = __float_as_uint(x);
  return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}

__device__ __forceinline__ float power(float y) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(y));
  return r;
}

__device__ __forceinline__ void copyAsync(u32 shared, const void* global, bool there) {
  int bytes = there ? 16 : 0;  // what is not there becomes zeros
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes));
}

__device__ __forceinline__ void loadFragments(u32 (&r)[4], u32 shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared));
}

__device__ __forceinline__ void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// `rows` rows from `first` of all parts into shared memory [PARTS][rows][PITCH].
template <int rows>
__device__ __forceinline__ void copyRows(u32 shared, const u16* from, i64 first, i64 tokens) {
  const int pieces = DIM / 8;  // of 16 bytes
  for (int i = threadIdx.x; i < PARTS * rows * pieces; i += THREADS) {
    const int piece = i % pieces, row = (i / pieces) % rows, part = i / (pieces * rows);
    const i64 token = first + row;
    const bool there = token < tokens;
    const u16* source = from + (part * tokens + (there ? token : 0)) * DIM + piece * 8;
    copyAsync(shared + 2 * ((part * rows + row) * PITCH + piece * 8), source, there);
  }
}

// 32 rows × 64 keys of one warp. Of the products of parts, those count whose orders a + b stay below PARTS. Tensor cores
// cut what they add to the size of the running sum, so that float32 (PARTS 3) is added up outside, step by step, the
// smallest products of a step first.
__device__ __forceinline__ void product(float (&sums)[2][8][4], u32 queries, u32 keys) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[m][n][e] = 0.0f;
  const u32 queryAt = queries + 2 * ((warp * 32 + (lane & 15)) * PITCH + (lane >> 4) * 8);
  const u32 keyAt = keys + 2 * (((lane >> 4) * 8 + (lane & 7)) * PITCH + ((lane >> 3) & 1) * 8);
#pragma unroll 2
  for (int d = 0; d < DIM; d += 16) {
    u32 a[PARTS][2][4];
#pragma unroll
    for (int part = 0; part < PARTS; ++part)
#pragma unroll
      for (int m = 0; m < 2; ++m) loadFragments(a[part][m], queryAt + 2 * ((part * ROWS + m * 16) * PITCH + d));
#pragma unroll
    for (int n = 0; n < 8; n += 2) {
      u32 b[PARTS][4];
#pragma unroll
      for (int part = 0; part < PARTS; ++part) loadFragments(b[part], keyAt + 2 * ((part * KEYS + n * 8) * PITCH + d));
#if PARTS == 3
      float step[2][2][4] = {};
#define TARGET(m, half) step[m][half]
#else
#define TARGET(m, half) sums[m][n + half]
#endif
#pragma unroll
      for (int order = PARTS - 1; order >= 0; --order)
#pragma unroll
        for (int part = 0; part <= order; ++part)
#pragma unroll
          for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half)
              multiply(TARGET(m, half), a[order - part][m], b[part][2 * half], b[part][2 * half + 1]);
#if PARTS == 3
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
          for (int e = 0; e < 4; ++e) sums[m][n + half][e] += step[m][half][e];
#endif
    }
  }
}

__device__ __forceinline__ float logitOf(const Params& p, float dot) {
#if SOFTCAP
  return p.cap * tanhf(dot * p.scale);
#else
  return dot * p.scale;
#endif
}

// The four rows of a thread: row(m, h) = first + m·16 + h·8 + lane/4.
struct Rows {
  i64 first;       // of the warp
  i64 limit[2][2]; // last visible key, or −1 for a row outside of the range
};

__device__ __forceinline__ Rows rowsOf(const Params& p, i64 rowBlock) {
  Rows rows;
  rows.first = rowBlock + (threadIdx.x >> 5) * 32;
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const i64 t = rows.first + m * 16 + h * 8 + ((threadIdx.x & 31) >> 2);
      rows.limit[m][h] = t < p.rowEnd ? t : -1;
    }
  return rows;
}

// Whether some pair of this warp's 32 rows × 64 keys is hidden.
__device__ __forceinline__ bool cuts(const Params& p, const Rows& rows, i64 key) {
  const i64 last = rows.first + 31;
  return key + KEYS - 1 > rows.first || key + KEYS > p.colEnd || last >= p.rowEnd ||
         (p.window > 0 && key <= last - p.window);
}

__device__ __forceinline__ bool visible(const Params& p, i64 limit, i64 key) {
  return key <= limit && key < p.colEnd && (p.window == 0 || key > limit - p.window);
}

// Sweeps the keys of this block: visit(first key, sums).
template <class Visit>
__device__ __forceinline__ void sweep(const Params& p, i64 rowBlock, i64 begin, i64 end, Visit visit) {
  extern __shared__ __align__(16) u16 memory[];
  const u32 queries = static_cast<u32>(__cvta_generic_to_shared(memory));
  const u32 keys = queries + 2 * PARTS * ROWS * PITCH;
  const u32 stage = 2 * PARTS * KEYS * PITCH;
  copyRows<ROWS>(queries, p.q, rowBlock, p.tokens);
  copyRows<KEYS>(keys, p.k, begin, p.tokens);
  asm volatile("cp.async.commit_group;");
  int buffer = 0;
  for (i64 key = begin; key < end; key += KEYS, buffer ^= 1) {
    if (key + KEYS < end) copyRows<KEYS>(keys + (buffer ^ 1) * stage, p.k, key + KEYS, p.tokens);
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.wait_group 1;");
    __syncthreads();
    float sums[2][8][4];
    product(sums, queries, keys + buffer * stage);
    visit(key, sums);
    __syncthreads();
  }
}

// First key of a block of rows, at a multiple of KEYS from `begin`.
__device__ __forceinline__ i64 firstKey(const Params& p, i64 rowBlock, i64 begin) {
  const i64 first = p.window > 0 ? rowBlock - p.window + 1 : 0;
  return first > begin ? begin + (first - begin) / KEYS * KEYS : begin;
}

// The cell at hand. In one row the divisor is the same for all keys, so that the largest logit follows from `largest`.
#define COLUMN_CELLS (64 >> CELL)                      // cells that 64 keys touch
#define ROW_CELLS (CELL >= 5 ? 1 : CELL == 4 ? 2 : 4)  // cell rows that 32 query rows touch
#define ROW_CELL(m, h) (ROW_CELLS == 1 ? 0 : ROW_CELLS == 2 ? (m) : 2 * (m) + (h))

struct Cell {
  float largest[2][2];
  float sum[ROW_CELLS];
  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) largest[m][h] = HIDDEN, sum[ROW_CELL(m, h)] = 0.0f;
  }
};

__device__ __forceinline__ void handOn(const Params& p, const Cell& cell, const float (&normalizer)[2][2], i64 firstRow,
                                       i64 key) {
#pragma unroll
  for (int r = 0; r < ROW_CELLS; ++r) {
    float largest = HIDDEN, logit = HIDDEN, sum = cell.sum[r];
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h)
        if (ROW_CELL(m, h) == r) {
          largest = fmaxf(largest, cell.largest[m][h]);
          logit = fmaxf(logit, cell.largest[m][h] + normalizer[m][h]);
        }
#pragma unroll
    for (int other = 16; other > 0; other >>= 1) {
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, other));
      logit = fmaxf(logit, __shfl_xor_sync(0xffffffffu, logit, other));
      sum += __shfl_xor_sync(0xffffffffu, sum, other);
    }
    if ((threadIdx.x & 31) == 0 && logit > HIDDEN) {
      const i64 row = firstRow + r * (32 / ROW_CELLS);
      const i64 at = ((row - p.rowBegin) >> p.level) * p.width + ((key - p.colBegin) >> p.level);
      atomicMax(p.largest + at, ordered(largest));
      atomicMax(p.logit + at, ordered(logit));
      atomicAdd(p.sum + at, sum);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) pool(const Params p) {
  const i64 rowBlock = p.rowBegin + static_cast<i64>(gridDim.x - 1 - blockIdx.x) * ROWS;  // the longest first
  const i64 chunk = p.colBegin + static_cast<i64>(blockIdx.y) * p.keysOfBlock;
  const i64 lastRow = min(rowBlock + ROWS, p.rowEnd) - 1;
  const i64 end = min(min(chunk + p.keysOfBlock, p.colEnd), lastRow + 1);
  const i64 begin = firstKey(p, rowBlock, chunk);
  if (begin >= end) return;
  const Rows rows = rowsOf(p, rowBlock);
  float normalizer[2][2];
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) normalizer[m][h] = rows.limit[m][h] >= 0 ? p.normalizer[rows.limit[m][h]] : 0.0f;
  Cell cell;
  cell.reset();
  sweep(p, rowBlock, begin, end, [&](i64 key, float (&sums)[2][8][4]) {
    const bool cut = cuts(p, rows, key);
#pragma unroll
    for (int c = 0; c < COLUMN_CELLS; ++c) {
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h)
#pragma unroll
          for (int i = 0; i < 8 / COLUMN_CELLS; ++i)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const int n = c * (8 / COLUMN_CELLS) + i;
              float y = logitOf(p, sums[m][n][2 * h + e]) - normalizer[m][h];
              if (cut && !visible(p, rows.limit[m][h], key + n * 8 + (threadIdx.x & 3) * 2 + e)) y = HIDDEN;
              cell.largest[m][h] = fmaxf(cell.largest[m][h], y);
              cell.sum[ROW_CELL(m, h)] += power(y);
            }
      const bool ends = CELL < 6 || key + KEYS >= end || ((key + KEYS - p.colBegin) & ((1ll << p.level) - 1)) == 0;
      if (ends) {
        handOn(p, cell, normalizer, rows.first, key + c * (64 / COLUMN_CELLS));
        cell.reset();
      }
    }
  });
}

// log2 Σ 2^logit over the visible keys of each row in [rowBegin, rowEnd).
extern "C" __global__ void __launch_bounds__(THREADS) rowSums(const Params p) {
  const i64 rowBlock = p.rowBegin + static_cast<i64>(gridDim.x - 1 - blockIdx.x) * ROWS;
  const i64 end = min(rowBlock + ROWS, p.rowEnd);
  const Rows rows = rowsOf(p, rowBlock);
  float largest[2][2], sum[2][2];
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) largest[m][h] = -1e30f, sum[m][h] = 0.0f;
  sweep(p, rowBlock, firstKey(p, rowBlock, 0), end, [&](i64 key, float (&sums)[2][8][4]) {
    const bool cut = cuts(p, rows, key);
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float highest = largest[m][h];
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& logit = sums[m][n][2 * h + e];
            logit = logitOf(p, logit);
            if (cut && !visible(p, rows.limit[m][h], key + n * 8 + (threadIdx.x & 3) * 2 + e)) logit = HIDDEN;
            highest = fmaxf(highest, logit);
          }
        float added = 0.0f;
#pragma unroll
        for (int n = 0; n < 8; ++n) added += power(sums[m][n][2 * h] - highest) + power(sums[m][n][2 * h + 1] - highest);
        sum[m][h] = sum[m][h] * power(largest[m][h] - highest) + added;
        largest[m][h] = highest;
      }
  });
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float highest = largest[m][h], total = sum[m][h];
#pragma unroll
      for (int other = 1; other <= 2; other <<= 1) {  // four threads share a row
        const float theirs = __shfl_xor_sync(0xffffffffu, highest, other);
        const float theirTotal = __shfl_xor_sync(0xffffffffu, total, other);
        const float both = fmaxf(highest, theirs);
        total = total * power(highest - both) + theirTotal * power(theirs - both);
        highest = both;
      }
      if ((threadIdx.x & 3) == 0 && rows.limit[m][h] >= 0) p.normalizer[rows.limit[m][h]] = highest + log2f(total);
    }
}

// float32 rows [tokens][dim] to PARTS bf16 numbers each, [PARTS][tokens][DIM], zeros beyond dim.
extern "C" __global__ void split(const float* from, u16* to, i64 tokens, int dim) {
  const i64 at = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= tokens * DIM) return;
  const i64 token = at / DIM;
  const int d = static_cast<int>(at % DIM);
  float rest = d < dim ? from[token * dim + d] : 0.0f;
#pragma unroll
  for (int part = 0; part < PARTS; ++part) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(rest));
    to[part * tokens * DIM + at] = bits;
    rest -= __uint_as_float(static_cast<u32>(bits) << 16);
  }
}
)cuda";

}  // namespace headscope
