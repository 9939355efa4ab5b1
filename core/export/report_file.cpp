#include "core/export/report_file.h"

#include <cmath>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/json_text.h"

namespace headscope {
namespace {

std::string measureKey(std::size_t index) {
  return "q_similarity_" + std::string(measureName(static_cast<Measure>(index)));
}

template <typename Number>
OrderedJson orNull(const std::optional<Number>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

enum class Part { Mean, Deviation };

double partOf(const Spread& spread, Part part) {
  return part == Part::Mean ? spread.mean : spread.deviation;
}

template <typename Summary>
OrderedJson scoresJson(const Summary& summary, Part part) {
  OrderedJson json;
  for (std::size_t index = 0; index < kScoreCount; ++index) {
    json[std::string(scoreDefinitions()[index].name)] = partOf(summary.scores[index], part);
  }
  for (std::size_t index = 0; summary.measures && index < kMeasureCount; ++index) {
    json[measureKey(index)] = partOf((*summary.measures)[index], part);
  }
  return json;
}

OrderedJson casesJson(const HeadSummary& head, Part part) {
  OrderedJson json;
  for (std::size_t index = 0; index < kCaseCount; ++index) {
    json[std::string(caseKey(static_cast<Case>(index)))] = partOf(head.cases[index], part);
  }
  return json;
}

OrderedJson boundsJson(const HeadSummary& head) {
  OrderedJson json;
  for (std::size_t index = 0; index < kStatementCount; ++index) {
    const BoundSummary& bound = (*head.bounds)[index];
    OrderedJson entry;
    entry["violations"] = bound.violations;
    entry["pairs"] = bound.pairs;
    entry["tightness_mean"] = orNull(bound.tightnessMean);
    entry["tightness_max"] = orNull(bound.tightnessMax);
    const auto statement = static_cast<Statement>(index);
    if (statement == Statement::Theorem54 && head.season) {
      entry["season"] = *head.season > 0 ? OrderedJson(*head.season) : OrderedJson(nullptr);
    }
    json[std::string(statementKey(statement))] = std::move(entry);
  }
  return json;
}

OrderedJson headJson(const HeadSummary& head, bool spread) {
  OrderedJson json;
  json["layer"] = head.layer;
  json["head"] = head.head;
  json["kv_head"] = head.kvHead;
  const auto scores = [&head](Part part) {
    OrderedJson all = scoresJson(head, part);
    all["retrieval"] = partOf(head.retrieval, part);
    all["retrieval_mass"] = partOf(head.retrievalMass, part);
    return all;
  };
  json["scores"] = scores(Part::Mean);
  if (spread) {
    json["scores_std"] = scores(Part::Deviation);
  }
  json["case"] = caseKey(head.label);
  json["case_scores"] = casesJson(head, Part::Mean);
  if (spread) {
    json["case_scores_std"] = casesJson(head, Part::Deviation);
  }
  json["case_predicted"] = caseKey(head.predictedLabel);
  json["dominant_channel"] = orNull(head.dominantChannel);
  json["period"] = {{"predicted", head.predictedPeriod.mean},
                    {"measured", head.measuredPeriod.mean},
                    {"strength", head.periodStrength.mean}};
  if (head.bounds) {
    json["bounds"] = boundsJson(head);
  }
  return json;
}

OrderedJson layerJson(const LayerSummary& layer, bool spread) {
  OrderedJson json;
  json["layer"] = layer.layer;
  json["scores"] = scoresJson(layer, Part::Mean);
  if (spread) {
    json["scores_std"] = scoresJson(layer, Part::Deviation);
  }
  if (layer.blockInfluence) {
    json["scores"]["block_influence"] = layer.blockInfluence->mean;
    json["scores"]["block_influence_residual"] = layer.blockInfluenceResidual->mean;
    if (spread) {
      json["scores_std"]["block_influence"] = layer.blockInfluence->deviation;
      json["scores_std"]["block_influence_residual"] = layer.blockInfluenceResidual->deviation;
    }
  }
  return json;
}

OrderedJson agreementJson(const CaseAgreement& agreement) {
  OrderedJson json;
  json["heads"] = agreement.heads;
  json["same_label"] = agreement.sameLabel;
  for (std::size_t index = 0; index < kCaseCount; ++index) {
    json["rank_correlation"][std::string(caseKey(static_cast<Case>(index)))] = orNull(agreement.rankCorrelation[index]);
  }
  return json;
}

// A field of CSV: empty = does not exist.
std::string field(double value) {
  return concat(",", std::isfinite(value) ? jsonNumber(value) : std::string());
}

std::string csvHeader(const ReportSummary& summary) {
  std::string line = "layer,head,kv_head";
  const bool spread = summary.documents > 1;
  for (const ScoreDefinition& definition : scoreDefinitions()) {
    line += concat(",", definition.name, spread ? concat(",", definition.name, "_std") : std::string());
  }
  const bool measures = !summary.heads.empty() && summary.heads.front().measures;
  for (std::size_t index = 0; measures && index < kMeasureCount; ++index) {
    line += concat(",", measureKey(index), spread ? concat(",", measureKey(index), "_std") : std::string());
  }
  line += ",case";
  for (std::size_t index = 0; index < kCaseCount; ++index) {
    line += concat(",case_", caseKey(static_cast<Case>(index)));
  }
  return line + ",dominant_channel,period_predicted,period_measured,period_strength\n";
}

}  // namespace

std::string reportJson(const ReportSummary& summary, const ReportText& text) {
  const bool spread = summary.documents > 1;
  OrderedJson json;
  json["model"] = text.model;
  json["family"] = text.family;
  json["documents"] = summary.documents;
  json["tokens"] = summary.tokens;
  json["exact"] = summary.exact;
  json["per_head"] = OrderedJson::array();
  for (const HeadSummary& head : summary.heads) {
    json["per_head"].push_back(headJson(head, spread));
  }
  json["per_layer"] = OrderedJson::array();
  for (const LayerSummary& layer : summary.layers) {
    json["per_layer"].push_back(layerJson(layer, spread));
  }
  if (summary.agreement) {
    json["agreement"] = agreementJson(*summary.agreement);
  }
  json["definitions"] = OrderedJson::object();
  for (const auto& [name, line] : text.definitions) {
    json["definitions"][name] = line;
  }
  return jsonText(json);
}

std::string reportCsv(const ReportSummary& summary) {
  const bool spread = summary.documents > 1;
  std::string table = csvHeader(summary);
  const auto append = [&](const Spread& value) {
    table += field(value.mean) + (spread ? field(value.deviation) : std::string());
  };
  for (const HeadSummary& head : summary.heads) {
    table += concat(head.layer, ",", head.head, ",", head.kvHead);
    for (const Spread& score : head.scores) {
      append(score);
    }
    for (std::size_t index = 0; head.measures && index < kMeasureCount; ++index) {
      append((*head.measures)[index]);
    }
    table += concat(",", caseKey(head.label));
    for (const Spread& score : head.cases) {
      table += field(score.mean);
    }
    table += concat(",", head.dominantChannel ? std::to_string(*head.dominantChannel) : std::string());
    table +=
        field(head.predictedPeriod.mean) + field(head.measuredPeriod.mean) + field(head.periodStrength.mean) + "\n";
  }
  return table;
}

void writeReport(const std::filesystem::path& target, const ReportSummary& summary, const ReportText& text) {
  const std::string ending = target.extension().string();
  if (ending != ".json" && ending != ".csv") {
    throw Error(target.string(), "has an ending that no table of scores is written as (.json, .csv)");
  }
  writeFile(target, ending == ".csv" ? reportCsv(summary) : reportJson(summary, text));
}

}  // namespace headscope
