#include "core/files/safetensors_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/text.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"

namespace headscope {
namespace {

struct Planned {
  const TensorDeclaration* tensor = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t begin = 0;  ///< from the start of the data
};

std::vector<Planned> plan(std::span<const TensorDeclaration> tensors, const std::string& where) {
  std::vector<Planned> planned;
  for (const TensorDeclaration& tensor : tensors) {
    const auto bytes = tensorBytes(tensor.type, tensor.shape);
    if (!bytes || tensor.name == "__metadata__" || !isUtf8(tensor.name)) {
      throw Error(where, concat("tensor \"", tensor.name, "\" ", shapeText(tensor.shape), " can't be stored"));
    }
    planned.push_back({&tensor, *bytes, 0});
  }
  // Widest types first: then every tensor is aligned to its own type.
  std::stable_sort(planned.begin(), planned.end(), [](const Planned& a, const Planned& b) {
    return typeBits(a.tensor->type) > typeBits(b.tensor->type);
  });
  std::uint64_t begin = 0;
  for (Planned& one : planned) {
    one.begin = begin;
    if (__builtin_add_overflow(begin, one.bytes, &begin) || begin > (std::uint64_t{1} << 62)) {
      throw Error(where, "the tensors are too large for one file");
    }
  }
  return planned;
}

std::string headerJson(const std::vector<Planned>& planned, const SafetensorsWriter::Metadata& metadata,
                       const std::string& where) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) {
    header["__metadata__"] = metadata;
  }
  for (const Planned& one : planned) {
    header[one.tensor->name] = {{"dtype", typeName(one.tensor->type)},
                                {"shape", one.tensor->shape},
                                {"data_offsets", {one.begin, one.begin + one.bytes}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const OrderedJson::exception&) {
    throw Error(where, "the metadata is not valid UTF-8");
  }
  const std::uint64_t start = sizeof(std::uint64_t) + text.size();
  const std::uint64_t alignment = SafetensorsWriter::kAlignment;
  text.append(static_cast<std::size_t>((alignment - start % alignment) % alignment), ' ');
  if (text.size() > SafetensorsFile::kHeaderLimit) {
    throw Error(where, concat("the header would have ", text.size(), " bytes, at most ", SafetensorsFile::kHeaderLimit,
                              " are allowed"));
  }
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path target, std::span<const TensorDeclaration> tensors,
                                     const Metadata& metadata)
    : file_(std::move(target)) {
  const std::string where = file_.target().string();
  const std::vector<Planned> planned = plan(tensors, where);
  const std::string header = headerJson(planned, metadata, where);
  std::byte length[sizeof(std::uint64_t)];
  for (std::size_t i = 0; i < sizeof length; ++i) {
    length[i] = static_cast<std::byte>(header.size() >> (8 * i));
  }
  file_.write(length, sizeof length);
  file_.write(header);
  const std::uint64_t dataStart = sizeof length + header.size();
  fileBytes_ = dataStart;
  for (const Planned& one : planned) {
    if (!places_.emplace(one.tensor->name, Place{dataStart + one.begin, one.bytes}).second) {
      throw Error(where, concat("tensor \"", one.tensor->name, "\" is declared twice"));
    }
    fileBytes_ += one.bytes;
  }
  reserveSpace();
}

SafetensorsWriter::~SafetensorsWriter() {
  if (mapped_ != nullptr) {
    ::munmap(mapped_, static_cast<std::size_t>(fileBytes_));
  }
}

// A full disk must be an error here, not a bus error later when mapped memory is written.
void SafetensorsWriter::reserveSpace() {
  const auto size = static_cast<off_t>(fileBytes_);
  int result = 0;
  do {
    result = ::fallocate(file_.descriptor(), 0, 0, size);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno == EOPNOTSUPP) {
    result = ::ftruncate(file_.descriptor(), size);
  }
  if (result != 0) {
    throw Error(file_.target().string(), concat("needs ", fileBytes_, " bytes on the disk: ", std::strerror(errno)));
  }
}

const SafetensorsWriter::Place& SafetensorsWriter::place(std::string_view tensor) const {
  const auto found = places_.find(tensor);
  if (found == places_.end()) {
    throw Error(file_.target().string(), concat("tensor \"", tensor, "\" was not declared"));
  }
  return found->second;
}

void SafetensorsWriter::write(std::string_view tensor, std::uint64_t offset, std::span<const std::byte> bytes) {
  const Place& to = place(tensor);
  if (offset > to.bytes || bytes.size() > to.bytes - offset) {
    throw Error(file_.target().string(), concat("tensor \"", tensor, "\" has ", to.bytes, " bytes, ", bytes.size(),
                                                " at ", offset, " don't fit"));
  }
  file_.writeAt(to.begin + offset, bytes.data(), bytes.size());
}

std::span<std::byte> SafetensorsWriter::map(std::string_view tensor) {
  const Place& from = place(tensor);
  const std::lock_guard lock(mapping_);
  if (mapped_ == nullptr) {
    void* address = ::mmap(nullptr, static_cast<std::size_t>(fileBytes_), PROT_READ | PROT_WRITE, MAP_SHARED,
                           file_.descriptor(), 0);
    if (address == MAP_FAILED) {
      throw Error(file_.target().string(), concat("can't be mapped: ", std::strerror(errno)), ErrorKind::Memory);
    }
    mapped_ = static_cast<std::byte*>(address);
  }
  return {mapped_ + from.begin, static_cast<std::size_t>(from.bytes)};
}

void SafetensorsWriter::release(std::span<const std::byte> mapped) {
  if (mapped.empty()) {
    return;
  }
  // Whole pages only; dropping a shared page from this process loses nothing, its content belongs to the file.
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<std::uint64_t>(mapped.data() - mapped_);
  const std::uint64_t first = begin / page * page;
  const std::uint64_t bytes = begin + mapped.size() - first;
  ::sync_file_range(file_.descriptor(), static_cast<off_t>(first), static_cast<off_t>(bytes), SYNC_FILE_RANGE_WRITE);
  ::madvise(mapped_ + first, static_cast<std::size_t>(bytes), MADV_DONTNEED);
}

void SafetensorsWriter::commit() {
  if (mapped_ != nullptr) {
    ::mprotect(mapped_, static_cast<std::size_t>(fileBytes_), PROT_READ);
  }
  file_.commit();
}

}  // namespace headscope
