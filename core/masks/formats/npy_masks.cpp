// Arrays [layers, query heads] of float32. Hugging Face's bertology writes head_mask.npy, 1 = keep. TransformerLens'
// head detector gives scores, −1 = head not asked for; every array that isn't only 0 and 1 is read as that.

#include <algorithm>
#include <cmath>

#include "core/files/npy.h"
#include "core/files/tensor_view.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

bool isNpy(const MaskInput& input) {
  return input.bytes().starts_with("\x93NUMPY");
}

bool isBinary(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0 || value == 1; });
}

std::vector<double> readTable(const MaskInput& input, const MaskHints& hints, MaskDocument& document) {
  if (!isNpy(input)) {
    input.fail("is no NPY file");
  }
  const NpyArray array = readNpy(input.path());
  if (array.shape.size() != 2 || array.shape[0] < 1 || array.shape[0] > kMostLayers || array.shape[1] < 1 ||
      array.shape[1] > kMostHeads) {
    input.fail(concat("is an array of shape ", shapeText(array.shape), ", expected [layers, heads]"));
  }
  document.shape.layers = static_cast<int>(array.shape[0]);
  document.shape.heads = static_cast<int>(array.shape[1]);
  completeShape(input, hints, document);
  return array.numbers();
}

std::string place(const MaskDocument& document, std::size_t index) {
  const auto heads = static_cast<std::size_t>(document.shape.heads);
  return concat("at layer ", index / heads, ", head ", index % heads);
}

MaskDocument readBertology(const MaskInput& input, const MaskHints& hints) {
  MaskDocument document;
  document.direction = MaskDirection::Keep;
  const std::vector<double> values = readTable(input, hints, document);
  for (std::size_t index = 0; index < values.size(); ++index) {
    if (values[index] != 0 && values[index] != 1) {
      input.fail(concat("holds ", values[index], " ", place(document, index), "; a mask is only 0 and 1"));
    }
    document.keep.push_back(values[index] == 1 ? 1 : 0);
  }
  return document;
}

MaskDocument readTransformerLens(const MaskInput& input, const MaskHints& hints) {
  MaskDocument document;
  document.direction = MaskDirection::Score;
  document.scores = readTable(input, hints, document);
  std::size_t unasked = 0;
  for (std::size_t index = 0; index < document.scores.size(); ++index) {
    double& score = document.scores[index];
    if (!std::isfinite(score)) {
      input.fail(concat("holds a score that is no finite number ", place(document, index)));
    }
    if (score == -1) {
      score = std::nan("");
      ++unasked;
    }
  }
  if (unasked > 0) {
    document.warnings.push_back(concat(unasked, " heads have no score (-1: not asked for)"));
  }
  return document;
}

void writeTable(const std::filesystem::path& path, const MaskDocument& document, const std::vector<float>& values) {
  const std::int64_t shape[] = {document.shape.layers, document.shape.heads};
  writeNpy(path, shape, values);
}

void writeBertology(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandHeads(path, document, MaskAxis::Query);
  writeTable(path, document, std::vector<float>(document.keep.begin(), document.keep.end()));
}

void writeTransformerLens(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandScores(path, document, MaskAxis::Query);
  std::vector<float> values;
  for (const double score : document.scores) {
    values.push_back(std::isnan(score) ? -1.0F : static_cast<float>(score));
  }
  writeTable(path, document, values);
}

bool recognisesBertology(const MaskInput& input) {
  return isNpy(input) && isBinary(readNpy(input.path()).numbers());
}

}  // namespace

const MaskFormat& bertologyFormat() {
  static const MaskFormat format{MaskKind::Bertology, recognisesBertology, readBertology, writeBertology};
  return format;
}

const MaskFormat& transformerLensFormat() {
  static const MaskFormat format{MaskKind::TransformerLens, isNpy, readTransformerLens, writeTransformerLens};
  return format;
}

}  // namespace headscope::masks
