#pragma once

// Where results go: stdout as JSON, CSV or words; a file by its ending.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files/json_text.h"

namespace headscope::cli {

struct OutputOptions {
  bool json = false;
  bool csv = false;
  std::string out;
};

/// --json, and --csv where a table is the result; --out is declared by the command, which knows the endings it can
/// write.
void addJson(CLI::App& command, OutputOptions& output);
void addCsv(CLI::App& command, OutputOptions& output);
/// --out with the endings that this command writes, e.g. {".npy", ".json"}; another one is wrong use.
void addOut(CLI::App& command, OutputOptions& output, std::vector<std::string> endings);

/// One JSON document on stdout.
void printJson(const OrderedJson& document);
void printText(const std::string& text);

/// A table for people or as CSV (RFC 4180).
class Table {
 public:
  explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void addRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string aligned() const;
  std::string csv() const;

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// For people: four significant digits, "-" for NaN. For CSV: shortest that reads back, empty for NaN.
std::string shortNumber(double value);
std::string csvNumber(double value);

}  // namespace headscope::cli
