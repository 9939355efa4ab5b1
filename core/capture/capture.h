#pragma once

// What one run leaves behind: per layer the queries and keys BEFORE RoPE (k once per KV head) and one log-sum-exp
// per row and head, with everything that a logit needs. Never a tokens × tokens map: any cell of any map follows
// from this. The file is laid down in ../shared/reference/cli.md ("Capture file"): one safetensors file.
//
// A Capture is immutable once a layer is ready. It lives in memory or in a mapped file; both look the same.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/job_control.h"
#include "core/capture/device_rows.h"
#include "core/files/float_type.h"
#include "core/rope/rope.h"

namespace headscope {

/// A step between RoPE and the dot product.
struct PostRopeStep {
  enum class Kind { PositionScale, RmsNorm };
  Kind kind = Kind::PositionScale;
  double beta = 0;            ///< PositionScale: q × (1 + beta·ln(1 + ⌊p/original⌋))
  std::int64_t original = 1;  ///< PositionScale
  double eps = 0;             ///< RmsNorm (per head, over all dims)
  std::vector<float> q, k;    ///< RmsNorm: weights [head_dim] of the query and the key norm
  bool operator==(const PostRopeStep&) const = default;
};

/// How one layer turns q and k into logits: softcap(scale · (R_t q_t)·(R_i k_i)); key i is visible to query t if
/// i ≤ t and, with a window W, i > t − W (by index, never by position).
struct AttentionSpec {
  double scale = 1.0;
  std::optional<std::int64_t> window;
  std::optional<double> softcap;  ///< c·tanh(x/c)
  std::optional<int> rope;        ///< index into CaptureHeader::ropes; none = this layer has no RoPE
  std::vector<PostRopeStep> postRope;
  bool operator==(const AttentionSpec&) const = default;
};

struct CaptureHeader {
  std::string model;   ///< name for people
  std::string family;  ///< model_type
  int layers = 0;
  int heads = 0;    ///< query heads (of layer 0 where layers differ; see Capture::layer)
  int kvHeads = 0;  ///< KV heads; query head h reads KV head h / (heads / kvHeads)
  int headDim = 0;
  std::vector<AttentionSpec> attention;  ///< [layers]
  std::vector<Rope> ropes;
  std::vector<std::string> tokens;      ///< text of each token; may be empty in foreign captures
  std::string text;                     ///< may be empty
  std::vector<std::int64_t> ids;        ///< [tokens]; may be empty in foreign captures
  std::vector<std::int64_t> positions;  ///< [tokens]; empty = 0 … tokens−1
  /// [layers · heads] what a head is, in words; mostly empty (constructed heads say how they were built).
  std::vector<std::string> headNotes;

  std::string_view headNote(int layer, int head) const noexcept {
    const std::size_t index =
        static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head);
    return index < headNotes.size() ? std::string_view(headNotes[index]) : std::string_view();
  }
};

/// Rows of floats as they lie in memory or in the file.
struct FloatRows {
  const std::byte* data = nullptr;
  FloatType type = FloatType::F32;
  std::int64_t rows = 0;
  int dim = 0;

  bool empty() const noexcept { return data == nullptr; }
  /// Rows [first, first + count) as float32 into `target` [count, dim].
  void read(std::int64_t first, std::int64_t count, float* target) const noexcept;
};

/// One layer. Spans stay valid as long as the Capture.
struct CaptureLayer {
  int heads = 0, kvHeads = 0, dim = 0;
  std::vector<FloatRows> q;  ///< [heads] each [tokens, dim], before RoPE
  std::vector<FloatRows> k;  ///< [kvHeads] each [tokens, dim], before RoPE
  std::vector<FloatRows> v;  ///< [kvHeads] or empty
  std::span<const float>
      lse;  ///< [heads · tokens] natural log Σ exp(logit) over visible keys, without any sink; or empty
  std::span<const float> sinks;  ///< [heads] one more logit per row's softmax, dropped afterwards (gpt-oss); or empty

  int kvHead(int head) const noexcept { return head / (heads / kvHeads); }
};

class Capture {
 public:
  /// Maps a capture file and checks it (missing, contradictory, wrongly shaped parts are Errors that name them; a
  /// stored lse is compared with q and k on sampled rows, 1e-2).
  static std::shared_ptr<const Capture> open(const std::filesystem::path& path);

  const CaptureHeader& header() const noexcept { return header_; }
  std::int64_t tokens() const noexcept { return tokens_; }
  /// While a run is under way layers become ready one by one; afterwards and for files all are.
  bool ready(int layer) const noexcept {
    return ready_[static_cast<std::size_t>(layer)].load(std::memory_order_acquire);
  }
  int readyLayers() const noexcept;
  const CaptureLayer& layer(int index) const;  ///< throws Error if out of range or not ready
  const AttentionSpec& attention(int layer) const { return header_.attention.at(static_cast<std::size_t>(layer)); }
  const Rope* rope(int layer) const;  ///< null: no RoPE in this layer
  std::int64_t position(std::int64_t token) const noexcept {
    return header_.positions.empty() ? token : header_.positions[static_cast<std::size_t>(token)];
  }
  std::uint64_t bytes() const noexcept { return bytes_; }               ///< of q, k, v and lse
  std::uint64_t id() const noexcept { return id_; }                     ///< unique in this process: cache keys
  const std::filesystem::path& path() const noexcept { return path_; }  ///< empty if in memory only

  /// Rows of a layer that are in a GPU's memory, too; none if they aren't (any more). Whoever holds them keeps them.
  std::optional<DeviceRows> deviceRows(int layer) const;
  void dropDeviceRows() const;

  /// The same capture (data shared) with this log-sum-exp: [layers] each [heads · tokens].
  std::shared_ptr<const Capture> withLogSumExp(std::vector<std::vector<float>> lse) const;

  /// Writes the capture file, aside and renamed; deterministic bytes.
  void save(const std::filesystem::path& path, const JobControl& control = {}) const;

 private:
  friend class CaptureBuilder;
  Capture();

  CaptureHeader header_;
  std::int64_t tokens_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t id_ = 0;
  std::filesystem::path path_;
  std::vector<CaptureLayer> layers_;
  std::unique_ptr<std::atomic<bool>[]> ready_;
  std::vector<std::shared_ptr<const void>> storage_;  ///< memory blocks or the mapped file
  mutable std::mutex deviceMutex_;
  mutable std::vector<DeviceRows> deviceRows_;  ///< [layers] or empty; without memory: none
};

/// Filled by a run (core/model), layer by layer, from one thread, while other threads already read ready layers.
class CaptureBuilder {
 public:
  struct LayerShape {
    int heads = 0, kvHeads = 0, dim = 0;
  };
  struct Options {
    FloatType type = FloatType::F32;
    bool values = false;
    /// False where the run's own log-sum-exp would not fit q and k as they are kept (arithmetic or storage in 16 bits):
    /// readers then compute it from these.
    bool lse = true;
    std::vector<LayerShape> shapes;         ///< [layers]
    std::vector<std::vector<float>> sinks;  ///< [layers] each [heads] or empty; or empty
    /// Memory for a layer, if not ordinary memory: page-locked for a GPU, say. Null: there is none, take ordinary
    /// memory.
    std::function<std::shared_ptr<std::byte>(std::uint64_t bytes)> allocate;
    std::filesystem::path
        file;  ///< if set, the data goes straight into this capture file (mapped); finish() renames it
  };

  CaptureBuilder(CaptureHeader header, std::int64_t tokens, Options options);
  ~CaptureBuilder();

  /// Where a layer's data go: q [heads, tokens, dim], k, v [kvHeads, tokens, dim] of options.type, lse [heads, tokens].
  struct Target {
    std::byte* q = nullptr;
    std::byte* k = nullptr;
    std::byte* v = nullptr;  ///< null without values
    float* lse = nullptr;    ///< null without lse
  };
  Target target(int layer);
  void setDeviceRows(int layer, DeviceRows rows);  ///< before the layer is finished
  void finishLayer(int layer);                     ///< publishes it to readers

  /// The capture under construction; readers look at ready().
  std::shared_ptr<const Capture> capture() const;
  /// All layers are there: completes the file, if any.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace headscope
