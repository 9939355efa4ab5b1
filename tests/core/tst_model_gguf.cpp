// GGUF models: every tensor type of ../shared/models/gguf-types as a whole model, and the golden families of
// Hugging Face rewritten as llama.cpp's converter stores them.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include <QTemporaryDir>
#include <QtTest>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/model/golden.h"
#include "core/model/model.h"
#include "tests/support/gguf_converter.h"
#include "tests/support/test_machine.h"

namespace fs = std::filesystem;
using namespace headscope;
using headscope::test::Conversion;
using headscope::test::convert;
using headscope::test::Converter;

namespace {

const fs::path kTypes = fs::path(HEADSCOPE_SHARED) / "models/gguf-types";
const fs::path kFamilies = fs::path(HEADSCOPE_SHARED) / "models/families";

std::shared_ptr<Model> openOnCpu(const fs::path& path) {
  ModelOptions options = test::testMachine();
  return Model::open(path, options);
}

void verify(const GoldenReport& report) {
  for (const GoldenCheck& check : report.checks) {
    QVERIFY2(check.passed(), concat(check.quantity, " of ", check.worst, ": ", check.error).c_str());
  }
  QVERIFY(report.find("logits") != nullptr);
}

}  // namespace

class ModelGguf : public QObject {
  Q_OBJECT

 private slots:
  void types_data();
  void types();
  void families_data();
  void families();
  void llama3ScalingIsATensor();
  void expertsAreStacked();
  void neoxRowsAreRegrouped();
  void infoNamesTheFormat();
};

void ModelGguf::types_data() {
  QTest::addColumn<QString>("type");
  for (const char* type : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k",
                           "q6_k", "iq4_nl", "iq4_xs", "mxfp4", "mix_q4_k_m_untied"}) {
    QTest::newRow(type) << type;
  }
}

void ModelGguf::types() {
  if (!fs::exists(kTypes)) {
    QSKIP("../shared/models/gguf-types is not here");
  }
  QFETCH(QString, type);
  const auto model = openOnCpu(kTypes / "models" / (type.toStdString() + ".gguf"));
  verify(checkGolden(*model, kTypes / ("golden_" + type.toStdString() + ".safetensors"), test::goldenSlack()));
}

void ModelGguf::families_data() {
  QTest::addColumn<QString>("name");
  for (const char* name : {"llama_plain", "llama_bias", "llama_linear", "qwen2_bias", "qwen3_plain", "smollm3_default",
                           "ernie4_5", "phi_plain", "phi3_partial", "gemma_plain", "gemma2", "gemma3_default_pattern",
                           "starcoder2", "olmo_clip", "olmo2", "granite_untied", "cohere_plain", "cohere2", "glm4"}) {
    QTest::newRow(name) << name;
  }
}

void ModelGguf::families() {
  if (!fs::exists(kFamilies)) {
    QSKIP("../shared/models/families is not here");
  }
  QFETCH(QString, name);
  const std::string family = name.toStdString();
  const std::map<std::string, Conversion> conversions{
      {"llama_plain", {.architecture = "llama", .paired = true}},
      {"llama_bias", {.architecture = "llama", .paired = true}},
      {"llama_linear", {.architecture = "llama", .paired = true}},
      {"qwen2_bias", {.architecture = "qwen2"}},
      {"qwen3_plain", {.architecture = "qwen3"}},
      {"smollm3_default", {.architecture = "smollm3", .paired = true}},
      {"ernie4_5", {.architecture = "ernie4_5"}},
      {"phi_plain",
       {.architecture = "phi2",
        .eps = "layer_norm_eps",
        .up = "mlp.fc1",
        .down = "mlp.fc2",
        .o = "self_attn.dense",
        .finalNorm = "model.final_layernorm"}},
      {"phi3_partial", {.architecture = "phi3"}},
      {"gemma_plain", {.architecture = "gemma", .normOne = 1}},
      {"gemma2",
       {.architecture = "gemma2",
        .normOne = 1,
        .attentionOut = "post_attention_layernorm",
        .mlpIn = "pre_feedforward_layernorm",
        .mlpOut = "post_feedforward_layernorm",
        .queryScalar = 20}},
      {"gemma3_default_pattern",
       {.architecture = "gemma3",
        .normOne = 1,
        .attentionOut = "post_attention_layernorm",
        .mlpIn = "pre_feedforward_layernorm",
        .mlpOut = "post_feedforward_layernorm",
        .queryScalar = 20}},
      {"starcoder2", {.architecture = "starcoder2", .eps = "norm_epsilon", .up = "mlp.c_fc", .down = "mlp.c_proj"}},
      {"olmo_clip", {.architecture = "olmo", .paired = true, .eps = "none"}},
      {"olmo2",
       {.architecture = "olmo2",
        .attentionOut = "post_attention_layernorm",
        .mlpIn = nullptr,
        .mlpOut = "post_feedforward_layernorm"}},
      {"granite_untied", {.architecture = "granite", .paired = true}},
      {"cohere_plain", {.architecture = "command-r", .eps = "layer_norm_eps"}},
      {"cohere2", {.architecture = "cohere2", .eps = "layer_norm_eps"}},
      {"glm4", {.architecture = "glm4", .attentionOut = "post_self_attn_layernorm", .mlpOut = "post_mlp_layernorm"}},
  };
  const Conversion& how = conversions.at(family);
  Converter gguf(kFamilies / family, how.architecture);
  convert(gguf, how);
  const Json& config = gguf.config();
  const auto real = [&](const char* from, const char* to) {
    if (config.contains(from) && config.at(from).is_number()) {
      gguf.real(to, config.at(from).get<double>());
    }
  };
  if (config.contains("sliding_window") && config.at("sliding_window").is_number()) {
    gguf.count("attention.sliding_window", "sliding_window");
  }
  real("attn_logit_softcapping", "attn_logit_softcapping");
  real("final_logit_softcapping", "final_logit_softcapping");
  real("clip_qkv", "attention.clamp_kqv");
  real("logit_scale", "logit_scale");
  real("attention_multiplier", "attention.scale");
  real("embedding_multiplier", "embedding_scale");
  real("residual_multiplier", "residual_scale");
  real("logits_scaling", "logit_scale");
  if (family == "llama_linear") {
    gguf.text("rope.scaling.type", "linear");
    gguf.real("rope.scaling.factor", 4);
  }
  if (family.starts_with("gemma3")) {
    gguf.text("rope.scaling.type", "linear");
    gguf.real("rope.scaling.factor", 8);
    gguf.real("rope.freq_base", 10000);
    gguf.real("rope.freq_base_swa", 100);
  }
  QTemporaryDir folder;
  const fs::path file = gguf.save(fs::path(folder.path().toStdString()) / (family + ".gguf"));
  GoldenReport report = checkGolden(*openOnCpu(file), kFamilies / family / "golden.safetensors");
  if (how.queryScalar > 0) {  // q itself differs by the factor
    std::erase_if(report.checks, [](const GoldenCheck& check) { return check.quantity.starts_with("q, k"); });
  }
  verify(report);
}

void ModelGguf::llama3ScalingIsATensor() {
  if (!fs::exists(kFamilies)) {
    QSKIP("../shared/models/families is not here");
  }
  const fs::path folder = kFamilies / "llama_llama3";
  Converter gguf(folder, "llama");
  convert(gguf, {.architecture = "llama", .paired = true});
  const auto golden = SafetensorsFile::open(folder / "golden.safetensors");
  const TensorView& scaled = golden->at("inv_freq.0");
  std::vector<float> divisors(static_cast<std::size_t>(scaled.elements()));
  toFloats(scaled.bytes.data(), FloatType::F32, divisors.size(), divisors.data());
  const double base = gguf.config().at("rope_parameters").at("rope_theta").get<double>();
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    const double plain = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(gguf.dim()));
    divisors[i] = static_cast<float>(plain / divisors[i]);
  }
  gguf.write("rope_freqs.weight", {static_cast<std::int64_t>(divisors.size())}, divisors);
  QTemporaryDir target;
  const auto model = openOnCpu(gguf.save(fs::path(target.path().toStdString()) / "llama3.gguf"));
  verify(checkGolden(*model, folder / "golden.safetensors"));
}

void ModelGguf::expertsAreStacked() {
  if (!fs::exists(kFamilies)) {
    QSKIP("../shared/models/families is not here");
  }
  const fs::path folder = kFamilies / "mixtral";
  Converter gguf(folder, "llama");
  convert(gguf, {.architecture = "llama", .paired = true});
  const int experts = gguf.config().at("num_local_experts").get<int>();
  gguf.key("expert_count", experts);
  gguf.count("expert_used_count", "num_experts_per_tok");
  for (int i = 0; i < gguf.config().at("num_hidden_layers").get<int>(); ++i) {
    const std::string from = concat("model.layers.", i, ".block_sparse_moe.");
    const std::string to = concat("blk.", i, ".");
    gguf.copyBoth(from + "gate", to + "ffn_gate_inp");
    for (const auto& [hf, name] : {std::pair{"w1", "ffn_gate_exps"}, {"w3", "ffn_up_exps"}, {"w2", "ffn_down_exps"}}) {
      std::vector<float> all;
      std::vector<std::int64_t> shape;
      for (int e = 0; e < experts; ++e) {
        const std::string tensor = concat(from, "experts.", e, ".", hf, ".weight");
        const std::vector<float> one = gguf.read(tensor);
        all.insert(all.end(), one.begin(), one.end());
        shape = gguf.shape(tensor);
      }
      shape.insert(shape.begin(), experts);
      gguf.write(to + name + ".weight", shape, all);
    }
  }
  QTemporaryDir target;
  const auto model = openOnCpu(gguf.save(fs::path(target.path().toStdString()) / "experts.gguf"));
  verify(checkGolden(*model, folder / "golden.safetensors"));
}

void ModelGguf::neoxRowsAreRegrouped() {
  if (!fs::exists(kFamilies)) {
    QSKIP("../shared/models/families is not here");
  }
  const fs::path folder = kFamilies / "gpt_neox_parallel";
  Converter gguf(folder, "gptneox");
  gguf.commonKeys("layer_norm_eps");
  gguf.flag("use_parallel_residual", true);
  const Json& rope = gguf.config().at("rope_parameters");
  gguf.real("rope.freq_base", rope.at("rope_theta").get<double>());
  gguf.key("rope.dimension_count", gguf.dim() / 4);
  gguf.copy("gpt_neox.embed_in.weight", "token_embd.weight");
  gguf.copyBoth("gpt_neox.final_layer_norm", "output_norm");
  gguf.copy("embed_out.weight", "output.weight");
  for (int i = 0; i < gguf.config().at("num_hidden_layers").get<int>(); ++i) {
    const std::string from = concat("gpt_neox.layers.", i, "."), to = concat("blk.", i, ".");
    gguf.copyBoth(from + "input_layernorm", to + "attn_norm");
    gguf.copyBoth(from + "post_attention_layernorm", to + "ffn_norm");
    gguf.copyBoth(from + "attention.dense", to + "attn_output");
    gguf.copyBoth(from + "mlp.dense_h_to_4h", to + "ffn_up");
    gguf.copyBoth(from + "mlp.dense_4h_to_h", to + "ffn_down");
    for (const std::string kind : {".weight", ".bias"}) {
      const std::string name = from + "attention.query_key_value" + kind;
      const std::vector<float> values = gguf.read(name);
      const std::size_t width = values.size() / static_cast<std::size_t>(3 * gguf.heads() * gguf.dim());
      const std::size_t chunk = width * static_cast<std::size_t>(gguf.dim());
      std::vector<float> grouped;
      for (std::size_t part = 0; part < 3; ++part) {
        for (std::size_t head = 0; head < static_cast<std::size_t>(gguf.heads()); ++head) {
          const auto begin = values.begin() + static_cast<std::ptrdiff_t>((head * 3 + part) * chunk);
          grouped.insert(grouped.end(), begin, begin + static_cast<std::ptrdiff_t>(chunk));
        }
      }
      gguf.write(to + "attn_qkv" + kind, gguf.shape(name), grouped);
    }
  }
  QTemporaryDir target;
  const auto model = openOnCpu(gguf.save(fs::path(target.path().toStdString()) / "neox.gguf"));
  verify(checkGolden(*model, folder / "golden.safetensors"));
}

void ModelGguf::infoNamesTheFormat() {
  if (!fs::exists(kTypes)) {
    QSKIP("../shared/models/gguf-types is not here");
  }
  const ModelInfo info = inspectModel(kTypes / "models/q4_0.gguf");
  QCOMPARE(info.format, std::string("gguf"));
  QCOMPARE(info.family, std::string("llama"));
  QCOMPARE(info.weightType, std::string("Q4_0"));
  QCOMPARE(info.headDim, 32);
  QCOMPARE(info.vocab, 320);
  QVERIFY(info.tied);
  QVERIFY(info.parameters > 0 && info.bytes > 0);
}

QTEST_GUILESS_MAIN(ModelGguf)
#include "tst_model_gguf.moc"
