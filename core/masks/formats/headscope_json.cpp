// Our own full form. One JSON object:
//
//   {"format": "headscope-mask", "version": 1, "model": "name", "family": "llama",
//    "shape": {"layers": L, "heads": H, "kv_heads": G},
//    "axis": "query" | "kv" | "layer",            what an entry is: a query head, a KV head, a whole layer
//    "direction": "drop" | "keep",                what it means that an entry is listed
//    "heads": [{"layer": l, "head": h, "note": "…", "scores": {"entropy": 1.5, …}}, …],
//    "kv_groups": [{"layer": l, "kv_head": g, "pruned": n, "size": H/G, "removable": true | false}, …],
//    "scores": {"name": "…", "values": [[…], …]}}
//
// On the layer axis "heads" is "layers": [3, 7]. "kv_groups" is there on the query axis where G is known: the groups
// that lose query heads; only where all of them go, keys and values go too. "note", "scores" and G may be absent. We
// write "drop".

#include <cmath>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

constexpr const char* kFormatName = "headscope-mask";

bool recognises(const MaskInput& input) {
  if (!input.looksLikeJson() || !input.json().is_object()) {
    return false;
  }
  const auto format = input.json().find("format");
  return format != input.json().end() && *format == kFormatName;
}

MaskAxis readAxis(const JsonReader& file) {
  const std::string name = file.string("axis");
  for (const MaskAxis axis : {MaskAxis::Query, MaskAxis::Kv, MaskAxis::Layer}) {
    if (name == maskAxisName(axis)) {
      return axis;
    }
  }
  file.fail(concat("\"axis\" is \"", name.substr(0, 60), "\", expected query, kv or layer"));
}

MaskDirection readDirection(const JsonReader& file) {
  const std::string name = file.string("direction");
  if (name != "drop" && name != "keep") {
    file.fail(concat("\"direction\" is \"", name.substr(0, 60), "\", expected drop or keep"));
  }
  return name == "drop" ? MaskDirection::Drop : MaskDirection::Keep;
}

MaskShape readShape(const JsonReader& file) {
  const JsonReader shape(file.at("shape"), concat(file.where(), ": \"shape\""));
  MaskShape result;
  result.layers = static_cast<int>(shape.integer("layers", 1, kMostLayers));
  result.heads = static_cast<int>(shape.integerOr("heads", 0, 0, kMostHeads));
  result.kvHeads = static_cast<int>(shape.integerOr("kv_heads", 0, 0, kMostHeads));
  return result;
}

MaskRemark readRemark(const MaskInput& input, const Json& entry, const MaskDocument& document) {
  const JsonReader reader(entry, concat(input.where(), ": an entry of \"heads\""));
  MaskRemark remark;
  remark.layer = static_cast<int>(reader.integer("layer", 0, document.shape.layers - 1));
  remark.head = static_cast<int>(reader.integer("head", 0, document.entries() - 1));
  remark.note = reader.stringOr("note", "");
  if (reader.has("scores")) {
    const Json& scores = reader.at("scores");
    if (!scores.is_object()) {
      reader.fail("\"scores\" is no object of numbers");
    }
    for (const auto& [name, value] : scores.items()) {
      if (!value.is_number() && !value.is_null()) {
        reader.fail(concat("score \"", name.substr(0, 60), "\" is no number"));
      }
      remark.scores.emplace_back(name, value.is_null() ? std::nan("") : value.get<double>());
    }
  }
  return remark;
}

void invert(MaskDocument& document) {
  for (std::uint8_t& keep : document.keep) {
    keep = keep == 0 ? 1 : 0;
  }
}

void readHeads(const MaskInput& input, const JsonReader& file, MaskDocument& document) {
  const Json& heads = file.at("heads");
  if (!heads.is_array()) {
    file.fail("\"heads\" is no list");
  }
  for (const Json& entry : heads) {
    MaskRemark remark = readRemark(input, entry, document);
    dropHead(input, document, remark.layer, remark.head);
    if (!remark.note.empty() || !remark.scores.empty()) {
      document.remarks.push_back(std::move(remark));
    }
  }
}

void readLayers(const MaskInput& input, const JsonReader& file, MaskDocument& document) {
  const Json& layers = file.at("layers");
  if (!layers.is_array()) {
    file.fail("\"layers\" is no list");
  }
  for (const Json& entry : layers) {
    const auto layer = wholeNumber(entry, kMostLayers - 1);
    if (!layer) {
      file.fail(concat("\"layers\" holds ", entry.dump().substr(0, 60), ", which is no layer number"));
    }
    dropLayer(input, document, *layer);
  }
}

void readScores(const JsonReader& file, MaskDocument& document) {
  if (!file.has("scores")) {
    return;
  }
  const JsonReader scores(file.at("scores"), concat(file.where(), ": \"scores\""));
  document.scoreName = scores.stringOr("name", "");
  const Json& rows = scores.at("values");
  const auto perLayer = static_cast<std::size_t>(document.entries());
  if (!rows.is_array() || rows.size() != static_cast<std::size_t>(document.shape.layers)) {
    scores.fail("\"values\" doesn't have one list a layer");
  }
  for (const Json& row : rows) {
    if (!row.is_array() || row.size() != perLayer) {
      scores.fail(concat("\"values\" has a layer without exactly ", perLayer, " numbers"));
    }
    for (const Json& value : row) {
      if (!value.is_number() && !value.is_null()) {
        scores.fail("\"values\" holds something that is no number");
      }
      document.scores.push_back(value.is_null() ? std::nan("") : value.get<double>());
    }
  }
}

// A file whose groups contradict its heads was edited by hand in one place only: better to say so than to choose.
void checkGroups(const JsonReader& file, const MaskDocument& document) {
  if (!file.has("kv_groups") || document.axis != MaskAxis::Query || document.shape.kvHeads == 0) {
    return;
  }
  const auto groups = kvGroups(headMask(document));
  const Json& listed = file.at("kv_groups");
  bool same = listed.is_array() && listed.size() == groups.size();
  for (std::size_t index = 0; same && index < groups.size(); ++index) {
    const JsonReader entry(listed[index], concat(file.where(), ": an entry of \"kv_groups\""));
    same = entry.integer("layer", 0, kMostLayers) == groups[index].layer &&
           entry.integer("kv_head", 0, kMostHeads) == groups[index].kvHead &&
           entry.booleanOr("removable", groups[index].removable()) == groups[index].removable();
  }
  if (!same) {
    file.fail("\"kv_groups\" contradicts \"heads\"");
  }
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const JsonReader file(input.json(), input.where());
  if (file.string("format") != kFormatName) {
    file.fail(concat("\"format\" is not \"", kFormatName, "\""));
  }
  const std::int64_t version = file.integer("version", 1, 1 << 30);
  if (version != 1) {
    file.fail(concat("is of version ", version, " of the mask format; this program reads version 1"));
  }
  MaskDocument document;
  document.axis = readAxis(file);
  document.direction = readDirection(file);
  document.shape = readShape(file);
  document.model = file.stringOr("model", "");
  document.family = file.stringOr("family", "");
  completeShape(input, hints, document);
  if (document.entries() <= 0) {
    file.fail(concat("\"shape\" lacks the number of ", document.axis == MaskAxis::Kv ? "KV heads" : "heads"));
  }
  keepAll(document);
  if (document.axis == MaskAxis::Layer) {
    readLayers(input, file, document);
  } else {
    readHeads(input, file, document);
  }
  if (document.direction == MaskDirection::Keep) {
    invert(document);
  }
  readScores(file, document);
  checkGroups(file, document);
  return document;
}

OrderedJson number(double value) {
  return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
}

OrderedJson headEntry(const MaskDocument& document, int layer, int head) {
  OrderedJson entry{{"layer", layer}, {"head", head}};
  if (document.axis == MaskAxis::Query && document.shape.kvHeads > 0) {
    entry["kv_head"] = head / (document.shape.heads / document.shape.kvHeads);
  }
  for (const MaskRemark& remark : document.remarks) {
    if (remark.layer != layer || remark.head != head) {
      continue;
    }
    if (!remark.note.empty()) {
      entry["note"] = remark.note;
    }
    for (const auto& [name, value] : remark.scores) {
      entry["scores"][name] = number(value);
    }
  }
  return entry;
}

OrderedJson groupEntries(const MaskDocument& document) {
  OrderedJson groups = OrderedJson::array();
  for (const KvGroup& group : kvGroups(headMask(document))) {
    groups.push_back({{"layer", group.layer},
                      {"kv_head", group.kvHead},
                      {"pruned", group.pruned},
                      {"size", group.size},
                      {"removable", group.removable()}});
  }
  return groups;
}

OrderedJson scoreRows(const MaskDocument& document) {
  OrderedJson rows = OrderedJson::array();
  const auto perLayer = static_cast<std::size_t>(document.entries());
  for (std::size_t at = 0; at < document.scores.size(); ++at) {
    if (at % perLayer == 0) {
      rows.push_back(OrderedJson::array());
    }
    rows.back().push_back(number(document.scores[at]));
  }
  return rows;
}

void write(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandHeads(path, document, document.axis);
  OrderedJson file{{"format", kFormatName}, {"version", 1}};
  if (!document.model.empty()) {
    file["model"] = document.model;
  }
  if (!document.family.empty()) {
    file["family"] = document.family;
  }
  const auto known = [](int count) { return count > 0 ? OrderedJson(count) : OrderedJson(nullptr); };
  file["shape"] = {{"layers", document.shape.layers},
                   {"heads", known(document.shape.heads)},
                   {"kv_heads", known(document.shape.kvHeads)}};
  file["axis"] = maskAxisName(document.axis);
  file["direction"] = "drop";
  if (document.axis == MaskAxis::Layer) {
    file["layers"] = document.prunedLayers();
  } else {
    file["heads"] = OrderedJson::array();
    for (const auto& [layer, head] : document.pruned()) {
      file["heads"].push_back(headEntry(document, layer, head));
    }
  }
  if (document.axis == MaskAxis::Query && document.shape.kvHeads > 0) {
    file["kv_groups"] = groupEntries(document);
  }
  if (!document.scores.empty()) {
    file["scores"] = {{"name", document.scoreName}, {"values", scoreRows(document)}};
  }
  writeFile(path, jsonText(file));
}

}  // namespace

const MaskFormat& headscopeFormat() {
  static const MaskFormat format{MaskKind::Headscope, recognises, read, write};
  return format;
}

}  // namespace headscope::masks
