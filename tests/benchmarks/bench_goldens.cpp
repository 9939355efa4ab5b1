// The golden models on any device and in any arithmetic: largest errors by family as a Markdown table (that of the
// README), and the models' own checks. Exit 1 if one is over the tolerance of its type.
//
//   bench_goldens [FOLDER] [DEVICE] [DTYPE]       FOLDER holds manifest.json and the cases

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/model/golden.h"
#include "core/model/verify.h"
#include "tests/support/test_machine.h"

using namespace headscope;
namespace fs = std::filesystem;

namespace {

struct Row {
  int goldens = 0;
  double queries = 0, probabilities = 0, hidden = 0, logits = 0;
  std::string failed;
};

double errorOf(const GoldenReport& report, const char* quantity) {
  const GoldenCheck* check = report.find(quantity);
  return check == nullptr ? 0 : check->error;
}

// Tolerances are meant for float32 on a CPU; a GPU's attention kernel (tests/support/test_machine.h) and
// shorter numbers get more room.
double slackOf(const std::string& device, const std::string& dtype) {
  const double arithmetic = dtype == "bf16" ? 8000 : dtype == "f16" ? 1000 : 1;
  return test::goldenSlack(device) * arithmetic;
}

ArithmeticType arithmetic(const std::string& dtype) {
  return dtype == "bf16" ? ArithmeticType::BF16 : dtype == "f16" ? ArithmeticType::F16 : ArithmeticType::F32;
}

void check(const fs::path& folder, const Json& entry, const ModelOptions& options, double slack, Row& row) {
  const std::string name = entry.at("case").get<std::string>();
  const auto model = Model::open(folder / name, options);
  // In short arithmetic a router may choose other experts: more than rounding.
  slack *= model->info().experts && model->arithmetic() != "f32" ? 16 : 1;
  for (const Json& golden : entry.at("goldens")) {
    const GoldenReport report = checkGolden(*model, folder / name / golden.get<std::string>(), slack);
    ++row.goldens;
    row.queries = std::max({row.queries, errorOf(report, "q, k before RoPE"), errorOf(report, "q, k after RoPE")});
    row.probabilities = std::max(row.probabilities, errorOf(report, "probabilities"));
    row.hidden = std::max(row.hidden, errorOf(report, "hidden states"));
    row.logits = std::max(row.logits, errorOf(report, "logits"));
    for (const GoldenCheck& one : report.checks) {
      if (!one.passed()) {
        row.failed = concat(name, ": ", one.quantity, " ", one.error);
      }
    }
  }
  for (const VerifyCheck& own : verifyModel(*model).checks) {
    if (!own.passed()) {
      row.failed = concat(name, ": ", own.name, " ", own.value);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const fs::path folder = argc > 1 ? argv[1] : "../shared/models/families";
  ModelOptions options;
  options.device = argc > 2 ? argv[2] : "cpu";
  const std::string dtype = argc > 3 ? argv[3] : "f32";
  options.arithmetic = arithmetic(dtype);
  std::map<std::string, Row> rows;
  try {
    const Json manifest = readJson(folder / "manifest.json");
    for (const Json& entry : manifest.at("cases")) {
      check(folder, entry, options, slackOf(options.device, dtype), rows[entry.at("family").get<std::string>()]);
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "bench_goldens: %s\n", error.what());
    return 1;
  }
  bool sound = true;
  std::printf("Largest errors against transformers, device %s, arithmetic %s\n\n", options.device.c_str(),
              dtype.c_str());
  std::printf("| family | files | q, k | probabilities | hidden states | logits | |\n|---|---|---|---|---|---|---|\n");
  for (const auto& [family, row] : rows) {
    std::printf("| %s | %d | %.1e | %.1e | %.1e | %.1e | %s |\n", family.c_str(), row.goldens, row.queries,
                row.probabilities, row.hidden, row.logits, row.failed.empty() ? "ok" : row.failed.c_str());
    sound = sound && row.failed.empty();
  }
  return sound ? 0 : 1;
}
