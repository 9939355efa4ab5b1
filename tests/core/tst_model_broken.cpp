// Damaged, lying and unusual model files: ../shared/models/broken, and cases of our own.

#include <cmath>
#include <filesystem>
#include <fstream>

#include <QTemporaryDir>
#include <QtTest>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/model/model.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kBroken = fs::path(HEADSCOPE_SHARED) / "models/broken";

std::vector<float> logitsOf(const fs::path& path, const std::vector<std::int64_t>& ids) {
  ModelOptions options;
  options.device = "cpu";
  RunOptions run;
  run.logits = true;
  return Model::open(path, options)->run(ids, run).logits;
}

// A copy of the sound model with some keys of its config.json replaced.
fs::path changedConfig(const fs::path& target, const Json& changes) {
  fs::create_directories(target);
  fs::copy_file(kBroken / "base/model.safetensors", target / "model.safetensors");
  Json config = readJson(kBroken / "base/config.json");
  config.update(changes);
  std::ofstream(target / "config.json") << config.dump();
  return target;
}

}  // namespace

class ModelBroken : public QObject {
  Q_OBJECT

 private slots:
  void init();
  void manifest_data();
  void manifest();
  void refusesConfig_data();
  void refusesConfig();
  void unsupportedSaysSo_data();
  void unsupportedSaysSo();
  void missingPathIsNamed();
};

void ModelBroken::init() {
  if (!fs::exists(kBroken)) {
    QSKIP("../shared/models/broken is not here");
  }
}

void ModelBroken::manifest_data() {
  QTest::addColumn<QString>("path");
  QTest::addColumn<QString>("expect");
  if (!fs::exists(kBroken)) {
    return;
  }
  const Json manifest = readJson(kBroken / "manifest.json");
  for (const Json& entry : manifest.at("cases")) {
    if (entry.at("kind") == "tokenizer") {
      continue;  // tst_tokenizer's
    }
    QTest::newRow((entry.at("id").get<std::string>() + " " + entry.at("wrong").get<std::string>()).c_str())
        << QString::fromStdString((kBroken / entry.at("path").get<std::string>()).string())
        << QString::fromStdString(entry.at("expect").get<std::string>());
  }
}

void ModelBroken::manifest() {
  QFETCH(QString, path);
  QFETCH(QString, expect);
  const Json golden = readJson(kBroken / "base/golden.json");
  const auto ids = golden.at("ids").get<std::vector<std::int64_t>>();
  try {
    const std::vector<float> logits = logitsOf(path.toStdString(), ids);
    QVERIFY2(expect != "refuse", "was loaded");
    const auto expected = golden.at("logits").get<std::vector<std::vector<float>>>();
    QCOMPARE(logits.size(), expected.size() * expected.front().size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const float reference = expected[i / expected.front().size()][i % expected.front().size()];
      QVERIFY(std::abs(logits[i] - reference) < 1e-4F);
    }
  } catch (const Error& error) {
    QVERIFY2(expect != "load", error.what());
    const QString text = error.what();
    qInfo("%s", error.what());
    QVERIFY2(text.startsWith(path), "the file is not named");
    QVERIFY(!text.contains('\n') && text.size() < 600);
  }
}

void ModelBroken::refusesConfig_data() {
  QTest::addColumn<QString>("changes");
  QTest::addColumn<QString>("says");
  const auto row = [](const char* changes, const char* says) { QTest::newRow(changes) << changes << says; };
  row(R"({"rope_theta": 0})", "base");
  row(R"({"rope_theta": -10000})", "base");
  row(R"({"rope_theta": 1e400})", "JSON");
  row(R"({"rope_scaling": {"type": "linear", "factor": 0}})", "factor");
  row(R"({"rope_scaling": {"type": "linear"}})", "factor");
  row(R"({"rope_scaling": {"rope_type": "yarn", "factor": -2}})", "factor");
  row(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 1}})",
      "high_freq_factor");
  row(R"({"rope_scaling": {"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 1]}})", "factors");
  row(R"({"rope_scaling": [1, 2]})", "rope_scaling");
  row(R"({"rope_scaling": {"rope_type": 7}})", "rope_type");
  row(R"({"partial_rotary_factor": 1.5})", "partial_rotary_factor");
  row(R"({"partial_rotary_factor": 0.4})", "dims");
  row(R"({"num_hidden_layers": -1})", "num_hidden_layers");
  row(R"({"num_hidden_layers": 0})", "num_hidden_layers");
  row(R"({"num_hidden_layers": 2})", "model.layers.1.");
  row(R"({"num_hidden_layers": 1.5})", "num_hidden_layers");
  row(R"({"rms_norm_eps": -1})", "rms_norm_eps");
  row(R"({"head_dim": 0})", "head_dim");
  row(R"({"head_dim": 16})", "q_proj");
  row(R"({"vocab_size": 271})", "embed_tokens");
  row(R"({"intermediate_size": 17})", "gate_proj");
  row(R"({"tie_word_embeddings": false})", "lm_head");
  row(R"({"attention_bias": true})", "q_proj.bias");
  row(R"({"model_type": "gemma2"})", "layernorm");
  row(R"({"model_type": "qwen3_moe", "num_experts": 100000000, "num_experts_per_tok": 2, "moe_intermediate_size": 4})",
      "num_experts");
  row(R"({"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 9})", "num_experts_per_tok");
}

void ModelBroken::refusesConfig() {
  QFETCH(QString, changes);
  QFETCH(QString, says);
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "model";
  try {
    Json parsed = Json::object();
    if (changes.contains("1e400")) {
      fs::create_directories(path);
      fs::copy_file(kBroken / "base/model.safetensors", path / "model.safetensors");
      std::ofstream(path / "config.json") << changes.toStdString();
    } else {
      changedConfig(path, Json::parse(changes.toStdString()));
    }
    inspectModel(path);
    QFAIL("was accepted");
  } catch (const Error& error) {
    const QString text = error.what();
    QVERIFY2(text.contains(says), error.what());
    QVERIFY2(text.startsWith(QString::fromStdString(path.string())), error.what());
  }
}

void ModelBroken::unsupportedSaysSo_data() {
  QTest::addColumn<QString>("changes");
  QTest::addColumn<QString>("says");
  const auto row = [](const char* changes, const char* says) { QTest::newRow(changes) << changes << says; };
  row(R"({"model_type": "deepseek_v3"})", "latent");
  row(R"({"model_type": "qwen3_next"})", "state-space");
  row(R"({"model_type": "gpt2"})", "rotary");
  row(R"({"model_type": "nanochat"})", "rotation");
  row(R"({"model_type": "no_such_model"})", "no_such_model");
  row(R"({"model_type": "some_vlm", "text_config": {"model_type": "llama"}})", "some_vlm");
  row(R"({"quantization_config": {"quant_method": "awq"}})", "awq");
  row(R"({"rope_scaling": {"rope_type": "mrope"}})", "mrope");
  row(R"({"hidden_act": "mish"})", "mish");
  row(R"({"model_type": "qwen2", "layer_types": ["linear_attention"]})", "linear_attention");
  row(R"({"model_type": "granitemoehybrid"})", "layer_types");
  row(R"({"model_type": "gemma3_text", "use_bidirectional_attention": true})", "bidirectional");
}

void ModelBroken::unsupportedSaysSo() {
  QFETCH(QString, changes);
  QFETCH(QString, says);
  QTemporaryDir folder;
  const fs::path path =
      changedConfig(fs::path(folder.path().toStdString()) / "model", Json::parse(changes.toStdString()));
  try {
    inspectModel(path);
    QFAIL("was accepted");
  } catch (const Error& error) {
    QCOMPARE(error.kind(), ErrorKind::Unsupported);
    QVERIFY2(QString(error.what()).contains(says), error.what());
  }
}

void ModelBroken::missingPathIsNamed() {
  for (const char* path : {"/no/such/folder", "/no/such/file.gguf"}) {
    try {
      Model::open(path);
      QFAIL("was opened");
    } catch (const Error& error) {
      QVERIFY(QString(error.what()).contains(path));
    }
  }
}

QTEST_GUILESS_MAIN(ModelBroken)
#include "tst_model_broken.moc"
