#pragma once

// config.json as the families read it: old and new spellings of the same things. Errors name the file and the key.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/files/json.h"
#include "core/model/detail/architecture.h"

namespace headscope {

/// A family's defaults for keys that a configuration may lack.
struct DecoderDefaults {
  double ropeBase = 10000.0;
  double partial = 1.0;  ///< partial_rotary_factor
  RopePairing pairing = RopePairing::Half;
  const char* rope = nullptr;  ///< rope_parameters (JSON) where the file has none in any spelling
  bool topLevelRope = true;    ///< rope_theta and partial_rotary_factor count outside of the RoPE dictionary too
  /// Phi-3: "su" and "yarn" are old names of longrope, and a top-level original_max_position_embeddings goes first.
  bool oldLongRopeNames = false;
  int headDim = 0;  ///< where "head_dim" is absent (null means hidden size / heads all the same)
  const char* epsKey = "rms_norm_eps";
  double eps = 1e-6;
  bool tied = false;
};

class Config {
 public:
  /// `root` as parsed from `where`. `tensors`, the number of tensors in the files, bounds the numbers of layers and
  /// experts before anything is allocated. Throws Unsupported for quantized weights.
  Config(Json root, std::string where, std::int64_t tensors);
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  const std::string& family() const noexcept { return family_; }  ///< model_type of the decoder
  bool wrapped() const noexcept { return wrapped_; }              ///< the decoder is a part: text_config
  const JsonReader& keys() const noexcept { return *reader_; }
  const std::string& where() const noexcept { return where_; }

  bool contains(const char* key) const;  ///< also if null
  bool flag(const char* key, bool fallback) const { return reader_->booleanOr(key, fallback); }
  double number(const char* key, double fallback) const { return reader_->numberOr(key, fallback); }
  std::optional<double> optionalNumber(const char* key) const;
  std::int64_t size(const char* key) const;  ///< at least 1
  std::int64_t sizeOr(const char* key, std::int64_t fallback) const;
  int count(const char* key, std::int64_t fallback, std::int64_t low, std::int64_t high) const;
  int expertCount(const char* key) const;
  std::vector<std::int64_t> integers(const char* key) const;  ///< empty if absent

  /// sliding_window: null and 0 are none, absent is `fallback`.
  std::optional<std::int64_t> window(std::optional<std::int64_t> fallback = {}) const;
  /// hidden_act (or another key); an unknown name is Unsupported.
  plan::Activation activation(const char* key, const char* fallback) const;
  /// layer_types; empty if absent. "attention" is read as "full_attention"; anything else than full and sliding is
  /// Unsupported.
  std::vector<std::string> layerTypes(int layers) const;
  /// layer_types, or: full where (i + 1) mod `period` = 0, else sliding.
  std::vector<std::string> layerTypesOr(int layers, std::int64_t period) const;

  /// RoPE from rope_scaling, rope_parameters and the older top-level keys.
  RopeParameters rope(const DecoderDefaults& defaults, int headDim) const;
  /// RoPE of one layer type. Where the parameters are not by layer type: full layers as rope(), but a flat
  /// rope_parameters is ignored (as transformers does); sliding layers are unscaled with the base of `defaults`.
  RopeParameters ropeOf(const char* layerType, const DecoderDefaults& defaults, int headDim) const;
  bool ropeByLayerType() const;
  /// A number of the RoPE dictionary that rope() reads.
  double ropeNumber(const char* key, const DecoderDefaults& defaults) const;

  /// Sizes, names, norms and RoPE of a Llama-like decoder; families change what differs.
  Architecture decoder(const DecoderDefaults& defaults = {}) const;

  [[noreturn]] void refuse(const std::string& problem) const { throw Error(where_, problem, ErrorKind::Unsupported); }

 private:
  bool tied(bool fallback) const;
  const Json* ropeDictionary() const;
  Json ropeDictionaryOr(const DecoderDefaults& defaults) const;
  RopeParameters readRope(const Json& dictionary, const DecoderDefaults& defaults, int headDim, bool topLevel,
                          bool byLayerType) const;

  Json root_;
  std::string where_;
  std::int64_t tensors_;
  std::string family_;
  bool wrapped_ = false;
  std::optional<JsonReader> reader_;
};

/// Every layer slides if there is a window.
void slideAll(Architecture& architecture, std::optional<std::int64_t> window);
/// The layers of that type slide; `types` [layers].
void slideByType(Architecture& architecture, const std::vector<std::string>& types, std::optional<std::int64_t> window);
/// Full layers rotate with the first, sliding ones with the second.
void rotateByType(Architecture& architecture, const std::vector<std::string>& types, RopeParameters full,
                  RopeParameters sliding);

}  // namespace headscope
