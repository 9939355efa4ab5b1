#include "app/cli/mask_model.h"

#include "app/cli/source.h"
#include "core/capture/capture.h"
#include "core/files/json.h"
#include "core/model/model_info.h"

namespace headscope::cli {

MaskShape shapeOfModel(const std::filesystem::path& path) {
  if (isCaptureFile(path)) {
    const CaptureHeader& header = Capture::open(path)->header();
    return {header.layers, header.heads, header.kvHeads};
  }
  const ModelInfo info = inspectModel(path);
  return {info.layers, info.heads, info.kvHeads};
}

std::optional<double> ffnMultOfModel(const std::filesystem::path& path) {
  const std::filesystem::path file = path / "config.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    return std::nullopt;
  }
  const Json json = readJson(file);
  const JsonReader config(json, file.string());
  if (!config.has("intermediate_size") || !config.has("hidden_size")) {
    return std::nullopt;
  }
  return 1.5 * config.number("intermediate_size") / config.number("hidden_size");
}

}  // namespace headscope::cli
