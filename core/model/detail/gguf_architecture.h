#pragma once

// The architectures of llama.cpp that are covered: which family each belongs to and what its files hold differently
// from Hugging Face's. ../shared/reference/models.md 5.4 and llama.cpp's converters (conversion/*.py) have the facts.

#include <string>

#include "core/files/gguf.h"
#include "core/files/json.h"
#include "core/model/detail/architecture.h"
#include "core/model/detail/gguf_metadata.h"

namespace headscope {

struct GgufArchitecture {
  const char* name;       ///< general.architecture
  const char* modelType;  ///< the family
  bool pairedRows;        ///< q and k rows are stored for a rotation of neighbouring dims
  /// More keys for the family's configuration, which has the common ones already.
  void (*keys)(const GgufMetadata& metadata, const GgufFile& file, Json& config);
  /// What the family's description must say differently, names of tensors apart.
  void (*adapt)(const GgufMetadata& metadata, const GgufFile& file, Architecture& architecture);
};

/// Throws Unsupported, with the reason, for an architecture that is not covered.
const GgufArchitecture& findGgufArchitecture(const GgufMetadata& metadata, const std::string& where);

}  // namespace headscope
