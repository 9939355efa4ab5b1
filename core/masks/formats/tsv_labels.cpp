// Tables [layers, KV heads] of tab-separated numbers, 1 = full attention, 0 = streaming. DuoAttention's label folder
// (full_attention_heads.tsv beside a config.json with sink_size and recent_size; read by numpy.loadtxt and clipped to 0
// … 1) and PruLong's masks.tsv.

#include <array>
#include <charconv>
#include <cmath>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

constexpr const char* kDuoFile = "full_attention_heads.tsv";
constexpr const char* kPrulongFile = "masks.tsv";
constexpr double kClipMargin = 0.05;  // training leaves values just outside of [0, 1]
constexpr double kFull = 0.5;         // a head below this streams

std::optional<double> numberOf(std::string_view text) {
  double value = 0;
  text = text.substr(0, text.find_last_not_of(" \r") + 1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// Splits at every separator; "a,,b" has an empty part.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  while (true) {
    const std::size_t next = text.find(separator, at);
    parts.push_back(text.substr(at, next - at));
    if (next == std::string_view::npos) {
      return parts;
    }
    at = next + 1;
  }
}

// Lines with numbers; as numpy.loadtxt does it, what follows # is a comment and empty lines don't count.
std::vector<std::string_view> dataLines(const std::string& bytes) {
  std::vector<std::string_view> lines;
  for (std::string_view line : split(bytes, '\n')) {
    line = line.substr(0, line.find('#'));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      lines.push_back(line);
    }
  }
  return lines;
}

bool isTable(const MaskInput& input) {
  if (!input.isText() || input.bytes().find_first_of(".e") == std::string::npos) {
    return false;
  }
  const auto lines = dataLines(input.bytes());
  for (const std::string_view line : lines) {
    for (const std::string_view cell : split(line, '\t')) {
      if (!numberOf(cell)) {
        return false;
      }
    }
  }
  return !lines.empty();
}

bool hasDuoConfig(const MaskInput& input) {
  const auto config = input.path().parent_path() / "config.json";
  std::error_code error;
  return std::filesystem::exists(config, error);
}

bool recognisesDuo(const MaskInput& input) {
  if (input.path().filename() == kDuoFile) {
    return true;
  }
  return input.path().filename() != kPrulongFile && isTable(input) &&
         (hasDuoConfig(input) || input.bytes().find('e') != std::string::npos);
}

// What is left: a table without DuoAttention's marks. PruLong writes 1.0 and 0.0 only.
bool recognisesPrulong(const MaskInput& input) {
  if (input.path().filename() == kPrulongFile) {
    return true;
  }
  if (!isTable(input)) {
    return false;
  }
  for (const std::string_view line : dataLines(input.bytes())) {
    for (const std::string_view cell : split(line, '\t')) {
      const std::string_view text = cell.substr(0, cell.find('\r'));
      if (text != "1.0" && text != "0.0") {
        throw Error(input.where(), "may be of DuoAttention or of PruLong: say --from duo_attention or --from prulong",
                    ErrorKind::Usage);
      }
    }
  }
  return true;
}

double clipped(const MaskInput& input, double value, std::size_t layer, std::size_t head, std::size_t& clips) {
  if (!(value >= -kClipMargin && value <= 1 + kClipMargin)) {
    input.fail(concat("holds ", value, " at layer ", layer, ", KV head ", head, "; expected numbers from 0 to 1"));
  }
  if (value < 0 || value > 1) {
    ++clips;
    return value < 0 ? 0 : 1;
  }
  return value;
}

MaskDocument readTable(const MaskInput& input, const MaskHints& hints) {
  if (!input.isText()) {
    input.fail("is no text");
  }
  MaskDocument document;
  document.axis = MaskAxis::Kv;
  document.direction = MaskDirection::Keep;
  std::size_t clips = 0;
  const auto lines = dataLines(input.bytes());
  std::size_t perLayer = 0;
  for (std::size_t layer = 0; layer < lines.size(); ++layer) {
    const auto cells = split(lines[layer], '\t');
    perLayer = layer == 0 ? cells.size() : perLayer;
    if (cells.size() != perLayer) {
      input.fail(concat("has ", cells.size(), " numbers for layer ", layer, ", but ", perLayer, " for layer 0"));
    }
    for (std::size_t head = 0; head < cells.size(); ++head) {
      const auto value = numberOf(cells[head]);
      if (!value) {
        input.fail(concat("holds \"", cells[head].substr(0, 40), "\" at layer ", layer, ", which is no number"));
      }
      document.scores.push_back(clipped(input, *value, layer, head, clips));
    }
  }
  if (lines.empty() || lines.size() > kMostLayers || perLayer > kMostHeads) {
    input.fail(lines.empty() ? "holds no numbers" : "is too large for a table of layers and KV heads");
  }
  document.shape.layers = static_cast<int>(lines.size());
  document.shape.kvHeads = static_cast<int>(perLayer);
  completeShape(input, hints, document);
  for (const double score : document.scores) {
    document.keep.push_back(score < kFull ? 0 : 1);
  }
  if (clips > 0) {
    document.warnings.push_back(concat(clips, clips == 1 ? " value was" : " values were", " clipped to 0 ... 1"));
  }
  return document;
}

MaskDocument readDuo(const MaskInput& input, const MaskHints& hints) {
  MaskDocument document = readTable(input, hints);
  if (!hasDuoConfig(input)) {
    document.misreadings.push_back(
        concat("has no config.json beside ", kDuoFile, ", where its readers find sink_size and recent_size"));
    return document;
  }
  const std::filesystem::path path = input.path().parent_path() / "config.json";
  const Json json = readJson(path);
  const JsonReader config(json, path.string());
  config.integer("sink_size", 0, 1 << 30);
  config.integer("recent_size", 0, 1 << 30);
  return document;
}

// As numpy.savetxt writes it by default ("%.18e"), whatever the locale.
std::string duoNumber(double value) {
  std::array<char, 64> buffer{};
  const auto result =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific, 18);
  return {buffer.data(), result.ptr};
}

std::string tableText(const MaskDocument& document, std::string (*number)(double)) {
  std::string text;
  const auto perLayer = static_cast<std::size_t>(document.entries());
  const bool graded = !document.scores.empty();
  const std::size_t count = graded ? document.scores.size() : document.keep.size();
  for (std::size_t index = 0; index < count; ++index) {
    text += number(graded ? document.scores[index] : document.keep[index]);
    text += (index + 1) % perLayer == 0 ? '\n' : '\t';
  }
  return text;
}

void writeDuo(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options) {
  demandHeads(path, document, MaskAxis::Kv);
  const bool isFile = path.extension() == ".tsv";
  const std::filesystem::path folder = isFile ? path.parent_path() : path;
  std::error_code error;
  if (!folder.empty()) {
    std::filesystem::create_directories(folder, error);
  }
  if (error) {
    throw Error(folder.string(), concat("can't be made a folder: ", error.message()));
  }
  const OrderedJson config{{"sink_size", options.sinkSize}, {"recent_size", options.recentSize}};
  writeFile(folder / "config.json", jsonText(config));
  writeFile(isFile ? path : path / kDuoFile, tableText(document, duoNumber));
}

void writePrulong(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandHeads(path, document, MaskAxis::Kv);
  writeFile(path, tableText(document, jsonNumber));
}

}  // namespace

const MaskFormat& duoAttentionFormat() {
  static const MaskFormat format{MaskKind::DuoAttention, recognisesDuo, readDuo, writeDuo};
  return format;
}

const MaskFormat& prulongFormat() {
  static const MaskFormat format{MaskKind::Prulong, recognisesPrulong, readTable, writePrulong};
  return format;
}

}  // namespace headscope::masks
