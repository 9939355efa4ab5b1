// Retrieval_Head's scores (arXiv 2404.15574), one line of JSON: {"0-0": [0, 0.0385], "0-1": [0, 0]}, "layer-head" → the
// scores of its trials; higher = more retrieval. HeadKV reads the first line only and goes by the order, not the keys.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

bool recognises(const MaskInput& input) {
  if (!input.looksLikeJson() || !input.json().is_object() || input.json().empty()) {
    return false;
  }
  return std::all_of(input.json().items().begin(), input.json().items().end(),
                     [](const auto& item) { return layerHead(item.key()).has_value() && item.value().is_array(); });
}

double meanOfTrials(const MaskInput& input, const std::string& key, const OrderedJson& trials) {
  if (!trials.is_array() || trials.empty()) {
    input.fail(concat("has no list of scores for head ", key.substr(0, 40)));
  }
  double sum = 0;
  for (const OrderedJson& trial : trials) {
    if (!trial.is_number() || !std::isfinite(trial.get<double>())) {
      input.fail(concat("has a score of head ", key.substr(0, 40), " that is no number"));
    }
    sum += trial.get<double>();
  }
  return sum / static_cast<double>(trials.size());
}

// Where the file's order, or its line breaks, matter to a reader that ignores the keys.
void noteMisreadings(const MaskInput& input, const std::vector<std::pair<int, int>>& heads, MaskDocument& document) {
  if (!std::is_sorted(heads.begin(), heads.end())) {
    document.misreadings.emplace_back("doesn't list its heads as 0-0, 0-1, ...; HeadKV goes by the order");
  }
  const std::string& text = input.bytes();
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (text.find('\n', first) < last || text[first] == '\n') {
    document.misreadings.emplace_back("is spread over several lines; HeadKV reads the first one");
  }
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const Json& checked = input.json();  // sizes, depth and duplicate keys; sorted, so the order is read below
  if (!checked.is_object()) {
    input.fail("is no map from heads to scores");
  }
  const OrderedJson json = OrderedJson::parse(input.bytes());
  MaskDocument document;
  document.direction = MaskDirection::Score;
  document.scoreName = "retrieval";
  std::vector<std::pair<int, int>> heads;
  std::vector<double> means;
  for (const auto& [key, trials] : json.items()) {
    const auto head = layerHead(key);
    if (!head) {
      input.fail(concat("has the key \"", key.substr(0, 60), "\", expected layer-head as in \"0-0\""));
    }
    heads.push_back(*head);
    means.push_back(meanOfTrials(input, key, trials));
  }
  shapeFromComplete(heads, document.shape);
  if (document.shape.layers == 0) {
    input.fail("doesn't hold every head of every layer");
  }
  completeShape(input, hints, document);
  document.scores.assign(heads.size(), std::nan(""));
  for (std::size_t index = 0; index < heads.size(); ++index) {
    const int at = heads[index].first * document.shape.heads + heads[index].second;
    double& score = document.scores[static_cast<std::size_t>(at)];
    if (!std::isnan(score)) {
      input.fail(concat("names head ", heads[index].second, " of layer ", heads[index].first, " twice"));
    }
    score = means[index];
  }
  noteMisreadings(input, heads, document);
  return document;
}

void write(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandScores(path, document, MaskAxis::Query);
  OrderedJson json = OrderedJson::object();
  for (std::size_t index = 0; index < document.scores.size(); ++index) {
    const auto heads = static_cast<std::size_t>(document.shape.heads);
    if (std::isnan(document.scores[index])) {
      throw Error(path.string(), concat("needs a score of every head; head ", index % heads, " of layer ",
                                        index / heads, " has none"));
    }
    json[concat(index / heads, "-", index % heads)] = {document.scores[index]};
  }
  writeFile(path, jsonText(json, JsonLayout::Line));
}

}  // namespace

const MaskFormat& retrievalHeadFormat() {
  static const MaskFormat format{MaskKind::RetrievalHead, recognises, read, write};
  return format;
}

}  // namespace headscope::masks
