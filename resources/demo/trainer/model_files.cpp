#include "resources/demo/trainer/model_files.h"

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/files/safetensors_writer.h"

namespace headscope::demo {

void writeConfig(const Shape& shape, const std::filesystem::path& folder) {
  const OrderedJson config = {{"architectures", OrderedJson::array({"LlamaForCausalLM"})},
                              {"model_type", "llama"},
                              {"vocab_size", shape.vocabulary},
                              {"hidden_size", shape.hidden},
                              {"intermediate_size", shape.mlp},
                              {"num_hidden_layers", shape.layers},
                              {"num_attention_heads", shape.heads},
                              {"num_key_value_heads", shape.kvHeads},
                              {"head_dim", shape.headDim},
                              {"max_position_embeddings", shape.context},
                              {"rms_norm_eps", 1e-5},
                              {"rope_theta", 10000.0},
                              {"rope_scaling", nullptr},
                              {"hidden_act", "silu"},
                              {"attention_bias", false},
                              {"mlp_bias", false},
                              {"tie_word_embeddings", true},
                              {"bos_token_id", 0},
                              {"eos_token_id", 0},
                              {"pad_token_id", 1},
                              {"torch_dtype", "bfloat16"}};
  writeFile(folder / "config.json", config.dump(2) + "\n");
}

void writeWeights(const std::map<std::string, at::Tensor>& weights, const std::filesystem::path& folder) {
  std::vector<TensorDeclaration> declarations;
  for (const auto& [name, weight] : weights) {
    declarations.push_back({name, TensorType::BF16, weight.sizes().vec()});
  }
  SafetensorsWriter writer(folder / "model.safetensors", declarations, {{"format", "pt"}});
  for (const auto& [name, weight] : weights) {
    const at::Tensor rounded = weight.detach().to(at::kCPU, at::kBFloat16).contiguous();
    writer.write(name, 0, {static_cast<const std::byte*>(rounded.const_data_ptr()), rounded.nbytes()});
  }
  writer.commit();
}

void writeCard(const Shape& shape, const TrainingReport& report, const std::string& sample,
               const std::filesystem::path& folder) {
  const std::string card = concat(
      "# Headscope's demo model\n\nA Llama-family model trained from scratch by `headscope-train-demo` "
      "(resources/demo/trainer) on the core's own\n"
      "forward pass: ",
      shape.layers, " layers, ", shape.heads, " query heads, ", shape.kvHeads, " KV heads, head dim ", shape.headDim,
      ", hidden size ", shape.hidden, ", vocabulary ", shape.vocabulary,
      ", bf16 weights.\n\nData: simple stories written by SmolLM2-135M-Instruct (Apache-2.0), text of the trainer's "
      "own grammar\n"
      "(names, lists, keys and doors, repetitions), and rows of random ids that repeat.\n\n| | |\n|---|---|\n| device "
      "| ",
      report.device, " |\n| time | ", static_cast<std::int64_t>(report.seconds), " s |\n| steps | ", report.steps,
      " |\n| tokens seen | ", report.tokens, " |\n| loss on held-out stories | ", report.storyLoss,
      " nats a token |\n| loss on held-out grammar | ", report.grammarLoss,
      " nats a token |\n\nGreedy continuation of \"Once upon a time\":\n\n> ", sample, "\n");
  writeFile(folder / "README.md", card);
}

}  // namespace headscope::demo
