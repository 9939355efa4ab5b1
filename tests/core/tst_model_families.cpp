// Every golden model of ../shared/models/families against what Hugging Face transformers computes with it, and a
// committed selection of the same files.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <map>

#include <QtTest>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/model/coverage.h"
#include "core/model/golden.h"
#include "core/model/model.h"
#include "core/model/verify.h"
#include "tests/support/test_machine.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kShared = fs::path(HEADSCOPE_SHARED) / "models/families";
const fs::path kCommitted = fs::path(HEADSCOPE_SOURCE) / "tests/golden/families";

bool covered(const std::string& family) {
  const std::vector<std::string> types = coveredModelTypes();
  const std::string inner = family == "gemma3" ? "gemma3_text" : family;
  return std::find(types.begin(), types.end(), inner) != types.end();
}

}  // namespace

class ModelFamilies : public QObject {
  Q_OBJECT

 private slots:
  void matchesGolden_data();
  void matchesGolden();
  void everyFamilyIsCovered();
  void specsMatchMetadata_data() { matchesGolden_data(); }
  void specsMatchMetadata();
  void notesTellPeculiarities();
  void committedTableHolds();
  void smallBlocksGiveTheSame_data() { matchesGolden_data(); }
  void smallBlocksGiveTheSame();
  void lowPrecisionStaysClose_data() { matchesGolden_data(); }
  void lowPrecisionStaysClose();
  void cleanupTestCase();

 private:
  void writeTable(const char* path) const;

  std::map<std::string, std::map<std::string, double>> largest_;  ///< family → quantity → error
  std::map<std::string, int> goldens_;
  std::string reference_;
};

void ModelFamilies::matchesGolden_data() {
  QTest::addColumn<QString>("folder");
  QTest::addColumn<QString>("golden");
  const fs::path root = fs::exists(kShared / "manifest.json") ? kShared : kCommitted;
  const Json manifest = readJson(root / "manifest.json");
  for (const Json& entry : manifest.at("cases")) {
    const std::string name = entry.at("case").get<std::string>();
    for (const Json& golden : entry.at("goldens")) {
      const std::string file = golden.get<std::string>();
      QTest::newRow((name + "/" + file).c_str())
          << QString::fromStdString((root / name).string()) << QString::fromStdString((root / name / file).string());
    }
  }
}

void ModelFamilies::matchesGolden() {
  QFETCH(QString, folder);
  QFETCH(QString, golden);
  ModelOptions options = test::testMachine();
  const auto model = Model::open(folder.toStdString(), options);
  const GoldenReport report = checkGolden(*model, golden.toStdString());
  for (const GoldenCheck& check : report.checks) {
    double& largest = largest_[report.family][check.quantity];
    largest = std::max(largest, check.error);
  }
  ++goldens_[report.family];
  reference_ = report.reference;
  QVERIFY(report.find("logits") != nullptr);
  QVERIFY(report.find("probabilities") != nullptr);
  for (const GoldenCheck& check : report.checks) {
    const std::string text =
        concat(check.quantity, " of ", check.worst, ": ", check.error, ", allowed ", check.tolerance);
    QVERIFY2(check.passed(), text.c_str());
  }
}

// What inspectModel() says about each layer against what transformers' own model object said.
void ModelFamilies::specsMatchMetadata() {
  QFETCH(QString, folder);
  QFETCH(QString, golden);
  if (golden.endsWith("golden_long.safetensors")) {
    return;  // another set of frequencies; the rest is alike
  }
  const ModelInfo info = inspectModel(folder.toStdString());
  const auto file = SafetensorsFile::open(golden.toStdString());
  const Json meta = Json::parse(file->metadata().at("headscope_golden"));
  QCOMPARE(info.layers, meta.at("layers").get<int>());
  QCOMPARE(info.vocab, meta.at("vocab").get<std::int64_t>());
  QCOMPARE(info.hidden, meta.at("hidden_size").get<std::int64_t>());
  QCOMPARE(info.tied, meta.at("tied").get<bool>());
  QCOMPARE(info.weightType, meta.at("weights_dtype").get<std::string>());
  for (std::size_t layer = 0; layer < info.attention.size(); ++layer) {
    const AttentionSpec& spec = info.attention[layer];
    QCOMPARE(info.shapes[layer].heads, meta.at("heads").at(layer).get<int>());
    QCOMPARE(info.shapes[layer].kvHeads, meta.at("kv_heads").at(layer).get<int>());
    QCOMPARE(info.shapes[layer].dim, meta.at("head_dim").at(layer).get<int>());
    QVERIFY(std::abs(spec.scale - meta.at("scale").at(layer).get<double>()) < 1e-12);
    const Json& window = meta.at("window").at(layer);
    QCOMPARE(spec.window.value_or(0), window.is_null() ? 0 : window.get<std::int64_t>());
    const Json& softcap = meta.at("softcap");
    QCOMPARE(spec.softcap.value_or(0), softcap.is_null() ? 0.0 : softcap.get<double>());
    const Rope none;
    const Rope& rope = spec.rope ? info.ropes.at(static_cast<std::size_t>(*spec.rope)) : none;
    QCOMPARE(rope.rotaryDims, meta.at("rotary_dims").at(layer).get<int>());
    QVERIFY(std::abs(rope.attentionScaling - meta.at("attention_scaling").at(layer).get<double>()) < 1e-9);
    if (spec.rope) {
      QCOMPARE(rope.pairing == RopePairing::Half, meta.at("rope_style") == "half");
    }
    QCOMPARE(spec.postRope.empty(), meta.at("post_rope_ops").empty());
  }
}

void ModelFamilies::notesTellPeculiarities() {
  if (!fs::exists(kShared)) {
    QSKIP("../shared/models/families is not here");
  }
  const auto says = [](const char* name, const char* text) {
    const ModelInfo info = inspectModel(kShared / name);
    return std::any_of(info.notes.begin(), info.notes.end(),
                       [&](const std::string& note) { return note.find(text) != std::string::npos; });
  };
  QVERIFY(says("smollm3_default", "no RoPE in layers 3, 7"));
  QVERIFY(says("gemma4_shared", "read in layers 3, 4"));
  QVERIFY(says("gpt_oss", "sink"));
  QVERIFY(says("llama_dynamic", "beyond 16 tokens"));
  QVERIFY(says("gemma3_wrapper_old", "multimodal"));
  QVERIFY(says("gemma3_explicit", "softcap"));
  QVERIFY(inspectModel(kShared / "llama_plain").notes.empty());
}

void ModelFamilies::everyFamilyIsCovered() {
  if (!fs::exists(kShared)) {
    QSKIP("../shared/models/families is not here");
  }
  const Json manifest = readJson(kShared / "manifest.json");
  for (const Json& entry : manifest.at("cases")) {
    QVERIFY2(covered(entry.at("family").get<std::string>()), entry.at("case").get<std::string>().c_str());
  }
}

// The block of query rows is a matter of speed only: windows, sinks and merged parts come out alike.
void ModelFamilies::smallBlocksGiveTheSame() {
  QFETCH(QString, folder);
  ModelOptions modelOptions = test::testMachine();
  const auto model = Model::open(folder.toStdString(), modelOptions);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 23; ++i) {
    ids.push_back((i * i * 7 + 3) % model->info().vocab);
  }
  RunOptions options;
  options.logits = true;
  const RunResult whole = model->run(ids, options);
  options.block = 5;
  const RunResult blocks = model->run(ids, options);
  QCOMPARE(whole.logits.size(), blocks.logits.size());
  float largest = 0, worst = 0;
  for (std::size_t i = 0; i < whole.logits.size(); ++i) {
    largest = std::max(largest, std::abs(whole.logits[i]));
    worst = std::max(worst, std::abs(whole.logits[i] - blocks.logits[i]));
  }
  QVERIFY2(worst <= 2e-5F * largest, concat(worst, " of ", largest).c_str());
  for (int layer = 0; layer < model->info().layers; ++layer) {
    const auto a = whole.capture->layer(layer).lse, b = blocks.capture->layer(layer).lse;
    QCOMPARE(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      QVERIFY2(std::abs(a[i] - b[i]) <= 1e-4F, concat("lse.", layer, " ", a[i], " ", b[i]).c_str());
    }
  }
}

// core/model/verified_families.inl is what `verify` shows: it must list what is covered and not be better than the
// truth (errors may grow by half on another processor).
void ModelFamilies::committedTableHolds() {
  if (!fs::exists(kShared)) {
    QSKIP("../shared/models/families is not here");
  }
  if (!test::onCpu()) {
    QSKIP("the table states errors on a CPU");
  }
  for (const auto& [family, quantities] : largest_) {
    const FamilyVerification* stated = findVerification(family);
    if (std::getenv("HEADSCOPE_WRITE_VERIFIED") != nullptr) {
      continue;
    }
    QVERIFY2(stated != nullptr, family.c_str());
    QCOMPARE(stated->goldens, goldens_.at(family));
    QCOMPARE(std::string(stated->reference), reference_);
    QVERIFY(quantities.at("logits") <= 2 * stated->logits + 1e-6);
    QVERIFY(quantities.at("probabilities") <= 2 * stated->probabilities + 1e-6);
  }
}

// bf16 and f16 arithmetic: rounding only. In bf16 a router may choose other experts, which is no rounding any more.
void ModelFamilies::lowPrecisionStaysClose() {
  QFETCH(QString, folder);
  QFETCH(QString, golden);
  for (const ArithmeticType type : {ArithmeticType::BF16, ArithmeticType::F16}) {
    ModelOptions options = test::testMachine();
    options.arithmetic = type;
    const auto model = Model::open(folder.toStdString(), options);
    QCOMPARE(model->arithmetic(), std::string(type == ArithmeticType::BF16 ? "bf16" : "f16"));
    const GoldenReport report = checkGolden(*model, golden.toStdString());
    const bool experts = folder.contains("moe") || folder.contains("mixtral") || folder.contains("gpt_oss");
    const double limit = type == ArithmeticType::F16 ? 1e-2 : experts ? 0.5 : 6e-2;
    QVERIFY2(report.find("logits")->error < limit, concat(report.find("logits")->error).c_str());
  }
}

// HEADSCOPE_WRITE_VERIFIED=core/model/verified_families.inl tst_model_families
void ModelFamilies::writeTable(const char* path) const {
  std::ofstream out(path);
  out << "// Generated by tst_model_families (HEADSCOPE_WRITE_VERIFIED); not to be edited.\n" << std::setprecision(2);
  for (const auto& [family, errors] : largest_) {
    const double queries = std::max(errors.at("q, k before RoPE"), errors.at("q, k after RoPE"));
    out << "{\"" << family << "\", \"" << reference_ << "\", " << goldens_.at(family) << ", " << queries << ", "
        << errors.at("probabilities") << ", " << errors.at("hidden states") << ", " << errors.at("logits") << "},\n";
  }
}

void ModelFamilies::cleanupTestCase() {
  for (const auto& [family, quantities] : largest_) {
    std::string line = family + ":";
    for (const auto& [quantity, error] : quantities) {
      line += concat("  ", quantity, " ", error);
    }
    qInfo("%s", line.c_str());
  }
  if (const char* path = std::getenv("HEADSCOPE_WRITE_VERIFIED")) {
    writeTable(path);
  }
}

QTEST_GUILESS_MAIN(ModelFamilies)
#include "tst_model_families.moc"
