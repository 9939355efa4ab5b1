#pragma once

// One mask format: how its files are recognised, read and written. Each has one source file here; the list of all is
// in mask_file.cpp.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/files/json.h"
#include "core/files/json_text.h"
#include "core/masks/mask_file.h"

namespace headscope::masks {

/// A file as the formats look at it: its bytes, and its JSON if it looks like JSON.
class MaskInput {
 public:
  /// Largest mask file that is read.
  static constexpr std::uint64_t kLimit = std::uint64_t{64} << 20;

  /// Reads a file, or lists a folder's one mask file. Throws Error naming it.
  explicit MaskInput(const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return path_; }  ///< the file itself
  std::string where() const { return path_.string(); }
  const std::string& bytes() const noexcept { return bytes_; }
  bool looksLikeJson() const noexcept { return looksLikeJson_; }
  const Json& json() const;  ///< throws Error naming the file if it is no JSON
  bool isText() const noexcept;

  [[noreturn]] void fail(const std::string& problem) const { throw Error(where(), problem); }

 private:
  std::filesystem::path path_;
  std::string bytes_;
  bool looksLikeJson_ = false;
  mutable std::optional<Json> json_;
};

struct MaskFormat {
  MaskKind kind;
  /// True if the file is of this kind; called in the order of the list. May throw if the file is damaged.
  bool (*recognises)(const MaskInput& input);
  MaskDocument (*read)(const MaskInput& input, const MaskHints& hints);
  /// Null where the kind is only read.
  void (*write)(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options);
};

const MaskFormat& headscopeFormat();
const MaskFormat& prunedHeadsFormat();
const MaskFormat& bertologyFormat();
const MaskFormat& transformerLensFormat();
const MaskFormat& safetensorsFormat();
const MaskFormat& duoAttentionFormat();
const MaskFormat& prulongFormat();
const MaskFormat& retrievalHeadFormat();
const MaskFormat& qrHeadFormat();
const MaskFormat& qrHeadScoresFormat();
const MaskFormat& minferenceFormat();
const MaskFormat& cofiFormat();
const MaskFormat& mergekitFormat();
const MaskFormat& llamaCppFormat();
const MaskFormat& blockConfigsFormat();
const MaskFormat& tappaScoresFormat();
const MaskFormat& tappaOrderFormat();

// Shared by the formats.

/// Most layers, and most heads per layer, that a mask file may speak of.
constexpr int kMostLayers = 4096;
constexpr int kMostHeads = 65536;

/// The shape that a file lacks, from the hints. Throws Error of kind Usage that asks for it.
int neededLayers(const MaskInput& input, const MaskHints& hints);
MaskShape neededHeads(const MaskInput& input, const MaskHints& hints, MaskAxis axis);

/// Fills `shape` with what the hints know besides; contradictions are Errors.
void completeShape(const MaskInput& input, const MaskHints& hints, MaskDocument& document);

/// "3" → 3, digits only, at most `most`; nothing otherwise.
std::optional<int> wholeNumber(std::string_view text, int most);
/// "12-7" → (12, 7).
std::optional<std::pair<int, int>> layerHead(std::string_view text);
/// A JSON number that is whole and in [0, most].
std::optional<int> wholeNumber(const Json& value, int most);

/// All kept, of the document's shape and axis.
void keepAll(MaskDocument& document);
/// Checks the range and that it isn't there already, then drops. `what` is for the message: "pruned head".
void dropHead(const MaskInput& input, MaskDocument& document, int layer, int head);
void dropLayer(const MaskInput& input, MaskDocument& document, int layer);

/// Takes the shape from a list of (layer, head) that is complete for some shape; leaves it as it is otherwise.
void shapeFromComplete(const std::vector<std::pair<int, int>>& heads, MaskShape& shape);

/// Pruned heads by layer, from `keep`.
std::vector<std::vector<int>> prunedByLayer(const MaskDocument& document);

/// What a writer may demand of its document; throws Error naming the target.
void demandHeads(const std::filesystem::path& path, const MaskDocument& document, MaskAxis axis);
void demandScores(const std::filesystem::path& path, const MaskDocument& document, MaskAxis axis);
void demandLayers(const std::filesystem::path& path, const MaskDocument& document);
void demandShape(const std::filesystem::path& path, bool known, const char* what);

}  // namespace headscope::masks
