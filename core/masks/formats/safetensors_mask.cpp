// Our own binary form, one safetensors file: `keep` [layers, entries] f32, 1 = keep; `scores` [layers, entries] f64
// where there are any; `__metadata__` has the key `headscope_mask` with the JSON text
//   {"version":1,"model":"…","family":"…","axis":"query"|"kv"|"layer","direction":"keep","layers":L,"heads":H,"kv_heads":G}
// where what is unknown is absent. On the layer axis there is one entry a layer.

#include <cmath>
#include <cstring>

#include "core/files/safetensors.h"
#include "core/files/safetensors_writer.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

constexpr const char* kMetadataKey = "headscope_mask";

bool recognises(const MaskInput& input) {
  // u64 header length, then the header's opening brace.
  return input.path().extension() == ".safetensors" ||
         (input.bytes().size() > 9 && input.bytes()[8] == '{' && input.bytes()[6] == '\0' && input.bytes()[7] == '\0');
}

template <typename Number>
std::vector<double> numbersOf(const TensorView& tensor) {
  std::vector<double> values(static_cast<std::size_t>(tensor.elements()));
  for (std::size_t index = 0; index < values.size(); ++index) {
    Number value{};
    std::memcpy(&value, tensor.bytes.data() + index * sizeof(Number), sizeof(Number));
    values[index] = static_cast<double>(value);
  }
  return values;
}

std::vector<double> numbers(const MaskInput& input, const TensorView& tensor) {
  switch (tensor.type) {
    case TensorType::F64:
      return numbersOf<double>(tensor);
    case TensorType::F32:
      return numbersOf<float>(tensor);
    case TensorType::U8:
    case TensorType::Bool:
      return numbersOf<std::uint8_t>(tensor);
    default:
      input.fail(concat("tensor \"", tensor.name, "\" is of type ", typeName(tensor.type), ", expected F32"));
  }
}

void checkTable(const MaskInput& input, const TensorView& tensor, const MaskDocument& document) {
  const std::vector<std::int64_t> expected{document.shape.layers, document.entries()};
  if (tensor.shape != expected) {
    input.fail(concat("tensor \"", tensor.name, "\" has shape ", shapeText(tensor.shape), ", the header says ",
                      shapeText(expected)));
  }
}

void readHeader(const MaskInput& input, const SafetensorsFile& file, const MaskHints& hints, MaskDocument& document) {
  const auto text = file.metadata().find(kMetadataKey);
  if (text == file.metadata().end()) {
    input.fail(concat("has no \"", kMetadataKey, "\" in its metadata: it is no mask"));
  }
  const std::string where = concat(input.where(), ": metadata \"", kMetadataKey, "\"");
  const Json json = parseJson(text->second, where);
  const JsonReader header(json, where);
  const std::int64_t version = header.integer("version", 1, 1 << 30);
  if (version != 1) {
    header.fail(concat("is of version ", version, "; this program reads version 1"));
  }
  const std::string axis = header.string("axis");
  document.axis = axis == "kv" ? MaskAxis::Kv : axis == "layer" ? MaskAxis::Layer : MaskAxis::Query;
  if (axis != maskAxisName(document.axis)) {
    header.fail(concat("\"axis\" is \"", axis.substr(0, 60), "\", expected query, kv or layer"));
  }
  if (header.string("direction") != "keep") {
    header.fail("\"direction\" is not \"keep\"");
  }
  document.shape.layers = static_cast<int>(header.integer("layers", 1, kMostLayers));
  document.shape.heads = static_cast<int>(header.integerOr("heads", 0, 0, kMostHeads));
  document.shape.kvHeads = static_cast<int>(header.integerOr("kv_heads", 0, 0, kMostHeads));
  document.model = header.stringOr("model", "");
  document.family = header.stringOr("family", "");
  completeShape(input, hints, document);
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const auto file = SafetensorsFile::open(input.path());
  MaskDocument document;
  document.direction = MaskDirection::Keep;
  readHeader(input, *file, hints, document);
  const TensorView& keep = file->at("keep");
  checkTable(input, keep, document);
  for (const double value : numbers(input, keep)) {
    if (value != 0 && value != 1) {
      input.fail(concat("tensor \"keep\" holds ", value, "; a mask is only 0 and 1"));
    }
    document.keep.push_back(value == 1 ? 1 : 0);
  }
  if (const TensorView* scores = file->find("scores")) {
    checkTable(input, *scores, document);
    document.scores = numbers(input, *scores);
  }
  return document;
}

std::string headerText(const MaskDocument& document) {
  OrderedJson header{{"version", 1}};
  if (!document.model.empty()) {
    header["model"] = document.model;
  }
  if (!document.family.empty()) {
    header["family"] = document.family;
  }
  header["axis"] = maskAxisName(document.axis);
  header["direction"] = "keep";
  header["layers"] = document.shape.layers;
  if (document.shape.heads > 0) {
    header["heads"] = document.shape.heads;
  }
  if (document.shape.kvHeads > 0) {
    header["kv_heads"] = document.shape.kvHeads;
  }
  return header.dump();
}

void write(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandHeads(path, document, document.axis);
  const std::vector<std::int64_t> shape{document.shape.layers, document.entries()};
  std::vector<TensorDeclaration> tensors{{"keep", TensorType::F32, shape}};
  if (!document.scores.empty()) {
    tensors.push_back({"scores", TensorType::F64, shape});
  }
  SafetensorsWriter writer(path, tensors, {{kMetadataKey, headerText(document)}});
  const std::vector<float> keep(document.keep.begin(), document.keep.end());
  writer.write("keep", 0, std::as_bytes(std::span(keep)));
  if (!document.scores.empty()) {
    writer.write("scores", 0, std::as_bytes(std::span(document.scores)));
  }
  writer.commit();
}

}  // namespace

const MaskFormat& safetensorsFormat() {
  static const MaskFormat format{MaskKind::Safetensors, recognises, read, write};
  return format;
}

}  // namespace headscope::masks
