#pragma once

// Reading and writing masks in the formats of the field. Each format has one file in formats/; this is the way in.

#include <filesystem>
#include <optional>
#include <string>

#include "core/masks/mask_document.h"

namespace headscope {

/// What the caller knows besides the file.
struct MaskHints {
  std::optional<MaskKind> kind;  ///< where the file doesn't tell
  MaskShape shape;               ///< of the model: used where the file lacks it, checked where the file has it
  std::optional<MaskAxis> axis;  ///< must be the file's
};

struct MaskWriteOptions {
  std::string model;   ///< mergekit: the model to slice; else the document's
  int sinkSize = 128;  ///< duo_attention: its config.json
  int recentSize = 256;
  std::optional<double> ffnMult;  ///< block_configs: of the layers that stay; absent if unknown
};

/// Reads a mask file (or label folder) and checks all of it: sizes, ranges, duplicates, and what the format's own
/// reader would misunderstand. Throws Error naming the file; its kind is Usage where the file lacks the model's shape
/// or doesn't tell its kind and the hints don't either.
MaskDocument readMask(const std::filesystem::path& path, const MaskHints& hints = {});

/// Writes `document` as `kind`, aside and renamed. The document must be of a shape and axis that the kind can hold:
/// see convertMask in mask_conversion.h. Throws Error if it isn't, or if the kind is read-only.
void writeMask(const std::filesystem::path& path, MaskKind kind, const MaskDocument& document,
               const MaskWriteOptions& options = {});

}  // namespace headscope
