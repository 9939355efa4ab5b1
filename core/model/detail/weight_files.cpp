#include "core/model/detail/weight_files.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.h"

namespace headscope {
namespace {

std::string lowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return text;
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

  void read(const std::string& name, std::span<float> target) const override {
    const TensorView& view = source_->at(storedName(name));
    toFloats(view.bytes.data(), floatType(view.type).value(), target.size(), target.data());
  }

  std::int64_t count() const override { return static_cast<std::int64_t>(source_->tensors().size()); }
  std::uint64_t bytes() const override { return source_->weightBytes(); }

  std::string commonType() const override {
    std::map<std::string, std::uint64_t> byType;
    for (const auto& [name, view] : source_->tensors()) {
      byType[lowerCase(typeName(view->type))] += view->bytes.size();
    }
    const auto largest = std::max_element(byType.begin(), byType.end(),
                                          [](const auto& a, const auto& b) { return a.second < b.second; });
    return largest == byType.end() ? "" : largest->first;
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

void checkTensor(const plan::Tensor& tensor, const std::string& name, const WeightFiles& files) {
  const std::optional<StoredTensor> stored = files.find(name);
  const std::string file = files.fileOf(name).string();
  if (!stored) {
    throw Error(file, concat("tensor \"", name, "\" is missing"));
  }
  if (stored->shape != tensor.shape) {
    throw Error(file, concat("tensor \"", name, "\" has the shape ", shapeText(stored->shape),
                             ", but the configuration asks for ", shapeText(tensor.shape)));
  }
  if (!stored->readable) {
    throw Error(file, concat("tensor \"", name, "\" has the type ", stored->type, ", which can't be read as weights"));
  }
}

}  // namespace

std::shared_ptr<const WeightFiles> safetensorsWeights(std::shared_ptr<const TensorSource> source, bool wrapped) {
  return std::make_shared<SafetensorsWeights>(std::move(source), wrapped);
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
  decoder.tensors = plan::numberTensors(decoder);
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
