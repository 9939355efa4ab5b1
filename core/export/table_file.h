#pragma once

// A table of float32 [rows, columns] into a file, its kind by the ending, row by row: nothing but the piece at hand is
// in memory, and the target appears only with commit().
//   .npy  float32, C order     .csv  a line a row, −inf as "-inf"     .json  {"rows", "cols", "values": [[…], …]}, −inf
//   as null

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/export/map_picture.h"

namespace headscope {

class TableFile {
 public:
  virtual ~TableFile() = default;
  /// The next cells in row-major order, in pieces of any size.
  virtual void write(std::span<const float> cells) = 0;
  /// Completes the file and renames it over the target. Throws Error naming it if cells are missing.
  virtual void commit() = 0;
};

/// Throws Error naming `target`: it can't be written, or its ending is none of tableFileEndings(). `scale` is for
/// pictures.
std::unique_ptr<TableFile> openTableFile(const std::filesystem::path& target, std::int64_t rows, std::int64_t cols,
                                         PictureScale scale = PictureScale::Log);
std::vector<std::string> tableFileEndings();

/// The same cells as CSV text, a row at a time, into anything.
std::unique_ptr<TableFile> csvTable(std::int64_t rows, std::int64_t cols, std::function<void(std::string_view)> sink);

}  // namespace headscope
