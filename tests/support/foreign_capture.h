#pragma once

// Capture files as another program would write them, by the letter of ../shared/reference/cli.md and without the core's
// own capture code.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files/json.h"
#include "core/files/safetensors_writer.h"

namespace headscope::test {

struct ForeignLayer {
  std::vector<float> q, k;  ///< [heads, tokens, dim], [kvHeads, tokens, dim]
};

struct ForeignCapture {
  int heads = 1, kvHeads = 1, dim = 8;
  std::int64_t tokens = 0;
  double scale = 1.0;
  Json rope;  ///< an entry of "ropes"; null: no RoPE
  std::vector<ForeignLayer> layers;
  std::vector<std::int64_t> ids, positions;  ///< may be empty
};

inline Json ropeEntry(const char* pairing, const std::vector<double>& invFreq, double base = 10000.0,
                      double attentionScaling = 1.0) {
  return {{"pairing", pairing},
          {"inv_freq", invFreq},
          {"attention_scaling", attentionScaling},
          {"rotary_dims", 2 * invFreq.size()},
          {"base", base}};
}

inline void writeForeignCapture(const std::filesystem::path& target, const ForeignCapture& capture) {
  Json attention = Json::array();
  std::vector<TensorDeclaration> tensors;
  for (std::size_t layer = 0; layer < capture.layers.size(); ++layer) {
    attention.push_back({{"scale", capture.scale},
                         {"window", nullptr},
                         {"softcap", nullptr},
                         {"rope", capture.rope.is_null() ? Json(nullptr) : Json(0)}});
    tensors.push_back({concat("q.", layer), TensorType::F32, {capture.heads, capture.tokens, capture.dim}});
    tensors.push_back({concat("k.", layer), TensorType::F32, {capture.kvHeads, capture.tokens, capture.dim}});
  }
  if (!capture.ids.empty()) {
    tensors.push_back({"ids", TensorType::I64, {capture.tokens}});
  }
  if (!capture.positions.empty()) {
    tensors.push_back({"positions", TensorType::I64, {capture.tokens}});
  }
  const Json header{{"version", 1},
                    {"model", "foreign"},
                    {"family", "llama"},
                    {"layers", capture.layers.size()},
                    {"heads", capture.heads},
                    {"kv_heads", capture.kvHeads},
                    {"head_dim", capture.dim},
                    {"attention", attention},
                    {"ropes", capture.rope.is_null() ? Json::array() : Json::array({capture.rope})}};
  SafetensorsWriter writer(target, tensors, {{"headscope", header.dump()}});
  for (std::size_t layer = 0; layer < capture.layers.size(); ++layer) {
    writer.write(concat("q.", layer), 0, std::as_bytes(std::span(capture.layers[layer].q)));
    writer.write(concat("k.", layer), 0, std::as_bytes(std::span(capture.layers[layer].k)));
  }
  if (!capture.ids.empty()) {
    writer.write("ids", 0, std::as_bytes(std::span(capture.ids)));
  }
  if (!capture.positions.empty()) {
    writer.write("positions", 0, std::as_bytes(std::span(capture.positions)));
  }
  writer.commit();
}

}  // namespace headscope::test
