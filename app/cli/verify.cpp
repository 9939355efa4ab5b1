// verify: which reference covers a model's family, and checks of the opened model itself.

#include <memory>

#include "app/cli/command.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/files/json.h"
#include "core/model/verify.h"

namespace headscope::cli {
namespace {

struct VerifyCommand {
  std::string path;
  MachineOptions machine;
  OutputOptions output;
};

OrderedJson reportJson(const VerifyReport& report) {
  OrderedJson json;
  json["family"] = report.family;
  json["status"] = report.status;
  json["reference"] = report.reference;
  json["checks"] = OrderedJson::array();
  for (const VerifyCheck& check : report.checks) {
    OrderedJson entry;
    entry["name"] = check.name;
    entry["definition"] = check.definition;
    entry["value"] = check.value;
    entry["tolerance"] = check.tolerance;
    entry["passed"] = check.passed();
    json["checks"].push_back(std::move(entry));
  }
  return json;
}

std::string describe(const VerifyReport& report) {
  std::string text = concat(report.family, ": ", report.status, "\n", report.reference, "\n");
  Table table({"check", "value", "tolerance", "", "what"});
  for (const VerifyCheck& check : report.checks) {
    table.addRow({check.name, shortNumber(check.value), shortNumber(check.tolerance), check.passed() ? "ok" : "FAILED",
                  check.definition});
  }
  return text + table.aligned();
}

// The family of a model that can't be opened, if its configuration names one.
std::string declaredFamily(const std::filesystem::path& model) {
  try {
    const Json config = readJson(model / "config.json");
    const auto type = config.is_object() ? config.find("model_type") : config.end();
    return type != config.end() && type->is_string() ? type->get<std::string>() : std::string();
  } catch (const Error&) {
    return "";
  }
}

OrderedJson refusalJson(const std::string& path, const Error& error) {
  const std::string family = declaredFamily(path);
  OrderedJson json;
  json["family"] = family.empty() ? OrderedJson(nullptr) : OrderedJson(family);
  json["status"] = "refused";
  json["reason"] = error.problem();
  json["checks"] = OrderedJson::array();
  return json;
}

void runVerify(const VerifyCommand& command, const Run& run) {
  VerifyReport report;
  try {
    const auto model = Model::open(command.path, modelOptions(command.machine), run.control);
    report = verifyModel(*model, run.control);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Unsupported && command.output.json) {
      printJson(refusalJson(command.path, error));
    }
    throw;
  }
  if (command.output.json) {
    printJson(reportJson(report));
  } else {
    printText(describe(report));
  }
  for (const VerifyCheck& check : report.checks) {
    if (!check.passed()) {
      throw Error(command.path, concat("fails the check \"", check.name, "\": ", shortNumber(check.value), ", at most ",
                                       shortNumber(check.tolerance), " is allowed"));
    }
  }
}

}  // namespace

void addVerify(CommandLine& line) {
  const auto options = std::make_shared<VerifyCommand>();
  CLI::App& command = line.add("verify", "Which reference covers a model's family; checks of the model itself",
                               [options](Run& run) { runVerify(*options, run); });
  command.add_option("MODEL", options->path, "A model folder or a .gguf file")->required();
  addMachine(command, options->machine);
  addJson(command, options->output);
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
