#include "core/model/detail/weight_files.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/files/dequantize.h"

namespace headscope {
namespace {

std::string lowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return text;
}

using BytesByType = std::map<std::string, std::uint64_t>;

std::string mostBytes(const BytesByType& bytes) {
  const auto largest =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return largest == bytes.end() ? "" : largest->first;
}

class SafetensorsWeights : public WeightFiles {
 public:
  SafetensorsWeights(std::shared_ptr<const TensorSource> source, bool wrapped) : source_(std::move(source)) {
    for (const std::string prefix : {"language_model.model.", "model.language_model."}) {
      if (wrapped && source_->find(prefix + "embed_tokens.weight") != nullptr) {
        prefix_ = prefix;
      }
    }
  }

  std::optional<StoredTensor> find(const std::string& name) const override {
    const TensorView* view = source_->find(storedName(name));
    if (view == nullptr) {
      return std::nullopt;
    }
    StoredTensor stored;
    stored.shape = view->shape;
    stored.type = lowerCase(typeName(view->type));
    stored.bytes = view->bytes.size();
    stored.plain = floatType(view->type);
    stored.readable = stored.plain.has_value();
    stored.data = view->bytes;
    return stored;
  }

  std::filesystem::path fileOf(const std::string& name) const override { return source_->fileOf(storedName(name)); }

  void readRows(const std::string& name, std::int64_t first, std::int64_t count, float* target) const override {
    const TensorView& view = source_->at(storedName(name));
    const auto width = static_cast<std::size_t>(view.shape.empty() ? 1 : view.shape.back());
    const FloatType type = floatType(view.type).value();
    const std::size_t begin = static_cast<std::size_t>(first) * width * floatBytes(type);
    toFloats(view.bytes.data() + begin, type, static_cast<std::size_t>(count) * width, target);
  }

  std::int64_t count() const override { return static_cast<std::int64_t>(source_->tensors().size()); }
  std::uint64_t bytes() const override { return source_->weightBytes(); }

  std::string commonType() const override {
    BytesByType bytes;
    for (const auto& [name, view] : source_->tensors()) {
      bytes[lowerCase(typeName(view->type))] += view->bytes.size();
    }
    return mostBytes(bytes);
  }

 private:
  std::string storedName(const std::string& name) const {
    if (prefix_.empty()) {
      return name;
    }
    if (name.starts_with("model.")) {
      return prefix_ + name.substr(6);
    }
    const std::string older = "language_model." + name;
    return source_->find(older) != nullptr ? older : name;
  }

  std::shared_ptr<const TensorSource> source_;
  std::string prefix_;  ///< instead of "model."; empty: names as they are
};

// F32, F16 and BF16 under the names that they have in safetensors files, the rest under ggml's.
std::string ggufTypeText(GgufType type) {
  const std::string name = ggufTypeInfo(type).name;
  return type == GgufType::F32 || type == GgufType::F16 || type == GgufType::BF16 ? lowerCase(name) : name;
}

class GgufWeights : public WeightFiles {
 public:
  explicit GgufWeights(std::shared_ptr<const GgufFile> file) : file_(std::move(file)) {}

  std::optional<StoredTensor> find(const std::string& name) const override {
    const GgufTensor* tensor = file_->find(name);
    if (tensor == nullptr) {
      return std::nullopt;
    }
    StoredTensor stored;
    stored.shape = tensor->shape;
    stored.type = ggufTypeText(tensor->type);
    stored.bytes = tensor->bytes.size();
    stored.readable = canDequantize(tensor->type);
    stored.plain = tensor->type == GgufType::F32    ? std::optional(FloatType::F32)
                   : tensor->type == GgufType::F16  ? std::optional(FloatType::F16)
                   : tensor->type == GgufType::BF16 ? std::optional(FloatType::BF16)
                                                    : std::nullopt;
    stored.data = tensor->bytes;
    return stored;
  }

  // To ggml, dimensions that a file leaves out are 1: [E] is [1, E].
  bool fits(const std::vector<std::int64_t>& stored, const std::vector<std::int64_t>& asked) const override {
    const auto significant = [](const std::vector<std::int64_t>& shape) {
      const auto first = std::find_if(shape.begin(), shape.end(), [](std::int64_t size) { return size != 1; });
      return std::vector<std::int64_t>(first, shape.end());
    };
    return significant(stored) == significant(asked);
  }

  std::filesystem::path fileOf(const std::string&) const override { return file_->path(); }

  void readRows(const std::string& name, std::int64_t first, std::int64_t count, float* target) const override {
    dequantizeRows(file_->at(name), first, count, target);
  }

  std::int64_t count() const override { return static_cast<std::int64_t>(file_->tensors().size()); }

  std::uint64_t bytes() const override {
    std::uint64_t total = 0;
    for (const auto& [name, tensor] : file_->tensors()) {
      total += tensor.bytes.size();
    }
    return total;
  }

  std::string commonType() const override {
    BytesByType bytes;
    for (const auto& [name, tensor] : file_->tensors()) {
      bytes[ggufTypeText(tensor.type)] += tensor.bytes.size();
    }
    return mostBytes(bytes);
  }

 private:
  std::shared_ptr<const GgufFile> file_;
};

void checkTensor(const plan::Tensor& tensor, const std::string& name, const WeightFiles& files) {
  const std::optional<StoredTensor> stored = files.find(name);
  const std::string file = files.fileOf(name).string();
  if (!stored) {
    throw Error(file, concat("tensor \"", name, "\" is missing"));
  }
  if (!stored->readable) {
    throw Error(file, concat("tensor \"", name, "\" has the type ", stored->type, ", which can't be read as weights"));
  }
  if (!files.fits(stored->shape, tensor.shape)) {
    throw Error(file, concat("tensor \"", name, "\" has the shape ", shapeText(stored->shape),
                             ", but the configuration asks for ", shapeText(tensor.shape)));
  }
}

}  // namespace

std::shared_ptr<const WeightFiles> safetensorsWeights(std::shared_ptr<const TensorSource> source, bool wrapped) {
  return std::make_shared<SafetensorsWeights>(std::move(source), wrapped);
}

std::shared_ptr<const WeightFiles> ggufWeights(std::shared_ptr<const GgufFile> file) {
  return std::make_shared<GgufWeights>(std::move(file));
}

std::vector<float> readTensor(const WeightFiles& files, const std::string& name) {
  const std::vector<std::int64_t> shape = files.find(name).value().shape;
  std::int64_t rows = 1;
  for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) {
    rows *= shape[axis];
  }
  std::vector<float> values(static_cast<std::size_t>(rows * (shape.empty() ? 1 : shape.back())));
  files.readRows(name, 0, rows, values.data());
  return values;
}

void checkWeights(const plan::Decoder& decoder, const WeightFiles& files) {
  for (const plan::Tensor& tensor : decoder.tensors) {
    checkTensor(tensor, tensor.name, files);
    for (const std::string& name : tensor.stacked) {
      checkTensor(tensor, name, files);
    }
  }
}

bool untieIfDifferent(plan::Decoder& decoder, const WeightFiles& files, const std::string& headName) {
  const std::optional<StoredTensor> head = files.find(headName);
  const std::optional<StoredTensor> embedding = files.find(decoder.embedding.name);
  if (!decoder.tied || !head || !embedding || head->shape != embedding->shape) {
    return false;
  }
  const bool same = head->type == embedding->type && head->data.size() == embedding->data.size() &&
                    std::memcmp(head->data.data(), embedding->data.data(), head->data.size()) == 0;
  if (same) {
    return false;
  }
  decoder.tied = false;
  decoder.head.weight.name = headName;
  decoder.notes.push_back(
      concat("the configuration ties head and embedding, but \"", headName, "\" is there and differs: it is used"));
  plan::numberTensors(decoder);
  return true;
}

std::int64_t parameterCount(const plan::Decoder& decoder) {
  std::set<std::string> seen;
  std::int64_t total = 0;
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    if (seen.insert(name).second) {
      std::int64_t elements = 1;
      for (const std::int64_t size : shape) {
        elements *= size;
      }
      total += elements;
    }
  };
  for (const plan::Tensor& tensor : decoder.tensors) {
    add(tensor.name, tensor.shape);
    for (const std::string& name : tensor.stacked) {
      add(name, tensor.shape);
    }
  }
  return total;
}

}  // namespace headscope
