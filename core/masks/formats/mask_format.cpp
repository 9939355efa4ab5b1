#include "core/masks/formats/mask_format.h"

#include <algorithm>
#include <charconv>

#include "core/base/text.h"
#include "core/files/atomic_file.h"

namespace headscope::masks {
namespace {

// A label folder holds one of these; a model folder of the uneven kind a config.json with block_configs.
constexpr const char* kFolderFiles[] = {"full_attention_heads.tsv", "masks.tsv", "config.json"};

std::filesystem::path fileOf(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return path;
  }
  for (const char* name : kFolderFiles) {
    if (std::filesystem::exists(path / name, error)) {
      return path / name;
    }
  }
  throw Error(path.string(), "is a folder without a mask (full_attention_heads.tsv, masks.tsv or config.json)");
}

std::string headName(const MaskDocument& document) {
  return document.axis == MaskAxis::Kv ? "KV head" : "head";
}

}  // namespace

MaskInput::MaskInput(const std::filesystem::path& path) : path_(fileOf(path)), bytes_(readFile(path_, kLimit)) {
  const std::size_t first = bytes_.find_first_not_of(" \t\r\n");
  looksLikeJson_ = first != std::string::npos && (bytes_[first] == '{' || bytes_[first] == '[');
}

const Json& MaskInput::json() const {
  if (!json_) {
    json_ = parseJson(bytes_, where());
  }
  return *json_;
}

bool MaskInput::isText() const noexcept {
  return isUtf8(bytes_) && bytes_.find('\0') == std::string::npos;
}

int neededLayers(const MaskInput& input, const MaskHints& hints) {
  if (hints.shape.layers <= 0) {
    throw Error(input.where(), "doesn't say how many layers the model has: give --model or --shape", ErrorKind::Usage);
  }
  return hints.shape.layers;
}

MaskShape neededHeads(const MaskInput& input, const MaskHints& hints, MaskAxis axis) {
  const int heads = axis == MaskAxis::Kv ? hints.shape.kvHeads : hints.shape.heads;
  if (hints.shape.layers <= 0 || heads <= 0) {
    throw Error(input.where(), "doesn't say how many layers and heads the model has: give --model or --shape",
                ErrorKind::Usage);
  }
  return hints.shape;
}

void completeShape(const MaskInput& input, const MaskHints& hints, MaskDocument& document) {
  const auto complete = [&](int& own, int hint, const char* what) {
    if (own > 0 && hint > 0 && own != hint) {
      input.fail(concat("is for ", own, " ", what, ", the model has ", hint));
    }
    own = own > 0 ? own : hint;
  };
  MaskShape& shape = document.shape;
  complete(shape.layers, hints.shape.layers, "layers");
  complete(shape.heads, hints.shape.heads, "heads a layer");
  complete(shape.kvHeads, hints.shape.kvHeads, "KV heads a layer");
  if (shape.heads > 0 && shape.kvHeads > 0 && shape.heads % shape.kvHeads != 0) {
    input.fail(concat("has ", shape.heads, " heads, which don't divide into ", shape.kvHeads, " KV heads"));
  }
}

std::optional<int> wholeNumber(std::string_view text, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool digits =
      !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || error != std::errc() || end != text.data() + text.size() || value > most) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::pair<int, int>> layerHead(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto layer = wholeNumber(text.substr(0, dash), kMostLayers - 1);
  const auto head = wholeNumber(text.substr(dash + 1), kMostHeads - 1);
  if (!layer || !head) {
    return std::nullopt;
  }
  return std::pair{*layer, *head};
}

std::optional<int> wholeNumber(const Json& value, int most) {
  if (!value.is_number_integer() || value < 0 || value > most) {
    return std::nullopt;
  }
  return value.get<int>();
}

void keepAll(MaskDocument& document) {
  document.keep.assign(static_cast<std::size_t>(document.shape.layers) * static_cast<std::size_t>(document.entries()),
                       1);
}

void dropHead(const MaskInput& input, MaskDocument& document, int layer, int head) {
  const int heads = document.entries();
  if (layer >= document.shape.layers || head >= heads) {
    input.fail(concat("names ", headName(document), " ", head, " of layer ", layer, ", but there are ",
                      document.shape.layers, " layers of ", heads));
  }
  std::uint8_t& keep =
      document.keep[static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head)];
  if (keep == 0) {
    input.fail(concat("names ", headName(document), " ", head, " of layer ", layer, " twice"));
  }
  keep = 0;
}

void dropLayer(const MaskInput& input, MaskDocument& document, int layer) {
  if (layer >= document.shape.layers) {
    input.fail(concat("names layer ", layer, ", but there are ", document.shape.layers, " layers"));
  }
  std::uint8_t& keep = document.keep[static_cast<std::size_t>(layer)];
  if (keep == 0) {
    input.fail(concat("names layer ", layer, " twice"));
  }
  keep = 0;
}

std::vector<std::vector<int>> prunedByLayer(const MaskDocument& document) {
  std::vector<std::vector<int>> layers(static_cast<std::size_t>(document.shape.layers));
  for (const auto& [layer, head] : document.pruned()) {
    layers[static_cast<std::size_t>(layer)].push_back(head);
  }
  return layers;
}

void demandHeads(const std::filesystem::path& path, const MaskDocument& document, MaskAxis axis) {
  if (document.axis != axis) {
    throw Error(path.string(), concat("needs the ", maskAxisName(axis), " axis, not ", maskAxisName(document.axis)));
  }
  if (document.keep.empty()) {
    throw Error(path.string(), "needs a mask, there are only scores", ErrorKind::Usage);
  }
}

void demandScores(const std::filesystem::path& path, const MaskDocument& document, MaskAxis axis) {
  if (document.axis != axis || document.scores.empty()) {
    throw Error(path.string(), concat("needs scores on the ", maskAxisName(axis), " axis"));
  }
}

void demandLayers(const std::filesystem::path& path, const MaskDocument& document) {
  demandHeads(path, document, MaskAxis::Layer);
}

void demandShape(const std::filesystem::path& path, bool known, const char* what) {
  if (!known) {
    throw Error(path.string(), concat("needs ", what, " of the model: give --model or --shape"), ErrorKind::Usage);
  }
}

void shapeFromComplete(const std::vector<std::pair<int, int>>& heads, MaskShape& shape) {
  int layers = 0;
  int perLayer = 0;
  for (const auto& [layer, head] : heads) {
    layers = std::max(layers, layer + 1);
    perLayer = std::max(perLayer, head + 1);
  }
  if (!heads.empty() && heads.size() == static_cast<std::size_t>(layers) * static_cast<std::size_t>(perLayer)) {
    shape.layers = layers;
    shape.heads = perLayer;
  }
}

}  // namespace headscope::masks
