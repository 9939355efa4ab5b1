// TAPPA's (LLM-TAPPA) and ShortGPT's layer files. Raw scores: {"score_type": "BI" | "q_similarity", "model", "scores",
// "prune_order", …}. Orders: {"method", "model", "prune_order", …}, first dropped first, or {"layers_to_remove": […]},
// {"removed_layers": […]}, {"orders": {"10": […]}}. The prune_order of a q-similarity file ascends by similarity: the
// reverse of an order of removal, and yet the public evaluator takes it.

#include <algorithm>
#include <array>
#include <cmath>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

constexpr std::array<const char*, 2> kRemovedKeys{"layers_to_remove", "removed_layers"};
constexpr std::array<const char*, 5> kSeries{"bi", "q_similarity", "bi_norm", "q_similarity_norm", "tappa_score"};

bool isObject(const MaskInput& input) {
  return input.looksLikeJson() && input.json().is_object();
}

bool recognisesScores(const MaskInput& input) {
  return isObject(input) && input.json().contains("score_type") && input.json().contains("scores");
}

bool recognisesOrder(const MaskInput& input) {
  if (!isObject(input)) {
    return false;
  }
  const Json& json = input.json();
  return json.contains("prune_order") || json.contains("orders") ||
         std::any_of(kRemovedKeys.begin(), kRemovedKeys.end(), [&](const char* key) { return json.contains(key); });
}

std::vector<double> readNumbers(const JsonReader& file, const char* key) {
  const Json& list = file.at(key);
  if (!list.is_array() || list.empty() || list.size() > kMostLayers) {
    file.fail(concat("\"", key, "\" is no list of numbers, one a layer"));
  }
  std::vector<double> values;
  for (const Json& value : list) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      file.fail(concat("\"", key, "\" has ", value.dump().substr(0, 40), " for layer ", values.size(),
                       ", which is no number"));
    }
    values.push_back(value.get<double>());
  }
  return values;
}

std::vector<int> readLayers(const JsonReader& file, const std::string& key, const Json& list) {
  if (!list.is_array()) {
    file.fail(concat("\"", key, "\" is no list of layers"));
  }
  std::vector<int> layers;
  for (const Json& value : list) {
    const auto layer = wholeNumber(value, kMostLayers - 1);
    if (!layer) {
      file.fail(concat("\"", key, "\" holds ", value.dump().substr(0, 40), ", which is no layer number"));
    }
    if (std::find(layers.begin(), layers.end(), *layer) != layers.end()) {
      file.fail(concat("\"", key, "\" names layer ", *layer, " twice"));
    }
    layers.push_back(*layer);
  }
  return layers;
}

// A full order names each layer once, and its score must rise along it.
void checkOrder(const JsonReader& file, const std::vector<int>& order, const std::vector<double>& score,
                const std::string& name) {
  if (order.size() != score.size() || *std::max_element(order.begin(), order.end()) >= static_cast<int>(score.size())) {
    file.fail(concat("\"prune_order\" does not name each of ", score.size(), " layers once"));
  }
  for (std::size_t at = 1; at < order.size(); ++at) {
    if (score[static_cast<std::size_t>(order[at])] < score[static_cast<std::size_t>(order[at - 1])]) {
      file.fail(concat("\"prune_order\" does not rise in its own score \"", name, "\": layer ", order[at],
                       " comes after layer ", order[at - 1]));
    }
  }
}

MaskDocument readScores(const MaskInput& input, const MaskHints& hints) {
  const JsonReader file(input.json(), input.where());
  MaskDocument document;
  document.axis = MaskAxis::Layer;
  document.direction = MaskDirection::Score;
  document.scoreName = file.string("score_type");
  if (document.scoreName != "BI" && document.scoreName != "q_similarity") {
    file.fail(concat("\"score_type\" is \"", document.scoreName.substr(0, 60), "\", expected BI or q_similarity"));
  }
  document.model = file.stringOr("model", "");
  document.scores = readNumbers(file, "scores");
  document.shape.layers = static_cast<int>(document.scores.size());
  completeShape(input, hints, document);
  if (file.has("prune_order")) {
    document.order = readLayers(file, "prune_order", file.at("prune_order"));
    if (document.order.empty()) {
      file.fail("\"prune_order\" is empty");
    }
    checkOrder(file, document.order, document.scores, "scores");
    if (document.scoreName == "q_similarity") {
      document.warnings.emplace_back(
          "its prune_order ascends by q-similarity: it is no order of removal, though the public evaluator takes it");
    }
  }
  return document;
}

void readSeries(const JsonReader& file, MaskDocument& document) {
  for (const char* name : kSeries) {
    if (!file.has(name)) {
      continue;
    }
    document.series.push_back({name, readNumbers(file, name)});
    if (document.series.back().values.size() != document.series.front().values.size()) {
      file.fail(concat("\"", name, "\" and \"", document.series.front().name, "\" are of different lengths"));
    }
  }
}

// The score that this order follows: tappa_score, or ShortGPT's bi.
const LayerSeries* ownScore(const MaskDocument& document) {
  const char* name = document.method == "TAPPA" ? "tappa_score" : "bi";
  for (const LayerSeries& series : document.series) {
    if (series.name == name || series.name == "tappa_score") {
      return &series;
    }
  }
  return nullptr;
}

// {"10": [10 layers], "11": [11 layers]}: the longest, if the others are its beginnings.
std::vector<int> readOrders(const JsonReader& file) {
  const Json& orders = file.at("orders");
  std::vector<std::vector<int>> lists;
  for (const auto& [key, list] : orders.items()) {
    const auto count = wholeNumber(std::string_view(key), kMostLayers);
    if (!orders.is_object() || !count || !list.is_array()) {
      file.fail("\"orders\" holds more than lists of layers by their number (the orders of several models?)");
    }
    lists.push_back(readLayers(file, "orders", list));
    if (lists.back().size() != static_cast<std::size_t>(*count)) {
      file.fail(concat("\"orders\" has ", lists.back().size(), " layers under \"", key, "\""));
    }
  }
  std::sort(lists.begin(), lists.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  for (const auto& list : lists) {
    if (!std::equal(list.begin(), list.end(), lists.back().begin())) {
      file.fail("\"orders\" has lists that are not the beginnings of one order");
    }
  }
  return lists.empty() ? std::vector<int>() : lists.back();
}

const char* orderKey(const JsonReader& file) {
  for (const char* key : {"layers_to_remove", "removed_layers", "orders"}) {
    if (file.has(key)) {
      return key;
    }
  }
  return "prune_order";
}

void readLayerCount(const MaskInput& input, const MaskHints& hints, MaskDocument& document) {
  std::vector<int> sorted = document.order;
  std::sort(sorted.begin(), sorted.end());
  if (!document.series.empty()) {
    document.shape.layers = static_cast<int>(document.series.front().values.size());
  } else if (hints.shape.layers == 0 && input.json().contains("prune_order") &&
             sorted.back() + 1 == static_cast<int>(sorted.size())) {
    document.shape.layers = static_cast<int>(sorted.size());
  } else {
    document.shape.layers = neededLayers(input, hints);
  }
  completeShape(input, hints, document);
  if (sorted.back() >= document.shape.layers) {
    input.fail(concat("names layer ", sorted.back(), ", but there are ", document.shape.layers, " layers"));
  }
}

MaskDocument readOrder(const MaskInput& input, const MaskHints& hints) {
  const JsonReader file(input.json(), input.where());
  MaskDocument document;
  document.axis = MaskAxis::Layer;
  document.direction = MaskDirection::Drop;
  document.model = file.stringOr("model", "");
  document.method = file.stringOr("method", "");
  document.formula = file.stringOr("formula", "");
  document.biFile = file.stringOr("bi_file", "");
  document.qFile = file.stringOr("q_file", "");
  if (file.has("beta")) {
    document.beta = file.number("beta");
  }
  readSeries(file, document);
  const std::string key = orderKey(file);
  document.order = key == "orders" ? readOrders(file) : readLayers(file, key, file.at(key.c_str()));
  if (document.order.empty()) {
    file.fail(concat("\"", key, "\" is empty"));
  }
  readLayerCount(input, hints, document);
  if (key == "layers_to_remove" || key == "removed_layers") {
    keepAll(document);
    for (const int layer : document.order) {
      document.keep[static_cast<std::size_t>(layer)] = 0;
    }
    return document;
  }
  if (const LayerSeries* score = ownScore(document)) {
    document.scores = score->values;
    document.scoreName = score->name;
    checkOrder(file, document.order, score->values, score->name);
  }
  return document;
}

void writeScores(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options) {
  demandScores(path, document, MaskAxis::Layer);
  OrderedJson file;
  file["score_type"] = document.scoreName;
  file["model"] = options.model.empty() ? document.model : options.model;
  file["scores"] = document.scores;
  if (!document.order.empty()) {
    file["prune_order"] = document.order;
  }
  writeFile(path, jsonText(file));
}

// The layers that go, first the first of the order.
std::vector<int> removedInOrder(const MaskDocument& document) {
  std::vector<int> layers = document.order.empty() ? document.prunedLayers() : document.order;
  std::erase_if(layers, [&](int layer) { return document.keep[static_cast<std::size_t>(layer)] != 0; });
  return layers;
}

void writeOrder(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options) {
  if (document.axis != MaskAxis::Layer || (document.order.empty() && document.keep.empty())) {
    throw Error(path.string(), "needs an order of layers");
  }
  OrderedJson file;
  const auto text = [&](const char* key, const std::string& value) {
    if (!value.empty()) {
      file[key] = value;
    }
  };
  text("method", document.method);
  text("formula", document.formula);
  if (document.method == "ShortGPT") {
    file["score_type"] = "BI";
  }
  text("model", options.model.empty() ? document.model : options.model);
  text("bi_file", document.biFile);
  text("q_file", document.qFile);
  if (document.beta) {
    file["beta"] = *document.beta;
  }
  for (const LayerSeries& series : document.series) {
    file[series.name] = series.values;
  }
  if (!document.keep.empty()) {
    file["layers_to_remove"] = removedInOrder(document);
  } else {
    file["prune_order"] = document.order;
  }
  writeFile(path, jsonText(file));
}

}  // namespace

const MaskFormat& tappaScoresFormat() {
  static const MaskFormat format{MaskKind::TappaScores, recognisesScores, readScores, writeScores};
  return format;
}

const MaskFormat& tappaOrderFormat() {
  static const MaskFormat format{MaskKind::TappaOrder, recognisesOrder, readOrder, writeOrder};
  return format;
}

}  // namespace headscope::masks
