// Architectures of llama.cpp: the golden families of Hugging Face rewritten as its converters store them must give
// the golden figures, in Hugging Face's order of rows. tst_model_gguf has the tensor types and the older ones.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include <QTemporaryDir>
#include <QtTest>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/model/golden.h"
#include "core/model/model.h"
#include "tests/support/gguf_converter.h"

namespace fs = std::filesystem;
using namespace headscope;
using headscope::test::Conversion;
using headscope::test::convert;
using headscope::test::Converter;

namespace {

const fs::path kFamilies = fs::path(HEADSCOPE_SHARED) / "models/families";

std::shared_ptr<Model> openOnCpu(const fs::path& path) {
  ModelOptions options;
  options.device = "cpu";
  return Model::open(path, options);
}

int layersOf(const Converter& gguf) {
  return gguf.config().at("num_hidden_layers").get<int>();
}

void eachLayer(Converter& gguf, const std::function<void(const std::string& from, const std::string& to)>& copy) {
  for (int i = 0; i < layersOf(gguf); ++i) {
    copy(concat("model.layers.", i, "."), concat("blk.", i, "."));
  }
}

void slidingKeys(Converter& gguf) {
  gguf.count("attention.sliding_window", "sliding_window");
  std::string flags;
  for (const Json& type : gguf.config().at("layer_types")) {
    flags += type == "sliding_attention" ? '\1' : '\0';
  }
  gguf.flags("attention.sliding_window_pattern", flags);
}

void yarnKeys(Converter& gguf, const Json& rope) {
  gguf.text("rope.scaling.type", "yarn");
  gguf.real("rope.scaling.factor", rope.at("factor").get<double>());
  gguf.key("rope.scaling.original_context_length", rope.at("original_max_position_embeddings").get<std::int64_t>());
  gguf.real("rope.scaling.yarn_beta_fast", rope.value("beta_fast", 32.0));
  gguf.real("rope.scaling.yarn_beta_slow", rope.value("beta_slow", 1.0));
}

// Divisors of the unscaled frequencies that give the golden's.
void ropeDivisors(Converter& gguf, const fs::path& folder, double base) {
  const auto golden = SafetensorsFile::open(folder / "golden.safetensors");
  const TensorView& scaled = golden->at("inv_freq.0");
  std::vector<float> divisors(static_cast<std::size_t>(scaled.elements()));
  toFloats(scaled.bytes.data(), FloatType::F32, divisors.size(), divisors.data());
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    const double plain = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(gguf.dim()));
    divisors[i] = static_cast<float>(plain / divisors[i]);
  }
  gguf.write("rope_freqs.weight", {static_cast<std::int64_t>(divisors.size())}, divisors);
}

void expertCounts(Converter& gguf, const char* count) {
  gguf.count("expert_count", count);
  gguf.count("expert_used_count", "num_experts_per_tok");
  if (gguf.config().contains("moe_intermediate_size")) {
    gguf.count("expert_feed_forward_length", "moe_intermediate_size");
  }
}

// Experts that Hugging Face stores one by one.
void stackExperts(Converter& gguf, const char* count) {
  const int experts = gguf.config().at(count).get<int>();
  eachLayer(gguf, [&](const std::string& from, const std::string& to) {
    if (!gguf.has(from + "mlp.gate.weight")) {
      return;
    }
    gguf.copyBoth(from + "mlp.gate", to + "ffn_gate_inp");
    for (const std::string part : {"gate", "up", "down"}) {
      gguf.copyStacked(from + "mlp.experts.", experts, "." + part + "_proj.weight",
                       to + "ffn_" + part + "_exps.weight");
    }
  });
}

using Change = std::function<void(Converter&, const fs::path&)>;

struct Case {
  Conversion how;
  Change more = [](Converter&, const fs::path&) {};
};

void apertus(Converter& gguf, const fs::path& folder) {
  ropeDivisors(gguf, folder, gguf.config().at("rope_parameters").at("rope_theta").get<double>());
  for (const char* name : {"alpha_p", "alpha_n", "beta", "eps"}) {
    std::vector<float> values;
    eachLayer(gguf, [&](const std::string& from, const std::string&) {
      values.push_back(gguf.read(from + "mlp.act_fn." + name).front());
    });
    gguf.reals(std::string("xielu.") + name, values);
  }
}

void exaone4(Converter& gguf, const fs::path&) {
  slidingKeys(gguf);
}

void ministral3(Converter& gguf, const fs::path&) {
  const Json& rope = gguf.config().at("rope_parameters");
  yarnKeys(gguf, rope);
  gguf.real("rope.scaling.yarn_log_multiplier", rope.at("mscale_all_dim").get<double>());
  gguf.real("attention.temperature_scale", rope.at("llama_4_scaling_beta").get<double>());
}

void olmo3(Converter& gguf, const fs::path&) {
  slidingKeys(gguf);
  const Json& rope = gguf.config().at("rope_parameters").at("full_attention");
  gguf.real("rope.freq_base", rope.at("rope_theta").get<double>());
  yarnKeys(gguf, rope);
}

void olmoe(Converter& gguf, const fs::path&) {
  expertCounts(gguf, "num_experts");
  stackExperts(gguf, "num_experts");
}

void qwen3Moe(Converter& gguf, const fs::path&) {
  expertCounts(gguf, "num_local_experts");
  stackExperts(gguf, "num_local_experts");
}

void glm4Moe(Converter& gguf, const fs::path&) {
  expertCounts(gguf, "n_routed_experts");
  stackExperts(gguf, "n_routed_experts");
  gguf.count("expert_shared_count", "n_shared_experts");
  gguf.count("leading_dense_block_count", "first_k_dense_replace");
  gguf.count("expert_group_count", "n_group");
  gguf.count("expert_group_used_count", "topk_group");
  gguf.real("expert_weights_scale", gguf.config().at("routed_scaling_factor").get<double>());
  gguf.flag("expert_weights_norm", true);
  gguf.key("expert_gating_func", 2);
  eachLayer(gguf, [&](const std::string& from, const std::string& to) {
    gguf.copy(from + "mlp.gate.e_score_correction_bias", to + "exp_probs_b.bias");
    for (const std::string part : {"gate", "up", "down"}) {
      gguf.copyBoth(from + "mlp.shared_experts." + part + "_proj", to + "ffn_" + part + "_shexp");
    }
  });
}

void graniteMultipliers(Converter& gguf) {
  for (const auto& [from, to] : {std::pair{"attention_multiplier", "attention.scale"},
                                 {"embedding_multiplier", "embedding_scale"},
                                 {"residual_multiplier", "residual_scale"},
                                 {"logits_scaling", "logit_scale"}}) {
    gguf.real(to, gguf.config().at(from).get<double>());
  }
}

void graniteMoe(Converter& gguf, const fs::path&) {
  graniteMultipliers(gguf);
  expertCounts(gguf, "num_local_experts");
  eachLayer(gguf, [&](const std::string& from, const std::string& to) {
    gguf.copyBoth(from + "block_sparse_moe.router.layer", to + "ffn_gate_inp");
    gguf.copyHalves(from + "block_sparse_moe.input_linear.weight", to + "ffn_gate_exps.weight",
                    to + "ffn_up_exps.weight");
    gguf.copy(from + "block_sparse_moe.output_linear.weight", to + "ffn_down_exps.weight");
  });
}

void graniteDense(Converter& gguf, const fs::path&) {
  graniteMultipliers(gguf);
  eachLayer(gguf, [&](const std::string& from, const std::string& to) {
    gguf.copyHalves(from + "shared_mlp.input_linear.weight", to + "ffn_gate.weight", to + "ffn_up.weight");
    gguf.copy(from + "shared_mlp.output_linear.weight", to + "ffn_down.weight");
  });
}

// [X, in, 2F] with gate in the even columns to two tensors [X, F, in]; [X, 2F] to two [X, F].
void splitColumns(Converter& gguf, const std::string& from, const std::string& gate, const std::string& up) {
  const std::vector<float> values = gguf.read(from);
  const std::vector<std::int64_t> shape = gguf.shape(from);
  const bool matrix = shape.size() == 3;
  const std::int64_t experts = shape[0], rows = matrix ? shape[1] : 1, columns = shape.back();
  for (const auto& [odd, name] : {std::pair{0, gate}, {1, up}}) {
    std::vector<float> out;
    for (std::int64_t x = 0; x < experts; ++x) {
      for (std::int64_t column = odd; column < columns; column += 2) {
        for (std::int64_t row = 0; row < rows; ++row) {
          out.push_back(values[static_cast<std::size_t>((x * rows + row) * columns + column)]);
        }
      }
    }
    std::vector<std::int64_t> target{experts, columns / 2};
    if (matrix) {
      target.push_back(rows);
    }
    gguf.write(name, target, out);
  }
}

void transposeEach(Converter& gguf, const std::string& from, const std::string& to) {
  const std::vector<float> values = gguf.read(from);
  const std::vector<std::int64_t> shape = gguf.shape(from);
  std::vector<float> out;
  for (std::int64_t x = 0; x < shape[0]; ++x) {
    for (std::int64_t column = 0; column < shape[2]; ++column) {
      for (std::int64_t row = 0; row < shape[1]; ++row) {
        out.push_back(values[static_cast<std::size_t>((x * shape[1] + row) * shape[2] + column)]);
      }
    }
  }
  gguf.write(to, {shape[0], shape[2], shape[1]}, out);
}

void gptOss(Converter& gguf, const fs::path&) {
  yarnKeys(gguf, gguf.config().at("rope_parameters"));
  gguf.count("attention.sliding_window", "sliding_window");
  expertCounts(gguf, "num_local_experts");
  eachLayer(gguf, [&](const std::string& from, const std::string& to) {
    gguf.copy(from + "self_attn.sinks", to + "attn_sinks.weight");
    gguf.copyBoth(from + "mlp.router", to + "ffn_gate_inp");
    splitColumns(gguf, from + "mlp.experts.gate_up_proj", to + "ffn_gate_exps.weight", to + "ffn_up_exps.weight");
    splitColumns(gguf, from + "mlp.experts.gate_up_proj_bias", to + "ffn_gate_exps.bias", to + "ffn_up_exps.bias");
    transposeEach(gguf, from + "mlp.experts.down_proj", to + "ffn_down_exps.weight");
    gguf.copy(from + "mlp.experts.down_proj_bias", to + "ffn_down_exps.bias");
  });
}

void stablelm(Converter& gguf, const fs::path&) {
  eachLayer(gguf, [&](const std::string& from, const std::string& to) {
    for (const auto& [name, heads] : {std::pair{"q", gguf.heads()}, {"k", gguf.kvHeads()}}) {
      const std::string norms = concat(from, "self_attn.", name, "_layernorm.norms.");
      if (gguf.has(norms + "0.weight")) {
        gguf.copyStacked(norms, static_cast<int>(heads), ".weight", concat(to, "attn_", name, "_norm.weight"));
      }
    }
  });
}

const std::map<std::string, Case>& cases() {
  static const std::map<std::string, Case> all{
      {"arcee", {{.architecture = "arcee", .paired = true}}},
      {"seed_oss", {{.architecture = "seed_oss", .mlpInTarget = "post_attention_norm"}}},
      {"nemotron", {{.architecture = "nemotron", .normOne = 1, .eps = "norm_eps"}}},
      {"apertus",
       {{.architecture = "apertus", .attentionIn = "attention_layernorm", .mlpIn = "feedforward_layernorm"}, apertus}},
      {"exaone4_full",
       {{.architecture = "exaone4",
         .attentionOut = "post_attention_layernorm",
         .mlpIn = nullptr,
         .mlpOut = "post_feedforward_layernorm"}}},
      {"exaone4_hybrid",
       {{.architecture = "exaone4",
         .attentionOut = "post_attention_layernorm",
         .mlpIn = nullptr,
         .mlpOut = "post_feedforward_layernorm"},
        exaone4}},
      {"ministral3_scale", {{.architecture = "mistral3", .paired = true}, ministral3}},
      {"mistral_full", {{.architecture = "mistral3", .paired = true}}},
      {"olmo3",
       {{.architecture = "olmo2",
         .attentionOut = "post_attention_layernorm",
         .mlpIn = nullptr,
         .mlpOut = "post_feedforward_layernorm"},
        olmo3}},
      {"olmoe", {{.architecture = "olmoe"}, olmoe}},
      {"qwen3_moe", {{.architecture = "qwen3moe"}, qwen3Moe}},
      {"glm4_moe", {{.architecture = "glm4moe", .mlpInTarget = "post_attention_norm"}, glm4Moe}},
      {"granitemoe", {{.architecture = "granitemoe", .paired = true}, graniteMoe}},
      {"granite4_dense", {{.architecture = "granite", .paired = true}, graniteDense}},
      {"gpt_oss", {{.architecture = "gpt-oss", .mlpInTarget = "post_attention_norm"}, gptOss}},
      {"stablelm_plain", {{.architecture = "stablelm", .eps = "layer_norm_eps"}, stablelm}},
      {"stablelm_parallel", {{.architecture = "stablelm", .eps = "layer_norm_eps"}, stablelm}},
      {"glm", {{.architecture = "chatglm"}}},
  };
  return all;
}

void verify(const GoldenReport& report) {
  for (const GoldenCheck& check : report.checks) {
    QVERIFY2(check.passed(), concat(check.quantity, " of ", check.worst, ": ", check.error).c_str());
  }
  QVERIFY(report.find("logits") != nullptr);
}

}  // namespace

class GgufArchitectures : public QObject {
  Q_OBJECT

 private slots:
  void initTestCase();
  void families_data();
  void families();
  void hunyuanBaseIsScaled();
  void qwen2MoeEqualsItsFolder();
  void predictionLayersAreLeftOut();
  void refusals_data();
  void refusals();
  void missingRopeKeysMeanWholeUnscaledRotation();

 private:
  fs::path target(const std::string& name) const { return fs::path(folder_.path().toStdString()) / (name + ".gguf"); }

  QTemporaryDir folder_;
};

void GgufArchitectures::initTestCase() {
  if (!fs::exists(kFamilies)) {
    QSKIP("../shared/models/families is not here");
  }
}

void GgufArchitectures::families_data() {
  QTest::addColumn<QString>("name");
  for (const auto& [name, one] : cases()) {
    QTest::newRow(name.c_str()) << QString::fromStdString(name);
  }
}

void GgufArchitectures::families() {
  QFETCH(QString, name);
  const std::string family = name.toStdString();
  const Case& one = cases().at(family);
  Converter gguf(kFamilies / family, one.how.architecture);
  convert(gguf, one.how);
  one.more(gguf, kFamilies / family);
  verify(checkGolden(*openOnCpu(gguf.save(target(family))), kFamilies / family / "golden.safetensors"));
}

// llama.cpp's converter works the base out from alpha.
void GgufArchitectures::hunyuanBaseIsScaled() {
  const fs::path folder = kFamilies / "hunyuan_dense";
  Converter gguf(folder, "hunyuan-dense");
  const Json rope = gguf.config().at("rope_parameters");
  convert(gguf, {.architecture = "hunyuan-dense",
                 .qNorm = "self_attn.query_layernorm",
                 .kNorm = "self_attn.key_layernorm",
                 .ropeBase = rope.at("rope_theta").get<double>() *
                             std::pow(rope.at("alpha").get<double>(),
                                      static_cast<double>(gguf.dim()) / static_cast<double>(gguf.dim() - 2))});
  gguf.text("rope.scaling.type", "none");
  gguf.real("rope.scaling.factor", 1);
  verify(checkGolden(*openOnCpu(gguf.save(target("hunyuan"))), folder / "golden.safetensors"));
}

// llama.cpp knows no windows there: the reference is the Hugging Face folder with its window switched off, which
// tst_model_families compares with transformers. A gate of one row is stored as a vector or as a matrix.
void GgufArchitectures::qwen2MoeEqualsItsFolder() {
  const fs::path folder = fs::path(folder_.path().toStdString()) / "qwen2_moe";
  fs::create_directory(folder);
  fs::copy(kFamilies / "qwen2_moe_nonorm/model.safetensors", folder);
  Json config = readJson(kFamilies / "qwen2_moe_nonorm/config.json");
  config["use_sliding_window"] = false;
  config.erase("layer_types");
  std::ofstream(folder / "config.json") << config.dump();
  RunOptions options;
  options.logits = true;
  const std::vector<std::int64_t> ids{1, 40, 7, 96, 12, 12, 3, 55, 21, 8, 60, 33};
  const RunResult expected = openOnCpu(folder)->run(ids, options);
  for (const bool vector : {false, true}) {
    Converter gguf(folder, "qwen2moe");
    convert(gguf, {.architecture = "qwen2moe"});
    expertCounts(gguf, "num_experts");
    gguf.count("expert_shared_feed_forward_length", "shared_expert_intermediate_size");
    stackExperts(gguf, "num_experts");
    eachLayer(gguf, [&](const std::string& from, const std::string& to) {
      const std::vector<float> gate = gguf.read(from + "mlp.shared_expert_gate.weight");
      const auto width = static_cast<std::int64_t>(gate.size());
      gguf.write(to + "ffn_gate_inp_shexp.weight",
                 vector ? std::vector<std::int64_t>{width} : std::vector<std::int64_t>{1, width}, gate);
      for (const std::string part : {"gate", "up", "down"}) {
        gguf.copyBoth(from + "mlp.shared_expert." + part + "_proj", to + "ffn_" + part + "_shexp");
      }
    });
    const RunResult result = openOnCpu(gguf.save(target("qwen2moe")))->run(ids, options);
    QCOMPARE(result.logits.size(), expected.logits.size());
    for (std::size_t i = 0; i < result.logits.size(); ++i) {
      QVERIFY(std::abs(result.logits[i] - expected.logits[i]) < 1e-6);
    }
  }
}

void GgufArchitectures::predictionLayersAreLeftOut() {
  const fs::path folder = kFamilies / "llama_plain";
  Converter gguf(folder, "llama");
  convert(gguf, {.architecture = "llama", .paired = true, .extraBlocks = 1});
  gguf.key("nextn_predict_layers", 1);
  verify(checkGolden(*openOnCpu(gguf.save(target("nextn"))), folder / "golden.safetensors"));
}

void GgufArchitectures::refusals_data() {
  QTest::addColumn<QString>("architecture");
  QTest::addColumn<QString>("change");
  QTest::addColumn<QString>("reason");
  QTest::newRow("folder only") << "gemma4"
                               << ""
                               << "Hugging Face folder";
  QTest::newRow("latent") << "deepseek2"
                          << ""
                          << "compressed latent";
  QTest::newRow("state space") << "jamba"
                               << ""
                               << "state-space";
  QTest::newRow("unknown") << "nobody"
                           << ""
                           << "\"nobody\" is not covered";
  QTest::newRow("not causal") << "llama"
                              << "causal"
                              << "not causal";
  QTest::newRow("image positions") << "llama"
                                   << "sections"
                                   << "axes of images";
  QTest::newRow("unknown scaling") << "llama"
                                   << "scaling"
                                   << "\"cubic\" is not known";
  QTest::newRow("scaling without its tensors") << "llama"
                                               << "longrope"
                                               << "rope_factors_short.weight";
  QTest::newRow("pairs of a part") << "llama"
                                   << "partial"
                                   << "stored in pairs";
  QTest::newRow("scaling that is no text") << "llama"
                                           << "number"
                                           << "rope.scaling.type\" is no text";
}

void GgufArchitectures::refusals() {
  QFETCH(QString, architecture);
  QFETCH(QString, change);
  QFETCH(QString, reason);
  const std::string arch = architecture.toStdString();
  Converter gguf(kFamilies / "llama_plain", arch);
  convert(gguf, {.architecture = "llama", .paired = true, .ropeKeys = change != "partial"});
  if (change == "causal") {
    gguf.flag("attention.causal", false);
  } else if (change == "sections") {
    const std::int32_t sections[] = {4, 2, 2, 0};
    gguf.integers("rope.dimension_sections", sections);
  } else if (change == "scaling" || change == "longrope") {
    gguf.text("rope.scaling.type", change == "scaling" ? "cubic" : "longrope");
  } else if (change == "partial") {
    gguf.key("rope.dimension_count", gguf.dim() / 2);
  } else if (change == "number") {
    gguf.key("rope.scaling.type", 7);
  }
  const fs::path file = gguf.save(target("refused"));
  try {
    openOnCpu(file);
    QFAIL("it was opened");
  } catch (const Error& error) {
    const std::string what = error.what();
    QVERIFY2(what.find(reason.toStdString()) != std::string::npos, what.c_str());
    QVERIFY2(what.find(file.string()) != std::string::npos, what.c_str());
    QVERIFY(what.find('\n') == std::string::npos);
  }
}

// Families have a share of their own that rotates; a GGUF file without the key rotates everything.
void GgufArchitectures::missingRopeKeysMeanWholeUnscaledRotation() {
  for (const auto& [family, arch, eps] :
       {std::tuple{"nemotron", "nemotron", "norm_eps"}, {"stablelm_plain", "stablelm", "layer_norm_eps"}}) {
    Converter gguf(kFamilies / family, arch);
    convert(gguf, {.architecture = arch, .normOne = 1, .eps = eps, .ropeKeys = false});
    const ModelInfo info = inspectModel(gguf.save(target("bare")));
    QCOMPARE(info.ropes.at(0).rotaryDims, static_cast<int>(gguf.dim()));
    QCOMPARE(info.ropes.at(0).base, 10000.0);
  }
  // The older key, without a type.
  Converter gguf(kFamilies / "llama_linear", "llama");
  convert(gguf, {.architecture = "llama", .paired = true});
  gguf.real("rope.scale_linear", 4);
  verify(checkGolden(*openOnCpu(gguf.save(target("older"))), kFamilies / "llama_linear/golden.safetensors"));
}

QTEST_GUILESS_MAIN(GgufArchitectures)
#include "tst_gguf_architectures.moc"
