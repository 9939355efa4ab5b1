#pragma once

// Between CaptureHeader and the capture file's metadata and tensor names (../shared/reference/cli.md, "Capture
// file"). Inside core/capture only.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/capture/capture.h"
#include "core/files/safetensors_writer.h"

namespace headscope::capture_format {

constexpr const char* kMetadataKey = "headscope";
constexpr int kVersion = 1;

std::string tensorName(std::string_view kind, int layer);  ///< "q.3"

/// The value of kMetadataKey: JSON text, keys in a fixed order; ill-formed UTF-8 in token texts becomes U+FFFD.
std::string metadataText(const CaptureHeader& header);

/// Reads a weight that a post-RoPE step names.
using WeightReader = std::function<std::vector<float>(const std::string& tensor)>;

/// The header without ids and positions. Every key that is missing, of the wrong kind or contradicts another one is
/// an Error that names it; unknown keys are ignored.
CaptureHeader parseMetadata(std::string_view text, const std::string& where, const WeightReader& weight);

/// What belongs together in any header, read or built: lists as long as `layers` says, RoPE indices and sizes.
void checkHeader(const CaptureHeader& header, const std::string& where);

/// One layer's shapes against the header and its RoPE.
void checkLayer(const CaptureHeader& header, int layer, int heads, int kvHeads, int dim, const std::string& where);

/// Tensors of a layer as they will be stored.
struct LayerPlan {
  int heads = 0, kvHeads = 0, dim = 0;
  FloatType q = FloatType::F32, k = FloatType::F32;
  std::optional<FloatType> v = {};
  bool lse = true;
  bool sinks = false;
};

std::vector<TensorDeclaration> declareTensors(const CaptureHeader& header, std::int64_t tokens,
                                              std::span<const LayerPlan> layers);

/// Writes ids, positions and the weights of post-RoPE steps.
void writeHeaderTensors(SafetensorsWriter& writer, const CaptureHeader& header);

}  // namespace headscope::capture_format
