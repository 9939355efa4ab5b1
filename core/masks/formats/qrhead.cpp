// QRHead (arXiv 2506.09944): a YAML file whose `attn_head_set` lists the chosen heads, "35-17,35-27" or "full_heads";
// and the detector's score file, JSON [["35-17", 0.81], …], best first. Query heads.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"
#include "core/masks/formats/yaml_subset.h"

namespace headscope::masks {
namespace {

constexpr const char* kSetKey = "attn_head_set";
constexpr const char* kAllHeads = "full_heads";

bool recognisesSet(const MaskInput& input) {
  return !input.looksLikeJson() && input.isText() && input.bytes().find(kSetKey) != std::string::npos;
}

MaskDocument readSet(const MaskInput& input, const MaskHints& hints) {
  if (!input.isText()) {
    input.fail("is no text");
  }
  const Json yaml = parseYaml(input.bytes(), input.where());
  const JsonReader config(yaml, input.where());
  const std::string set = config.string(kSetKey);
  MaskDocument document;
  document.direction = MaskDirection::Keep;
  document.model = config.stringOr("model_name_or_path", config.stringOr("model_base_class", ""));
  document.shape = neededHeads(input, hints, MaskAxis::Query);
  keepAll(document);
  if (set == kAllHeads) {
    return document;
  }
  std::size_t at = 0;
  while (at <= set.size()) {
    const std::size_t end = std::min(set.find(',', at), set.size());
    const std::size_t first = std::min(set.find_first_not_of(' ', at), end);
    const std::string_view name = std::string_view(set).substr(first, end - first);
    const auto head = layerHead(name.substr(0, name.find_last_not_of(' ') + 1));
    if (!head) {
      input.fail(concat("names the head \"", name.substr(0, 60), "\", expected layer-head as in \"35-17\""));
    }
    dropHead(input, document, head->first, head->second);
    at = end + 1;
  }
  for (std::uint8_t& keep : document.keep) {
    keep = keep == 0 ? 1 : 0;
  }
  return document;
}

void writeSet(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options) {
  demandHeads(path, document, MaskAxis::Query);
  std::string set;
  const auto heads = static_cast<std::size_t>(document.shape.heads);
  for (std::size_t index = 0; index < document.keep.size(); ++index) {
    if (document.keep[index] != 0) {
      set += concat(set.empty() ? "" : ",", index / heads, "-", index % heads);
    }
  }
  if (set.empty()) {
    throw Error(path.string(), "needs at least one head that is kept");
  }
  const std::string model = options.model.empty() ? document.model : options.model;
  std::string text = concat(kSetKey, ": \"", set, "\"\n");
  if (!model.empty()) {
    text += concat("model_base_class: ", yamlScalar(std::filesystem::path(model).filename().string()), "\n",
                   "model_name_or_path: ", yamlScalar(model), "\n");
  }
  writeFile(path, text);
}

bool recognisesScores(const MaskInput& input) {
  if (!input.looksLikeJson() || !input.json().is_array() || input.json().empty()) {
    return false;
  }
  const Json& first = input.json().front();
  return first.is_array() && first.size() == 2 && first[0].is_string();
}

MaskDocument readScores(const MaskInput& input, const MaskHints& hints) {
  if (!input.json().is_array()) {
    input.fail("is no list of heads with scores");
  }
  std::vector<std::pair<int, int>> heads;
  std::vector<double> values;
  for (const Json& entry : input.json()) {
    const bool pair = entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    const auto head = pair ? layerHead(entry[0].get<std::string>()) : std::nullopt;
    if (!head) {
      input.fail(concat("holds ", entry.dump().substr(0, 60), ", expected [\"layer-head\", score]"));
    }
    heads.push_back(*head);
    values.push_back(entry[1].get<double>());
  }
  MaskDocument document;
  document.direction = MaskDirection::Score;
  document.scoreName = "qr";
  shapeFromComplete(heads, document.shape);
  if (document.shape.layers == 0) {
    document.shape = neededHeads(input, hints, MaskAxis::Query);
  }
  completeShape(input, hints, document);
  MaskDocument seen = document;
  keepAll(seen);
  document.scores.assign(seen.keep.size(), std::nan(""));
  for (std::size_t index = 0; index < heads.size(); ++index) {
    dropHead(input, seen, heads[index].first, heads[index].second);
    document.scores[static_cast<std::size_t>(heads[index].first * document.shape.heads + heads[index].second)] =
        values[index];
  }
  if (!std::is_sorted(values.rbegin(), values.rend())) {
    document.misreadings.emplace_back("isn't sorted by score, best first; its readers take the heads from the top");
  }
  if (heads.size() < document.scores.size()) {
    document.warnings.push_back(concat(document.scores.size() - heads.size(), " heads have no score"));
  }
  return document;
}

void writeScores(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandScores(path, document, MaskAxis::Query);
  std::vector<std::size_t> order(document.scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t index) { return std::isnan(document.scores[index]); });
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return document.scores[a] > document.scores[b]; });
  OrderedJson list = OrderedJson::array();
  const auto heads = static_cast<std::size_t>(document.shape.heads);
  for (const std::size_t index : order) {
    OrderedJson entry = OrderedJson::array();
    entry.push_back(concat(index / heads, "-", index % heads));
    entry.push_back(document.scores[index]);
    list.push_back(std::move(entry));
  }
  writeFile(path, jsonText(list));
}

}  // namespace

const MaskFormat& qrHeadFormat() {
  static const MaskFormat format{MaskKind::QrHead, recognisesSet, readSet, writeSet};
  return format;
}

const MaskFormat& qrHeadScoresFormat() {
  static const MaskFormat format{MaskKind::QrHeadScores, recognisesScores, readScores, writeScores};
  return format;
}

}  // namespace headscope::masks
