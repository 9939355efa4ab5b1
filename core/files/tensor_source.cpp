#include "core/files/tensor_source.h"

#include "core/files/json.h"

namespace headscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool present(const fs::path& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

// What stands in the folder instead of weights that can be read, and what to do about it.
[[noreturn]] void failWithoutWeights(const fs::path& folder) {
  std::error_code problem;
  if (!fs::is_directory(folder, problem)) {
    throw Error(folder.string(), present(folder) ? "is not a folder" : "there is no such folder");
  }
  std::string ggufName;
  bool shards = false;
  bool pickles = false;
  bool adapter = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    ggufName = name.ends_with(".gguf") ? name : ggufName;
    shards = shards || (name.starts_with("model-") && name.ends_with(".safetensors"));
    adapter = adapter || name == "adapter_model.safetensors";
    pickles = pickles || (name.starts_with("pytorch_model") && name.ends_with(".bin")) || name.ends_with(".pth");
  }
  const std::string none = concat("has no ", kSingle);
  if (shards) {
    throw Error(folder.string(), concat(none, ", only shards of it, and ", kIndex, " that lists them is missing"));
  }
  if (pickles) {
    throw Error(folder.string(),
                concat(none,
                       ", only pickled PyTorch weights, which are programs and not read here; save the model again "
                       "with save_pretrained(folder, safe_serialization=True)"),
                ErrorKind::Unsupported);
  }
  if (adapter) {
    throw Error(folder.string(),
                concat(none, ", only an adapter; merge it into its base model with merge_and_unload() and save that"),
                ErrorKind::Unsupported);
  }
  if (!ggufName.empty()) {
    throw Error(folder.string(), concat(none, "; to load a GGUF file, name the file itself: ", ggufName));
  }
  throw Error(folder.string(), concat(none, " and no ", kIndex));
}

// Shards lie beside the index. Anything that would lead elsewhere is refused.
void checkShardName(const std::string& name, const std::string& where) {
  const bool plain = !name.empty() && name.find_first_of(std::string("/\\\0", 3)) == std::string::npos &&
                     name.find("..") == std::string::npos;
  if (!plain) {
    throw Error(where, concat("names \"", name.substr(0, 200), "\" as a shard, which is no plain file name"));
  }
  if (!name.ends_with(".safetensors")) {
    throw Error(where, concat("names \"", name.substr(0, 200), "\" as a shard, which is no .safetensors file"));
  }
}

}  // namespace

std::shared_ptr<const TensorSource> TensorSource::open(const fs::path& folder) {
  std::shared_ptr<TensorSource> source(new TensorSource());
  if (present(folder / kSingle)) {
    source->path_ = folder / kSingle;
    source->files_.push_back(SafetensorsFile::open(source->path_));
    for (const auto& [name, view] : source->files_.front()->tensors()) {
      source->tensors_.emplace(name, &view);
    }
  } else if (present(folder / kIndex)) {
    source->path_ = folder / kIndex;
    source->openIndex();
  } else {
    failWithoutWeights(folder);
  }
  return source;
}

void TensorSource::openIndex() {
  const std::string where = path_.string();
  const Json index = readJson(path_, {std::uint64_t{32} << 20, 8});
  const JsonReader reader(index, where);
  const Json& weights = reader.at("weight_map");
  if (!weights.is_object() || weights.empty()) {
    reader.fail("\"weight_map\" must list tensors and their files");
  }
  std::map<std::string, std::size_t> opened;
  for (const auto& [tensor, file] : weights.items()) {
    if (!file.is_string()) {
      reader.fail(concat("\"weight_map\": the file of \"", tensor.substr(0, 200), "\" is no text"));
    }
    const auto& name = file.get_ref<const std::string&>();
    auto shard = opened.find(name);
    if (shard == opened.end()) {
      checkShardName(name, where);
      if (!present(path_.parent_path() / name)) {
        reader.fail(concat("lists the shard \"", name.substr(0, 200), "\", which is missing"));
      }
      shard = opened.emplace(name, files_.size()).first;
      files_.push_back(SafetensorsFile::open(path_.parent_path() / name));
    }
    const TensorView* view = files_[shard->second]->find(tensor);
    if (view == nullptr) {
      reader.fail(concat("puts \"", tensor.substr(0, 200), "\" into \"", name, "\", which lacks it"));
    }
    tensors_.emplace(tensor, view);
    fileOf_.emplace(tensor, shard->second);
  }
}

const TensorView* TensorSource::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

const TensorView& TensorSource::at(std::string_view name) const {
  const TensorView* view = find(name);
  if (view == nullptr) {
    throw Error(path_.string(), concat("tensor \"", name.substr(0, 200), "\" is missing"));
  }
  return *view;
}

std::vector<std::string> TensorSource::names() const {
  std::vector<std::string> all;
  all.reserve(tensors_.size());
  for (const auto& [name, view] : tensors_) {
    all.push_back(name);
  }
  return all;
}

const fs::path& TensorSource::fileOf(std::string_view name) const {
  const auto found = fileOf_.find(name);
  return found == fileOf_.end() ? path_ : files_[found->second]->path();
}

std::uint64_t TensorSource::weightBytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& [name, view] : tensors_) {
    bytes += view->bytes.size();
  }
  return bytes;
}

std::uint64_t TensorSource::fileBytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& file : files_) {
    bytes += file->fileBytes();
  }
  return bytes;
}

}  // namespace headscope
