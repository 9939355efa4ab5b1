// devices: what models can run on here, with its memory.

#include <memory>

#include "app/cli/command.h"
#include "app/cli/output.h"
#include "core/model/model.h"

namespace headscope::cli {
namespace {

std::string gibibytes(std::uint64_t bytes) {
  return concat(shortNumber(static_cast<double>(bytes) / (1U << 30)), " GiB");
}

void showDevices(const OutputOptions& output) {
  const std::vector<DeviceInfo> devices = listDevices();
  if (output.json) {
    OrderedJson list = OrderedJson::array();
    for (const DeviceInfo& device : devices) {
      list.push_back({{"name", device.name},
                      {"description", device.description},
                      {"total_bytes", device.totalBytes},
                      {"free_bytes", device.freeBytes}});
    }
    printJson({{"devices", list}});
    return;
  }
  Table table({"device", "what", "memory", "free"});
  for (const DeviceInfo& device : devices) {
    table.addRow({device.name, device.description, gibibytes(device.totalBytes), gibibytes(device.freeBytes)});
  }
  printText(table.aligned());
}

}  // namespace

void addDevices(CommandLine& line) {
  const auto output = std::make_shared<OutputOptions>();
  CLI::App& command =
      line.add("devices", "What models can run on here, with its memory", [output](Run&) { showDevices(*output); });
  addJson(command, *output);
}

}  // namespace headscope::cli
