#pragma once

// Scores of all heads as JSON and CSV, with the names of ../shared/reference/cli.md ("analyze").

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/export/report_summary.h"

namespace headscope {

struct ReportText {
  std::string model, family;
  /// Name → one line with unit: reportDefinitions().
  std::vector<std::pair<std::string, std::string>> definitions;
};

/// {"model", "family", "documents", "tokens", "exact", "per_head": […], "per_layer": […], "definitions": {…}}; what
/// doesn't exist is null. With more than one document, `scores` are means and `scores_std` stands beside them.
std::string reportJson(const ReportSummary& summary, const ReportText& text);

/// A line a head: layer, head, kv_head, the scores, case, case scores, dominant channel, period. Empty = does not
/// exist.
std::string reportCsv(const ReportSummary& summary);

/// As the ending says: .json or .csv. Throws Error for another one.
void writeReport(const std::filesystem::path& target, const ReportSummary& summary, const ReportText& text);

}  // namespace headscope
