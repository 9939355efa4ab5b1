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
struct RopeDefaults {
  double base = 10000.0;
  double partial = 1.0;
  RopePairing pairing = RopePairing::Half;
};

class Config {
 public:
  /// `root` as parsed from `where`. `layerLimit` bounds num_hidden_layers before anything is allocated (a layer has
  /// at least one tensor, so the number of tensors in the files will do). Throws Unsupported for quantized weights.
  Config(Json root, std::string where, std::int64_t layerLimit);
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  const std::string& family() const noexcept { return family_; }  ///< model_type of the decoder
  bool wrapped() const noexcept { return wrapped_; }              ///< the decoder is a part: text_config
  const JsonReader& keys() const noexcept { return *reader_; }
  const std::string& where() const noexcept { return where_; }

  bool contains(const char* key) const;  ///< also if null
  bool flag(const char* key, bool fallback) const { return reader_->booleanOr(key, fallback); }
  double number(const char* key, double fallback) const { return reader_->numberOr(key, fallback); }
  std::int64_t size(const char* key) const;  ///< at least 1
  std::int64_t sizeOr(const char* key, std::int64_t fallback) const;
  std::optional<double> optionalNumber(const char* key) const;
  std::optional<std::int64_t> window() const;  ///< sliding_window; 0 and null are none
  bool tied(bool fallback) const;

  /// hidden_act (or another key); an unknown name is Unsupported.
  plan::Activation activation(const char* key, const char* fallback) const;

  /// layer_types; empty if absent. "attention" is read as "full_attention"; anything else than full and sliding is
  /// Unsupported.
  std::vector<std::string> layerTypes(int layers) const;
  std::vector<std::int64_t> integers(const char* key) const;  ///< empty if absent

  /// RoPE from rope_scaling, rope_parameters (flat, or by layer type) and the older top-level keys.
  RopeParameters rope(const RopeDefaults& defaults, int headDim, const char* layerType = nullptr) const;
  bool ropeByLayerType() const;

  /// Sizes, names, norms and RoPE of a Llama-like decoder; families change what differs.
  Architecture decoder(const RopeDefaults& defaults = {}) const;

  [[noreturn]] void refuse(const std::string& problem) const { throw Error(where_, problem, ErrorKind::Unsupported); }

 private:
  const Json* ropeDictionary(const char* layerType) const;

  Json root_;
  std::string where_;
  std::int64_t layerLimit_;
  std::string family_;
  bool wrapped_ = false;
  std::optional<JsonReader> reader_;
};

/// Every layer slides if there is a window.
void slideAll(Architecture& architecture, std::optional<std::int64_t> window);
/// The layers of that type slide; `types` [layers].
void slideByType(Architecture& architecture, const std::vector<std::string>& types, std::optional<std::int64_t> window);
/// "full_attention" where (i + 1) mod `period` = 0, else "sliding_attention".
std::vector<std::string> periodicTypes(int layers, std::int64_t period);

}  // namespace headscope
