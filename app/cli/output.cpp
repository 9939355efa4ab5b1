#include "app/cli/output.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iostream>

#include "core/base/text.h"

namespace headscope::cli {
namespace {

std::size_t width(const std::string& cell) {
  return codePoints(cell).size();
}

std::string csvCell(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == std::string::npos) {
    return cell;
  }
  std::string quoted = "\"";
  for (const char c : cell) {
    quoted += c == '"' ? "\"\"" : std::string(1, c);
  }
  return quoted + "\"";
}

std::string csvLine(const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t index = 0; index < cells.size(); ++index) {
    line += (index == 0 ? "" : ",") + csvCell(cells[index]);
  }
  return line + "\n";
}

}  // namespace

void addJson(CLI::App& command, OutputOptions& output) {
  command.add_flag("--json", output.json, "One JSON document on stdout and nothing else");
}

void addCsv(CLI::App& command, OutputOptions& output) {
  command.add_flag("--csv", output.csv, "The table as CSV on stdout")->excludes("--json");
}

void addOut(CLI::App& command, OutputOptions& output, std::vector<std::string> endings) {
  std::string list;
  for (const std::string& ending : endings) {
    list += (list.empty() ? "" : ", ") + ending;
  }
  command.add_option("--out", output.out, "Write the result to this file; its kind by the ending: " + list)
      ->check([endings = std::move(endings), list](const std::string& path) {
        const std::string ending = std::filesystem::path(path).extension().string();
        const bool known = std::find(endings.begin(), endings.end(), ending) != endings.end();
        return known ? std::string() : "\"" + path + "\" does not end in one of " + list;
      });
}

void printJson(const OrderedJson& document) {
  printText(jsonText(document));
}

void printText(const std::string& text) {
  std::cout << text;
}

std::string Table::aligned() const {
  std::vector<std::size_t> widths;
  for (const std::string& column : columns_) {
    widths.push_back(width(column));
  }
  for (const auto& row : rows_) {
    for (std::size_t index = 0; index < row.size(); ++index) {
      widths[index] = std::max(widths[index], width(row[index]));
    }
  }
  std::string text;
  const auto append = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t index = 0; index < cells.size(); ++index) {
      line += (index == 0 ? "" : "  ") + cells[index] + std::string(widths[index] - width(cells[index]), ' ');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  append(columns_);
  for (const auto& row : rows_) {
    append(row);
  }
  return text;
}

std::string Table::csv() const {
  std::string text = csvLine(columns_);
  for (const auto& row : rows_) {
    text += csvLine(row);
  }
  return text;
}

std::string shortNumber(double value) {
  if (std::isnan(value)) {
    return "-";
  }
  std::array<char, 40> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::general, 4);
  return {buffer.data(), result.ptr};
}

std::string csvNumber(double value) {
  if (std::isnan(value)) {
    return "";
  }
  return std::isinf(value) ? (value > 0 ? "inf" : "-inf") : jsonNumber(value);
}

}  // namespace headscope::cli
