// map: the attention map of one head, or a rectangle of it, cell by cell or pooled.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/head_options.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/export/table_file.h"
#include "core/maps/attention_map.h"

namespace headscope::cli {
namespace {

// Cells of one piece of a map that is computed and written row by row.
constexpr std::int64_t kPieceCells = std::int64_t{1} << 22;

struct MapCommand {
  SourceOptions source;
  HeadOptions head;
  InterventionOptions interventions;
  std::string rows, cols, size, value = "prob", pool;
  OutputOptions output;
};

struct PooledSize {
  std::int64_t width = 0, height = 0;
};

std::optional<PooledSize> parseSize(const std::string& text) {
  if (text.empty()) {
    return std::nullopt;
  }
  PooledSize size;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, size.width);
  const bool cross = first.ec == std::errc() && first.ptr != end && *first.ptr == 'x';
  const auto second = cross ? std::from_chars(first.ptr + 1, end, size.height) : first;
  if (!cross || second.ec != std::errc() || second.ptr != end || size.width < 1 || size.height < 1) {
    wrongUse("--size is \"" + text + "\", expected WxH, for example 800x600");
  }
  return size;
}

void checkUse(const MapCommand& command) {
  if (!command.size.empty() && command.value == "logit") {
    wrongUse("--size pools probabilities: not with --value logit");
  }
  if (command.size.empty() && !command.pool.empty()) {
    wrongUse("--pool needs --size");
  }
  parseSize(command.size);
  for (const auto& [option, range] : {std::pair("--rows", command.rows), std::pair("--cols", command.cols)}) {
    if (!range.empty()) {
      parseRange(option, range);
    }
  }
  command.interventions.interventions();
}

std::pair<std::int64_t, std::int64_t> rangeOf(const MapCommand& command, const char* option, const std::string& text,
                                              std::int64_t tokens) {
  if (text.empty()) {
    return {0, tokens};
  }
  const auto range = parseRange(option, text);
  if (range.second > tokens) {
    throw Error(command.source.path, concat(option, " ", text, " goes beyond its ", tokens, " tokens"));
  }
  return range;
}

// What is said about the map: smallest and largest value over the cells that count.
struct Extent {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();

  void add(float value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool any() const noexcept { return low <= high; }
};

using Tables = std::vector<std::unique_ptr<TableFile>>;

class MapWriter {
 public:
  MapWriter(const HeadView& head, MapRange range, Tables& tables, const JobControl& control)
      : head_(head), range_(range), tables_(tables), control_(control) {}

  /// Cell by cell, in pieces of rows: a map of 32,768 tokens never lies in memory as a whole.
  void writeCells(bool logit) {
    const std::int64_t step = std::max<std::int64_t>(1, kPieceCells / range_.cols());
    for (std::int64_t row = range_.rowBegin; row < range_.rowEnd; row += step) {
      MapRange piece = range_;
      piece.rowBegin = row;
      piece.rowEnd = std::min(row + step, range_.rowEnd);
      control_.checkpoint("map", row - range_.rowBegin, range_.rows());
      const std::vector<float> cells = logit ? logits(head_, piece, control_) : probabilities(head_, piece, control_);
      addVisible(piece, cells);
      write(cells);
    }
  }

  void writePooled(PooledSize size, Pool pool) {
    const std::vector<float> cells = pooled(head_, range_, size.height, size.width, pool, control_);
    std::for_each(cells.begin(), cells.end(), [&](float cell) { extent_.add(cell); });
    write(cells);
  }

  const Extent& extent() const noexcept { return extent_; }

 private:
  void write(const std::vector<float>& cells) {
    for (const auto& table : tables_) {
      table->write(cells);
    }
  }

  void addVisible(const MapRange& piece, const std::vector<float>& cells) {
    for (std::int64_t row = 0; row < piece.rows(); ++row) {
      const std::int64_t t = piece.rowBegin + row;
      const std::int64_t first = std::max(head_.firstKey(t), piece.colBegin);
      const std::int64_t last = std::min(t + 1, piece.colEnd);
      for (std::int64_t i = first; i < last; ++i) {
        extent_.add(cells[static_cast<std::size_t>(row * piece.cols() + i - piece.colBegin)]);
      }
    }
  }

  const HeadView& head_;
  MapRange range_;
  Tables& tables_;
  const JobControl& control_;
  Extent extent_;
};

MapRange rangeOf(const MapCommand& command, std::int64_t tokens) {
  const auto [rowBegin, rowEnd] = rangeOf(command, "--rows", command.rows, tokens);
  const auto [colBegin, colEnd] = rangeOf(command, "--cols", command.cols, tokens);
  return {rowBegin, rowEnd, colBegin, colEnd};
}

Tables openTables(const MapCommand& command, PooledSize size) {
  Tables tables;
  if (!command.output.out.empty()) {
    const PictureScale scale = command.value == "logit" ? PictureScale::Linear : PictureScale::Log;
    tables.push_back(openTableFile(command.output.out, size.height, size.width, scale));
  }
  if (command.output.csv) {
    tables.push_back(csvTable(size.height, size.width, [](std::string_view text) { printText(std::string(text)); }));
  }
  return tables;
}

void printSummary(const MapCommand& command, PooledSize size, const Extent& extent) {
  if (command.output.json) {
    OrderedJson json;
    json["rows"] = size.height;
    json["cols"] = size.width;
    json["min"] = extent.any() ? OrderedJson(extent.low) : OrderedJson(nullptr);
    json["max"] = extent.any() ? OrderedJson(extent.high) : OrderedJson(nullptr);
    printJson(json);
  } else if (!command.output.csv) {
    printText(concat(size.height, " rows, ", size.width, " columns",
                     extent.any() ? concat(", from ", shortNumber(extent.low), " to ", shortNumber(extent.high)) : "",
                     "\n"));
  }
}

void runMap(const MapCommand& command, const Run& run) {
  checkUse(command);
  const auto capture = openSource(command.source, run.control);
  checkHead(*capture, command.source.path, command.head.layer, command.head.head);
  const MapRange range = rangeOf(command, capture->tokens());
  const auto pooledTo = parseSize(command.size);
  if (pooledTo && (pooledTo->height > range.rows() || pooledTo->width > range.cols())) {
    wrongUse(concat("--size ", command.size, " is larger than the range of ", range.cols(), "x", range.rows()));
  }
  const auto head =
      makeHeadView(*capture, command.head.layer, command.head.head, command.interventions.interventions(), run.control);
  const PooledSize size = pooledTo.value_or(PooledSize{range.cols(), range.rows()});
  Tables tables = openTables(command, size);
  MapWriter writer(*head, range, tables, run.control);
  if (pooledTo) {
    const Pool pool = command.pool == "mean" ? Pool::Mean : command.pool == "mass" ? Pool::Mass : Pool::Max;
    writer.writePooled(size, pool);
  } else {
    writer.writeCells(command.value == "logit");
  }
  for (const auto& table : tables) {
    table->commit();
  }
  printSummary(command, size, writer.extent());
}

}  // namespace

void addMap(CommandLine& line) {
  const auto options = std::make_shared<MapCommand>();
  CLI::App& command = line.add("map", "The attention map of one head", [options](Run& run) { runMap(*options, run); });
  addSource(command, options->source);
  addHead(command, options->head, true);
  command.add_option("--rows", options->rows, "a:b: only these queries (b left out)");
  command.add_option("--cols", options->cols, "a:b: only these keys (b left out)");
  command.add_option("--value", options->value, "prob (after softmax) or logit")
      ->check(CLI::IsMember({"prob", "logit"}));
  command.add_option("--size", options->size, "WxH: pool to so many columns and rows");
  command.add_option("--pool", options->pool, "max, mean or mass (sum over keys, mean over queries); default max")
      ->check(CLI::IsMember({"max", "mean", "mass"}));
  addInterventions(command, options->interventions);
  addJson(command, options->output);
  addCsv(command, options->output);
  addOut(command, options->output, tableFileEndings());
  line.setSubject(command, options->source.path);
}

}  // namespace headscope::cli
