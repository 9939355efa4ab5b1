// info: what a model or capture holds; no weights are read.

#include <memory>

#include "app/cli/command.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "app/cli/spec_json.h"
#include "core/model/model_info.h"
#include "core/tokenizer/tokenizer.h"

namespace headscope::cli {
namespace {

struct InfoOptions {
  std::string path;
  OutputOptions output;
};

// What `--bos auto` puts around a text, and which token `--bos on` puts in front.
OrderedJson bosJson(const Tokenizer& tokenizer) {
  const auto textsOf = [&](const std::vector<std::int64_t>& ids) {
    OrderedJson texts = OrderedJson::array();
    for (const std::int64_t id : ids) {
      texts.push_back(tokenizer.tokenText(id));
    }
    return texts;
  };
  OrderedJson json;
  json["id"] = tokenizer.bos() ? OrderedJson(*tokenizer.bos()) : OrderedJson(nullptr);
  json["token"] = tokenizer.bos() ? OrderedJson(tokenizer.tokenText(*tokenizer.bos())) : OrderedJson(nullptr);
  json["auto_before"] = textsOf(tokenizer.addedBefore());
  json["auto_after"] = textsOf(tokenizer.addedAfter());
  return json;
}

std::string listed(const OrderedJson& texts) {
  std::string text;
  for (const OrderedJson& one : texts) {
    text += concat(text.empty() ? "" : " ", one.get<std::string>());
  }
  return text.empty() ? "nothing" : text;
}

OrderedJson modelJson(const std::string& path) {
  const ModelInfo info = inspectModel(path);
  OrderedJson json;
  json["format"] = info.format;
  json["name"] = info.name;
  json["family"] = info.family;
  json["layers"] = info.layers;
  json["heads"] = info.heads;
  json["kv_heads"] = info.kvHeads;
  json["head_dim"] = info.headDim;
  json["hidden"] = info.hidden;
  json["vocab"] = info.vocab;
  json["context_length"] = info.contextLength > 0 ? OrderedJson(info.contextLength) : OrderedJson(nullptr);
  json["parameters"] = info.parameters;
  json["bytes"] = info.bytes;
  json["weight_type"] = info.weightType;
  json["tied"] = info.tied;
  json["attention"] = attentionJson(info.attention);
  json["ropes"] = ropesJson(info.ropes);
  const auto tokenizer = Tokenizer::openIfPresent(path);
  json["tokenizer"] = tokenizer ? OrderedJson(tokenizer->kind()) : OrderedJson(nullptr);
  json["bos"] = tokenizer ? bosJson(*tokenizer) : OrderedJson(nullptr);
  json["notes"] = info.notes;
  if (tokenizer) {
    for (const std::string& note : tokenizer->notes()) {
      json["notes"].push_back(note);
    }
  }
  return json;
}

OrderedJson captureJson(const std::string& path) {
  const auto capture = Capture::open(path);
  const CaptureHeader& header = capture->header();
  OrderedJson json;
  json["format"] = "capture";
  json["name"] = header.model;
  json["family"] = header.family;
  json["layers"] = header.layers;
  json["heads"] = header.heads;
  json["kv_heads"] = header.kvHeads;
  json["head_dim"] = header.headDim;
  for (const char* key : {"hidden", "vocab", "parameters"}) {
    json[key] = nullptr;  // of the model, which a capture doesn't know
  }
  json["bytes"] = capture->bytes();
  json["tied"] = nullptr;
  json["tokens"] = capture->tokens();
  json["values"] = header.layers > 0 && !capture->layer(0).v.empty();
  json["attention"] = attentionJson(header.attention);
  json["ropes"] = ropesJson(header.ropes);
  json["tokenizer"] = nullptr;
  return json;
}

std::string describe(const OrderedJson& json) {
  std::string text;
  for (const auto& [key, value] : json.items()) {
    if (value.is_primitive() && !value.is_null()) {
      text += concat(key, ": ", value.is_string() ? value.get<std::string>() : value.dump(), "\n");
    }
  }
  if (json.contains("bos") && json.at("bos").is_object()) {
    const OrderedJson& bos = json.at("bos");
    text += concat("bos: the tokenizer adds ", listed(bos.at("auto_before")), " before a text and ",
                   listed(bos.at("auto_after")), " after it (--bos on, off)\n");
  }
  const OrderedJson& ropes = json.at("ropes");
  for (std::size_t index = 0; index < ropes.size(); ++index) {
    text += concat("rope ", index, ": ", ropes[index].at("pairing").get<std::string>(), ", ",
                   ropes[index].at("rotary_dims").get<int>(), " rotary dims, base ",
                   shortNumber(ropes[index].at("base").get<double>()), "\n");
  }
  for (const OrderedJson& note : json.value("notes", OrderedJson::array())) {
    text += concat("note: ", note.get<std::string>(), "\n");
  }
  return text;
}

void runInfo(const InfoOptions& options) {
  const OrderedJson json = isCaptureFile(options.path) ? captureJson(options.path) : modelJson(options.path);
  if (options.output.json) {
    printJson(json);
  } else {
    printText(describe(json));
  }
}

}  // namespace

void addInfo(CommandLine& line) {
  const auto options = std::make_shared<InfoOptions>();
  CLI::App& command =
      line.add("info", "What a model or capture holds (no weights are read)", [options](Run&) { runInfo(*options); });
  command.add_option("MODEL|CAPTURE", options->path, "A model folder, a .gguf file or a capture file")->required();
  addJson(command, options->output);
  line.setSubject(command, options->path);
}

}  // namespace headscope::cli
