#include "core/export/table_file.h"

#include <array>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/npy.h"

namespace headscope {
namespace {

class NpyTable : public TableFile {
 public:
  NpyTable(const std::filesystem::path& target, std::array<std::int64_t, 2> shape)
      : writer_(target, NpyType::F32, shape) {}
  void write(std::span<const float> cells) override { writer_.write(cells); }
  void commit() override { writer_.commit(); }

 private:
  NpyWriter writer_;
};

// CSV and JSON: text with something between cells and between rows.
struct Marks {
  std::string begin, rowBegin, cell, rowEnd, end, lowest;
};

const Marks kCsv{"", "", ",", "\n", "\n", "-inf"};

class TextTable : public TableFile {
 public:
  using Sink = std::function<void(std::string_view)>;

  TextTable(std::int64_t rows, std::int64_t cols, Marks marks, Sink sink)
      : cells_(rows * cols), cols_(cols), marks_(std::move(marks)), sink_(std::move(sink)) {
    sink_(marks_.begin);
  }

  void write(std::span<const float> cells) override {
    std::string text;
    for (const float cell : cells) {
      const std::int64_t column = done_ % cols_;
      text += column == 0 ? (done_ == 0 ? marks_.rowBegin : marks_.rowEnd + marks_.rowBegin) : marks_.cell;
      append(text, cell);
      ++done_;
    }
    sink_(text);
  }

  void commit() override {
    if (done_ != cells_) {
      throw Error("", concat("a table got ", done_, " of ", cells_, " numbers"));
    }
    sink_(marks_.end);
  }

 private:
  void append(std::string& text, float cell) const {
    if (!std::isfinite(cell)) {
      text += marks_.lowest;
      return;
    }
    std::array<char, 32> buffer{};
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), cell);
    text.append(buffer.data(), result.ptr);
  }

  std::int64_t cells_, cols_, done_ = 0;
  Marks marks_;
  Sink sink_;
};

class TextFile : public TableFile {
 public:
  TextFile(const std::filesystem::path& target, std::int64_t rows, std::int64_t cols, Marks marks)
      : file_(target), table_(rows, cols, std::move(marks), [this](std::string_view text) { file_.write(text); }) {}

  void write(std::span<const float> cells) override { table_.write(cells); }
  void commit() override {
    table_.commit();
    file_.commit();
  }

 private:
  AtomicFile file_;
  TextTable table_;
};

class PngTable : public TableFile {
 public:
  PngTable(std::filesystem::path target, std::int64_t rows, std::int64_t cols, PictureScale scale)
      : target_(std::move(target)), rows_(rows), cols_(cols), scale_(scale) {
    if (rows > kMostPixels / cols) {
      throw Error(target_.string(), concat("would have ", rows, "x", cols, " pixels; pool to fewer cells"));
    }
  }

  void write(std::span<const float> cells) override { cells_.insert(cells_.end(), cells.begin(), cells.end()); }

  void commit() override {
    if (cells_.size() != static_cast<std::size_t>(rows_ * cols_)) {
      throw Error(target_.string(), concat("got ", cells_.size(), " of ", rows_ * cols_, " numbers"));
    }
    writePng(target_, mapPicture(cells_, cols_, rows_, scale_));
  }

 private:
  static constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;

  std::filesystem::path target_;
  std::int64_t rows_, cols_;
  PictureScale scale_;
  std::vector<float> cells_;
};

}  // namespace

std::unique_ptr<TableFile> csvTable(std::int64_t rows, std::int64_t cols, std::function<void(std::string_view)> sink) {
  return std::make_unique<TextTable>(rows, cols, kCsv, std::move(sink));
}

std::vector<std::string> tableFileEndings() {
  return {".npy", ".csv", ".json", ".png"};
}

std::unique_ptr<TableFile> openTableFile(const std::filesystem::path& target, std::int64_t rows, std::int64_t cols,
                                         PictureScale scale) {
  const std::string ending = target.extension().string();
  if (ending == ".npy") {
    return std::make_unique<NpyTable>(target, std::array<std::int64_t, 2>{rows, cols});
  }
  if (ending == ".csv") {
    return std::make_unique<TextFile>(target, rows, cols, kCsv);
  }
  if (ending == ".json") {
    const std::string head = concat("{\"rows\": ", rows, ", \"cols\": ", cols, ", \"values\": [");
    return std::make_unique<TextFile>(target, rows, cols, Marks{head, "[", ", ", "],\n", "]]}\n", "null"});
  }
  if (ending == ".png") {
    return std::make_unique<PngTable>(target, rows, cols, scale);
  }
  throw Error(target.string(), "has an ending that no table is written as");
}

}  // namespace headscope
