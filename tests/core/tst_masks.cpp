// The mask room: every format read, written and refused; scores cut; axes changed.

#include <QTemporaryDir>
#include <QtTest>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/files/npy.h"
#include "core/masks/mask_conversion.h"
#include "core/masks/mask_file.h"

using namespace headscope;

Q_DECLARE_METATYPE(headscope::MaskKind)
Q_DECLARE_METATYPE(headscope::MaskAxis)
Q_DECLARE_METATYPE(headscope::MaskDirection)

namespace {

using Pairs = std::vector<std::pair<int, int>>;

const MaskShape kShape{3, 4, 2};

template <typename Number>
void put(std::string& out, Number value) {
  char bytes[sizeof(Number)];
  std::memcpy(bytes, &value, sizeof(Number));
  out.append(bytes, sizeof(Number));
}

std::uint32_t crc(const std::string& data) {
  std::uint32_t value = 0xFFFFFFFFU;
  for (const char c : data) {
    value ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
    }
  }
  return ~value;
}

// A ZIP archive with stored entries.
std::string zip(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string archive;
  std::string central;
  for (const auto& [name, data] : entries) {
    const auto offset = static_cast<std::uint32_t>(archive.size());
    const auto head = [&](std::string& out) {
      put<std::uint16_t>(out, 0);  // flags
      put<std::uint16_t>(out, 0);  // stored
      put<std::uint32_t>(out, 0);  // time
      put<std::uint32_t>(out, crc(data));
      put<std::uint32_t>(out, static_cast<std::uint32_t>(data.size()));
      put<std::uint32_t>(out, static_cast<std::uint32_t>(data.size()));
      put<std::uint16_t>(out, static_cast<std::uint16_t>(name.size()));
      put<std::uint16_t>(out, 0);
    };
    put<std::uint32_t>(archive, 0x04034b50);
    put<std::uint16_t>(archive, 20);
    head(archive);
    archive += name + data;
    put<std::uint32_t>(central, 0x02014b50);
    put<std::uint16_t>(central, 20);
    put<std::uint16_t>(central, 20);
    head(central);
    put<std::uint16_t>(central, 0);  // comment
    put<std::uint16_t>(central, 0);
    put<std::uint16_t>(central, 0);
    put<std::uint32_t>(central, 0);
    put<std::uint32_t>(central, offset);
    central += name;
  }
  const auto offset = static_cast<std::uint32_t>(archive.size());
  archive += central;
  put<std::uint32_t>(archive, 0x06054b50);
  put<std::uint32_t>(archive, 0);
  put<std::uint16_t>(archive, static_cast<std::uint16_t>(entries.size()));
  put<std::uint16_t>(archive, static_cast<std::uint16_t>(entries.size()));
  put<std::uint32_t>(archive, static_cast<std::uint32_t>(central.size()));
  put<std::uint32_t>(archive, offset);
  put<std::uint16_t>(archive, 0);
  return archive;
}

void pickleText(std::string& out, const std::string& text) {
  out += 'X';
  put<std::uint32_t>(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

void pickleTuple(std::string& out, const std::vector<int>& numbers) {
  out += '(';
  for (const int number : numbers) {
    out += 'K';
    out += static_cast<char>(number);
  }
  out += 't';
}

// torch.save's instructions for {name: float tensor of that shape}, the data of tensor n in storage n.
std::string tensorPickle(const std::vector<std::pair<std::string, std::vector<int>>>& tensors) {
  std::string out("\x80\x02}", 3);
  int key = 0;
  for (const auto& [name, shape] : tensors) {
    int count = 1;
    std::vector<int> stride(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      stride[axis] = count;
      count *= shape[axis];
    }
    pickleText(out, name);
    out += "ctorch._utils\n_rebuild_tensor_v2\n((";
    pickleText(out, "storage");
    out += "ctorch\nFloatStorage\n";
    pickleText(out, std::to_string(key++));
    pickleText(out, "cpu");
    out += 'K';
    out += static_cast<char>(count);
    out += "tQK";
    out += '\0';
    pickleTuple(out, shape);
    pickleTuple(out, stride);
    out +=
        "\x89"
        "ccollections\nOrderedDict\n)RtRs";
  }
  return out + ".";
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// Two layers of three heads: head_z drops (0, 1), head_layer_z drops all of layer 1.
std::string cofiFile() {
  const std::string pickle = tensorPickle({{"head_z", {2, 1, 3, 1, 1}}, {"head_layer_z", {2}}});
  return zip({{"zs/data.pkl", pickle},
              {"zs/byteorder", "little"},
              {"zs/data/0", floats({0.9F, 0, 0.7F, 1, 1, 1})},
              {"zs/data/1", floats({0.8F, 0})}});
}

std::string npyFile(const QString& folder, const std::vector<float>& values, std::vector<std::int64_t> shape) {
  const std::string path = folder.toStdString() + "/array.npy";
  writeNpy(path, shape, values);
  return readFile(path);
}

const char* const kRetrieval = R"({"0-0": [0, 0.5], "0-1": [0.1, 0.1], "1-0": [1.0], "1-1": [0.0]})";
const char* const kMergekit =
    "# a cut\nslices:\n  - sources:\n      - model: org/base\n        layer_range: [0, 2]\n"
    "  - sources:\n    - model: \"org/base\"\n      layer_range: [3, 6]\nmerge_method: passthrough\ndtype: bfloat16\n";
const char* const kBlocks =
    R"({"num_hidden_layers": 3, "num_attention_heads": 8, "block_configs": [
    {"attention": {"n_heads_in_group": 4, "no_op": false, "replace_with_linear": false}, "ffn": {"ffn_mult": 2.5, "no_op": false}},
    {"attention": {"n_heads_in_group": null, "no_op": true, "replace_with_linear": false}, "ffn": {"ffn_mult": 1.0, "no_op": false}},
    {"attention": {"n_heads_in_group": 8, "no_op": false, "replace_with_linear": false}, "ffn": {"ffn_mult": 2.5, "no_op": false}}]})";
const char* const kOrder =
    R"({"method": "ShortGPT", "score_type": "BI", "model": "m", "bi": [0.9, 0.2, 0.1, 0.4], "prune_order": [2, 1, 3, 0]})";
const char* const kHeadscope =
    R"({"format": "headscope-mask", "version": 1, "model": "m", "family": "llama",
  "shape": {"layers": 2, "heads": 4, "kv_heads": 2}, "axis": "query", "direction": "drop",
  "heads": [{"layer": 0, "head": 2, "note": "sink ␣", "scores": {"entropy": 0.25}}, {"layer": 0, "head": 3}],
  "kv_groups": [{"layer": 0, "kv_head": 1, "pruned": 2, "size": 2, "removable": true}]})";

}  // namespace

class TstMasks : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  int files_ = 0;

  std::filesystem::path path(const QString& name) {
    const QString sub = QStringLiteral("%1/%2").arg(folder_.path()).arg(files_++);
    QDir().mkpath(sub);
    return std::filesystem::path(sub.toStdString()) / name.toStdString();
  }

  std::filesystem::path file(const QString& name, const std::string& content) {
    const auto target = path(name);
    writeFile(target, content);
    return target;
  }

  std::string problemOf(const std::filesystem::path& target, const MaskHints& hints, ErrorKind* kind = nullptr) {
    try {
      readMask(target, hints);
    } catch (const Error& error) {
      if (kind != nullptr) {
        *kind = error.kind();
      }
      return error.what();
    }
    return "";
  }

 private Q_SLOTS:
  void readsEveryFormat_data();
  void readsEveryFormat();
  void refusesWhatIsWrong_data();
  void refusesWhatIsWrong();
  void asksForTheShape_data();
  void asksForTheShape();
  void writesAndReadsEveryFormat_data();
  void writesAndReadsEveryFormat();
  void keepsNotesScoresAndGroups();
  void readsScores();
  void cutsScores();
  void keepsHeadsWithoutScores();
  void changesAxes();
  void writesWhatConsumersRead();
  void refusesToOrderBySimilarity();
  void makesPublishedOrders();
  void cutsOrders();
  void tellsMisreadings();
  void clipsNearlyValidValues();
  void refusesPicklesThatAskForMore();
  void survivesDamage_data();
  void survivesDamage();
};

void TstMasks::readsEveryFormat_data() {
  QTest::addColumn<QString>("name");
  QTest::addColumn<QByteArray>("content");
  QTest::addColumn<MaskKind>("kind");
  QTest::addColumn<MaskAxis>("axis");
  QTest::addColumn<MaskDirection>("direction");
  QTest::addColumn<QString>("shape");   // layers,heads,kvHeads
  QTest::addColumn<QString>("pruned");  // l.h or layers

  const auto row = [](const char* tag, const char* name, const std::string& content, MaskKind kind, MaskAxis axis,
                      MaskDirection direction, const char* shape, const char* pruned) {
    QTest::newRow(tag) << QString(name) << QByteArray::fromStdString(content) << kind << axis << direction
                       << QString(shape) << QString(pruned);
  };
  const auto q = MaskAxis::Query;
  const auto keep = MaskDirection::Keep;
  const auto drop = MaskDirection::Drop;
  const auto score = MaskDirection::Score;
  row("pruned_heads", "p.json", R"({"0": [1], "2": [3, 0]})", MaskKind::PrunedHeads, q, drop, "3,4,2", "0.1 2.0 2.3");
  row("pruned_heads in a config", "config.json", R"({"model_type": "gpt2", "pruned_heads": {"1": [0]}})",
      MaskKind::PrunedHeads, q, drop, "3,4,2", "1.0");
  row("nothing pruned", "p.json", "{}", MaskKind::PrunedHeads, q, drop, "3,4,2", "");
  row("headscope", "h.json", kHeadscope, MaskKind::Headscope, q, drop, "2,4,2", "0.2 0.3");
  row("bertology", "m.npy", npyFile(folder_.path(), {1, 0, 1, 1, 1, 0}, {2, 3}), MaskKind::Bertology, q, keep, "2,3,0",
      "0.1 1.2");
  row("transformer_lens", "m.npy", npyFile(folder_.path(), {0.25, 0, -1, 1}, {2, 2}), MaskKind::TransformerLens, q,
      score, "2,2,0", "");
  row("duo_attention", "full_attention_heads.tsv", "1.0e+00\t2.0e-01\n4.9e-01\t5.0e-01\n", MaskKind::DuoAttention,
      MaskAxis::Kv, keep, "2,0,2", "0.1 1.0");
  row("prulong", "masks.tsv", "1.0\t0.0\r\n0.0\t1.0\r\n", MaskKind::Prulong, MaskAxis::Kv, keep, "2,0,2", "0.1 1.0");
  row("prulong by its content", "labels.tsv", "1.0\t0.0\n", MaskKind::Prulong, MaskAxis::Kv, keep, "1,0,2", "0.1");
  row("retrieval_head", "r.json", kRetrieval, MaskKind::RetrievalHead, q, score, "2,2,0", "");
  row("qrhead", "c.yaml", "# top 3\nattn_head_set: \"0-1,1-0,2-3\" # chosen\nmodel_name_or_path: \"org/m\"\n",
      MaskKind::QrHead, q, keep, "3,4,2", "0.0 0.2 0.3 1.1 1.2 1.3 2.0 2.1 2.2");
  row("qrhead, all", "c.yaml", "attn_head_set: full_heads\n", MaskKind::QrHead, q, keep, "3,4,2", "");
  row("qrhead_scores", "s.json", R"([["1-0", 0.9], ["0-0", 0.5], ["0-1", 0.25], ["1-1", 0.1]])", MaskKind::QrHeadScores,
      q, score, "2,2,0", "");
  row("minference", "m.json",
      R"([{"0": ["vertical_and_slash", 1000, 6096, 0.96], "1": ["stream_llm", 100, 800, 0.965]},
          {"0": ["block_sparse", 1, 2, 1.0], "1": ["stream_llm", 100, 800, 1]}])",
      MaskKind::Minference, q, keep, "2,2,0", "0.1 1.1");
  row("cofi", "zs.pt", cofiFile(), MaskKind::Cofi, q, keep, "2,3,0", "0.1 1.0 1.1 1.2");
  row("mergekit", "cut.yaml", kMergekit, MaskKind::Mergekit, MaskAxis::Layer, keep, "8,0,0", "2 6 7");
  row("llama_cpp, the list", "layers.txt", "0,3,7\n", MaskKind::LlamaCpp, MaskAxis::Layer, drop, "8,0,0", "0 3 7");
  row("llama_cpp, the command", "cut.sh", "llama-quantize --prune-layers 3,7,1 in.gguf out.gguf q4_k_m\n",
      MaskKind::LlamaCpp, MaskAxis::Layer, drop, "8,0,0", "1 3 7");
  row("block_configs", "config.json", kBlocks, MaskKind::BlockConfigs, MaskAxis::Layer, keep, "3,8,0", "1");
  row("tappa_scores", "bi.json", R"({"score_type": "BI", "model": "m", "scores": [0.5, 0.1], "prune_order": [1, 0]})",
      MaskKind::TappaScores, MaskAxis::Layer, score, "2,0,0", "");
  row("tappa_order", "o.json", kOrder, MaskKind::TappaOrder, MaskAxis::Layer, drop, "4,0,0", "");
  row("tappa_order, removed", "o.json", R"({"layers_to_remove": [5, 2]})", MaskKind::TappaOrder, MaskAxis::Layer, drop,
      "8,0,0", "2 5");
  row("tappa_order, by number", "o.json", R"({"orders": {"1": [6], "2": [6, 2]}})", MaskKind::TappaOrder,
      MaskAxis::Layer, drop, "8,0,0", "");
}

void TstMasks::readsEveryFormat() {
  QFETCH(QString, name);
  QFETCH(QByteArray, content);
  QFETCH(MaskKind, kind);
  QFETCH(MaskAxis, axis);
  QFETCH(MaskDirection, direction);
  QFETCH(QString, shape);
  QFETCH(QString, pruned);
  const QStringList numbers = shape.split(',');
  const MaskShape expected{numbers[0].toInt(), numbers[1].toInt(), numbers[2].toInt()};
  MaskHints hints;
  hints.shape = expected;  // used where the file lacks it
  const MaskDocument document = readMask(file(name, content.toStdString()), hints);
  QCOMPARE(maskKindName(document.kind), maskKindName(kind));
  QCOMPARE(document.axis, axis);
  QCOMPARE(document.direction, direction);
  QCOMPARE(document.shape.layers, expected.layers);
  QCOMPARE(document.shape.heads, expected.heads);
  QCOMPARE(document.shape.kvHeads, expected.kvHeads);
  QStringList found;
  for (const auto& [layer, head] : document.pruned()) {
    found << QStringLiteral("%1.%2").arg(layer).arg(head);
  }
  for (const int layer : document.prunedLayers()) {
    found << QString::number(layer);
  }
  QCOMPARE(found.join(' '), pruned);
}

void TstMasks::refusesWhatIsWrong_data() {
  QTest::addColumn<QString>("name");
  QTest::addColumn<QByteArray>("content");
  QTest::addColumn<QString>("says");
  const auto row = [](const char* tag, const char* name, const std::string& content, const char* says) {
    QTest::newRow(tag) << QString(name) << QByteArray::fromStdString(content) << QString(says);
  };
  row("empty file", "x.json", "", "no mask format");
  row("no mask", "x.txt", "once upon a time", "no mask format");
  row("cut JSON", "x.json", R"({"0": [1], "1")", "not valid JSON");
  row("key twice", "x.json", R"({"0": [1], "0": [2]})", "there twice");
  row("head out of range", "x.json", R"({"0": [4]})", "head 4 of layer 0");
  row("layer out of range", "x.json", R"({"3": []})", "layer 3");
  row("head twice", "x.json", R"({"0": [1, 1]})", "twice");
  row("negative head", "x.json", R"({"0": [-1]})", "no head number");
  row("head is text", "x.json", R"({"0": ["1"]})", "no head number");
  row("other shape", "x.npy", npyFile(folder_.path(), {1, 0}, {1, 2}), "is for 1 layers, the model has 3");
  row("flat array", "x.npy", npyFile(folder_.path(), {1, 0}, {2}), "expected [layers, heads]");
  row("NaN score", "x.npy", npyFile(folder_.path(), {0.5, std::nanf("")}, {1, 2}), "is for 1 layers");
  row("uneven table", "masks.tsv", "1.0\t0.0\n1.0\n", "has 1 numbers for layer 1");
  row("word in a table", "masks.tsv", "1.0\tyes\n", "no number");
  row("value far off", "masks.tsv", "1.2\t0.0\n", "expected numbers from 0 to 1");
  row("NaN in a table", "masks.tsv", "nan\t0.0\n", "expected numbers from 0 to 1");
  row("retrieval, a head is missing", "x.json", R"({"0-0": [1], "0-1": [1], "1-0": [1]})", "every head");
  row("retrieval, no trials", "x.json", R"({"0-0": []})", "no list of scores");
  row("retrieval, no number", "x.json", R"({"0-0": [null]})", "no number");
  row("qrhead, bad name", "x.yaml", "attn_head_set: \"0-1,5\"\n", "\"5\"");
  row("qrhead, out of range", "x.yaml", "attn_head_set: \"0-9\"\n", "head 9 of layer 0");
  row("qrhead_scores, bad entry", "x.json", R"([["0-0", 1], ["0-1"]])", "layer-head");
  row("minference, unknown pattern", "x.json", R"([{"0": ["dense", 1, 1, 1]}])", "pattern of MInference");
  row("minference, too short", "x.json", R"([{"0": ["stream_llm", 1, 1]}])", "pattern of MInference");
  row("mergekit, overlap", "x.yaml",
      "slices:\n- sources:\n  - model: m\n    layer_range: [0, 2]\n- sources:\n  - model: m\n    layer_range: [1, 3]\n",
      "overlapping");
  row("mergekit, beyond the end", "x.yaml", "slices:\n- sources:\n  - model: m\n    layer_range: [0, 4]\n",
      "up to 4, but there are 3");
  row("mergekit, empty range", "x.yaml", "slices:\n- sources:\n  - model: m\n    layer_range: [2, 2]\n", "layer_range");
  row("mergekit, a real merge", "x.yaml",
      "slices:\n- sources:\n  - model: m\n    layer_range: [0, 2]\nmerge_method: slerp\n", "passthrough");
  row("mergekit, two models", "x.yaml",
      "slices:\n- sources:\n  - model: m\n    layer_range: [0, 1]\n- sources:\n  - model: n\n    layer_range: [2, 3]\n",
      "more than one model");
  row("mergekit, an anchor", "x.yaml", "slices: &a\n- sources: *a\n", "not read here");
  row("llama_cpp, twice", "x.txt", "1,1", "twice");
  row("llama_cpp, blanks", "x.txt", "1, 2", "no blanks");
  row("llama_cpp, out of range", "x.txt", "3", "layer 3");
  row("block_configs, wrong count", "x.json",
      R"({"num_hidden_layers": 2, "num_attention_heads": 4, "block_configs": [{"attention": {"n_heads_in_group": 2}}]})",
      "contradicts");
  row("block_configs, no whole groups", "x.json",
      R"({"num_attention_heads": 4, "block_configs": [{"attention": {"n_heads_in_group": 3}}]})", "is for 1 layers");
  row("tappa, no order", "x.json", R"({"prune_order": []})", "empty");
  row("tappa, falls in its own score", "x.json",
      R"({"method": "ShortGPT", "bi": [0.3, 0.2, 0.1], "prune_order": [0, 1, 2]})", "does not rise");
  row("tappa, incomplete", "x.json", R"({"method": "ShortGPT", "bi": [0.3, 0.2, 0.1], "prune_order": [2, 1]})",
      "each of 3 layers once");
  row("tappa, twice", "x.json", R"({"prune_order": [1, 1, 0]})", "twice");
  row("tappa, lengths differ", "x.json", R"({"bi": [1, 2, 3], "tappa_score": [1, 2], "prune_order": [0, 1, 2]})",
      "different lengths");
  row("tappa scores, null", "x.json", R"({"score_type": "BI", "scores": [0.1, null, 0.2]})", "no number");
  row("tappa scores, other kind", "x.json", R"({"score_type": "magic", "scores": [0.1]})", "expected BI");
  row("headscope, other version", "x.json", R"({"format": "headscope-mask", "version": 2})", "version 2");
  row("headscope, lying groups", "x.json",
      R"({"format": "headscope-mask", "version": 1, "shape": {"layers": 3, "heads": 4, "kv_heads": 2}, "axis": "query",
          "direction": "drop", "heads": [{"layer": 0, "head": 0}],
          "kv_groups": [{"layer": 0, "kv_head": 0, "pruned": 1, "size": 2, "removable": true}]})",
      "contradicts");
  row("headscope, bad axis", "x.json",
      R"({"format": "headscope-mask", "version": 1, "shape": {"layers": 3, "heads": 4}, "axis": "rows",
          "direction": "drop", "heads": []})",
      "\"axis\"");
  row("safetensors without our key", "x.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10), "headscope_mask");
  row("zip without a pickle", "zs.pt", zip({{"a.txt", "hello"}}), "none of torch.save");
  row("torch file without head_z", "zs.pt",
      zip({{"zs/data.pkl", tensorPickle({{"mlp_z", {2}}})}, {"zs/data/0", floats({1, 1})}}), "head_z");
  row("torch file, data too short", "zs.pt",
      zip({{"zs/data.pkl", tensorPickle({{"head_z", {3, 1, 4, 1, 1}}})}, {"zs/data/0", floats({1, 1})}}),
      "longer than");
}

void TstMasks::refusesWhatIsWrong() {
  QFETCH(QString, name);
  QFETCH(QByteArray, content);
  QFETCH(QString, says);
  MaskHints hints;
  hints.shape = kShape;
  const auto target = file(name, content.toStdString());
  ErrorKind kind = ErrorKind::Usage;
  const std::string problem = problemOf(target, hints, &kind);
  QVERIFY2(QString::fromStdString(problem).contains(says), problem.c_str());
  QVERIFY2(problem.find(target.string()) == 0, problem.c_str());
  QCOMPARE(kind, ErrorKind::Input);
}

void TstMasks::asksForTheShape_data() {
  QTest::addColumn<QString>("name");
  QTest::addColumn<QByteArray>("content");
  QTest::newRow("pruned_heads") << "x.json" << QByteArray(R"({"0": [1]})");
  QTest::newRow("qrhead") << "x.yaml" << QByteArray("attn_head_set: \"0-1\"\n");
  QTest::newRow("qrhead_scores") << "x.json" << QByteArray(R"([["1-0", 0.5], ["0-1", 0.4]])");
  QTest::newRow("minference") << "x.json" << QByteArray(R"([{"1": ["stream_llm", 1, 1, 1]}, {}])");
  QTest::newRow("mergekit") << "x.yaml" << QByteArray(kMergekit);
  QTest::newRow("llama_cpp") << "x.txt" << QByteArray("1,2");
  QTest::newRow("removed layers") << "x.json" << QByteArray(R"({"removed_layers": [1]})");
  QTest::newRow("block_configs") << "x.json"
                                 << QByteArray(R"({"block_configs": [{"attention": {"n_heads_in_group": 2}}]})");
}

void TstMasks::asksForTheShape() {
  QFETCH(QString, name);
  QFETCH(QByteArray, content);
  ErrorKind kind = ErrorKind::Input;
  const std::string problem = problemOf(file(name, content.toStdString()), {}, &kind);
  QVERIFY2(problem.find("--shape") != std::string::npos, problem.c_str());
  QCOMPARE(kind, ErrorKind::Usage);
}

void TstMasks::writesAndReadsEveryFormat_data() {
  QTest::addColumn<MaskKind>("kind");
  for (const MaskKind kind : allMaskKinds()) {
    if (kind != MaskKind::Cofi && kind != MaskKind::TappaScores) {
      QTest::newRow(maskKindName(kind)) << kind;
    }
  }
}

void TstMasks::writesAndReadsEveryFormat() {
  QFETCH(MaskKind, kind);
  const bool layers = kind == MaskKind::Mergekit || kind == MaskKind::LlamaCpp || kind == MaskKind::BlockConfigs ||
                      kind == MaskKind::TappaOrder;
  MaskDocument source;
  source.shape = kShape;
  source.axis = layers ? MaskAxis::Layer : MaskAxis::Query;
  source.keep =
      layers ? std::vector<std::uint8_t>{1, 0, 1} : std::vector<std::uint8_t>{1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0};
  source.model = "org/model";
  const MaskDocument converted = convertMask(source, kind, {{}, GroupRule::Any});
  const auto target = path(kind == MaskKind::DuoAttention  ? "labels"
                           : kind == MaskKind::Safetensors ? "m.safetensors"
                                                           : "m");
  writeMask(target, kind, converted);
  MaskHints hints;
  hints.shape = kShape;
  MaskDocument back = readMask(target, hints);
  // An array of only 0 and 1 is a mask, whatever it was written as.
  QCOMPARE(maskKindName(back.kind), maskKindName(kind == MaskKind::TransformerLens ? MaskKind::Bertology : kind));
  QVERIFY(back.misreadings.empty());
  if (back.keep.empty()) {
    back = cutMask(back, MaskCut{0.5, {}, {}});
  }
  if (layers) {
    QCOMPARE(back.prunedLayers(), std::vector<int>{1});
  } else if (back.axis == MaskAxis::Kv) {
    QCOMPARE(back.pruned(), (Pairs{{0, 1}, {2, 1}}));
  } else {
    QCOMPARE(back.pruned(), (Pairs{{0, 2}, {0, 3}, {2, 2}, {2, 3}}));
  }
}

void TstMasks::keepsNotesScoresAndGroups() {
  MaskDocument document = readMask(file("h.json", kHeadscope));
  QCOMPARE(document.remarks.size(), std::size_t{1});
  QCOMPARE(document.remarks[0].note, std::string("sink ␣"));
  QCOMPARE(document.remarks[0].scores, (std::vector<std::pair<std::string, double>>{{"entropy", 0.25}}));
  QCOMPARE(document.allWarnings(), std::vector<std::string>{});
  document.scores = {0.1, 1.0 / 3, std::nan(""), 1e-300, 5, 6, 7, 8};
  document.scoreName = "entropy";
  const auto target = path("out.json");
  writeMask(target, MaskKind::Headscope, document);
  const MaskDocument back = readMask(target);
  QCOMPARE(back.remarks, document.remarks);
  QCOMPARE(back.model, document.model);
  QCOMPARE(back.family, document.family);
  QCOMPARE(back.keep, document.keep);
  QCOMPARE(back.scores.size(), document.scores.size());
  QCOMPARE(back.scores[1], 1.0 / 3);
  QVERIFY(std::isnan(back.scores[2]));
  QCOMPARE(back.scores[3], 1e-300);
  const Json json = readJson(target);
  QCOMPARE(json.at("kv_groups").size(), std::size_t{1});
  QCOMPARE(json.at("kv_groups")[0].at("removable").get<bool>(), true);

  document.keep.assign(document.keep.size(), 0);
  QCOMPARE(document.allWarnings().size(), std::size_t{2});
}

void TstMasks::readsScores() {
  const MaskDocument retrieval = readMask(file("r.json", kRetrieval));
  QCOMPARE(retrieval.scores, (std::vector<double>{0.25, 0.1, 1.0, 0.0}));
  const MaskDocument lens = readMask(file("m.npy", npyFile(folder_.path(), {0.25F, 0, -1, 1}, {2, 2})));
  QCOMPARE(lens.scores[0], 0.25);
  QVERIFY(std::isnan(lens.scores[2]));
  QCOMPARE(lens.warnings.size(), std::size_t{1});
}

void TstMasks::cutsScores() {
  const MaskDocument document = readMask(file("r.json", kRetrieval));  // 0.25 0.1 1.0 0.0
  QCOMPARE(cutMask(document, {0.25, {}, {}}).pruned(), (Pairs{{0, 1}, {1, 1}}));
  // numpy.quantile([0.25, 0.1, 1.0, 0.0], 0.5) = 0.175; 0.25 → 0.075; 1 → 1.0; 0 → 0.0
  QCOMPARE(cutMask(document, {{}, 0.5, {}}).pruned(), (Pairs{{0, 1}, {1, 1}}));
  QCOMPARE(cutMask(document, {{}, 0.25, {}}).pruned(), (Pairs{{1, 1}}));
  QCOMPARE(cutMask(document, {{}, 1.0, {}}).pruned(), (Pairs{{0, 0}, {0, 1}, {1, 1}}));
  QCOMPARE(cutMask(document, {{}, 0.0, {}}).pruned(), Pairs{});
  QCOMPARE(cutMask(document, {{}, {}, 3}).pruned(), (Pairs{{0, 0}, {0, 1}, {1, 1}}));
  QVERIFY_EXCEPTION_THROWN(cutMask(document, {{}, {}, 5}), Error);
  // Ties go by index.
  const MaskDocument ties = readMask(file("r.json", R"({"0-0": [1], "0-1": [0.5], "0-2": [0.5], "0-3": [0.5]})"));
  QCOMPARE(cutMask(ties, {{}, {}, 2}).pruned(), (Pairs{{0, 1}, {0, 2}}));
  // A mask has no scores.
  const MaskDocument mask = readMask(file("m.npy", npyFile(folder_.path(), {1, 0}, {1, 2})));
  QVERIFY_EXCEPTION_THROWN(cutMask(mask, {0.5, {}, {}}), Error);
  // Without a cut, scores are no mask.
  QVERIFY_EXCEPTION_THROWN(convertMask(document, MaskKind::PrunedHeads, {}), Error);
}

void TstMasks::keepsHeadsWithoutScores() {
  const MaskDocument lens = readMask(file("m.npy", npyFile(folder_.path(), {0.25F, 0, -1, 1}, {2, 2})));
  const MaskDocument cut = cutMask(lens, {0.5, {}, {}});
  QCOMPARE(cut.pruned(), (Pairs{{0, 0}, {0, 1}}));
  QVERIFY(cut.warnings.size() > lens.warnings.size());
}

void TstMasks::changesAxes() {
  MaskDocument query = readMask(file("m.npy", npyFile(folder_.path(), {1, 0, 0, 0, 1, 1, 1, 0}, {2, 4})));
  QVERIFY_EXCEPTION_THROWN(maskToAxis(query, MaskAxis::Kv, GroupRule::Any), Error);  // KV heads unknown
  query.shape.kvHeads = 2;
  QVERIFY_EXCEPTION_THROWN(maskToAxis(query, MaskAxis::Kv, std::nullopt), Error);  // no rule
  QCOMPARE(maskToAxis(query, MaskAxis::Kv, GroupRule::Any).pruned(), (Pairs{{0, 1}}));
  QCOMPARE(maskToAxis(query, MaskAxis::Kv, GroupRule::All).pruned(), (Pairs{{0, 0}, {0, 1}, {1, 1}}));
  QCOMPARE(maskToAxis(query, MaskAxis::Kv, GroupRule::Mean).pruned(), (Pairs{{0, 1}}));
  MaskHints hints;
  hints.shape.heads = 6;
  const MaskDocument kv = readMask(file("masks.tsv", "1.0\t0.0\n0.25\t1.0\n"), hints);
  const MaskDocument repeated = maskToAxis(kv, MaskAxis::Query, std::nullopt);
  QCOMPARE(repeated.pruned(), (Pairs{{0, 3}, {0, 4}, {0, 5}, {1, 0}, {1, 1}, {1, 2}}));
  QCOMPARE(repeated.scores, (std::vector<double>{1, 1, 1, 0, 0, 0, 0.25, 0.25, 0.25, 1, 1, 1}));
  MaskDocument odd = kv;
  odd.shape.heads = 5;
  QVERIFY_EXCEPTION_THROWN(maskToAxis(odd, MaskAxis::Query, std::nullopt), Error);
  MaskHints other;
  other.axis = MaskAxis::Query;
  QVERIFY(problemOf(file("masks.tsv", "1.0\t0.0\n"), other).find("kv axis, not query") != std::string::npos);
  QVERIFY_EXCEPTION_THROWN(convertMask(kv, MaskKind::LlamaCpp, {}), Error);
  MaskHints layers;
  layers.shape.layers = 8;
  QVERIFY_EXCEPTION_THROWN(convertMask(readMask(file("l.txt", "1,2"), layers), MaskKind::PrunedHeads, {}), Error);
}

void TstMasks::writesWhatConsumersRead() {
  MaskDocument mask;
  mask.shape = {2, 2, 1};
  mask.keep = {1, 0, 1, 1};
  const auto written = [&](MaskKind kind, const char* name, const MaskConversion& conversion = {}) {
    const auto target = path(name);
    writeMask(target, kind, convertMask(mask, kind, conversion), {"org/m", 64, 256, {}});
    return std::filesystem::is_directory(target) ? readFile(target / "full_attention_heads.tsv") : readFile(target);
  };
  QCOMPARE(written(MaskKind::PrunedHeads, "a"), std::string("{\"0\": [1]}\n"));
  QCOMPARE(written(MaskKind::Prulong, "b", {{}, GroupRule::All}), std::string("0.0\n1.0\n"));
  QCOMPARE(written(MaskKind::DuoAttention, "c", {{}, GroupRule::All}),
           std::string("0.000000000000000000e+00\n1.000000000000000000e+00\n"));
  QCOMPARE(written(MaskKind::RetrievalHead, "d"),
           std::string("{\"0-0\": [1.0], \"0-1\": [0.0], \"1-0\": [1.0], \"1-1\": [1.0]}\n"));
  QCOMPARE(written(MaskKind::QrHead, "e"),
           std::string("attn_head_set: \"0-0,1-0,1-1\"\nmodel_base_class: m\nmodel_name_or_path: org/m\n"));
  QCOMPARE(written(MaskKind::Minference, "f"),
           std::string("[{\"0\": [\"vertical_and_slash\", 1000, 6096, 1.0], \"1\": [\"stream_llm\", 100, 800, 1.0]}, "
                       "{\"0\": [\"vertical_and_slash\", 1000, 6096, 1.0], \"1\": [\"vertical_and_slash\", 1000, 6096, "
                       "1.0]}]\n"));
  const auto folder = path("labels");
  writeMask(folder, MaskKind::DuoAttention, convertMask(mask, MaskKind::DuoAttention, {{}, GroupRule::Any}),
            {"", 64, 256, {}});
  QCOMPARE(readJson(folder / "config.json").at("sink_size").get<int>(), 64);
  QVERIFY_EXCEPTION_THROWN(writeMask(path("z"), MaskKind::Cofi, mask), Error);

  MaskDocument cut;
  cut.axis = MaskAxis::Layer;
  cut.shape = {6, 8, 4};
  cut.keep = {1, 1, 0, 1, 0, 1};
  const auto target = path("cut.yaml");
  QVERIFY_EXCEPTION_THROWN(writeMask(target, MaskKind::Mergekit, cut), Error);  // no name
  QVERIFY(!std::filesystem::exists(target));
  writeMask(target, MaskKind::Mergekit, cut, {"org/m", 128, 256, {}});
  QCOMPARE(readFile(target), std::string("slices:\n  - sources:\n      - model: org/m\n        layer_range: [0, 2]\n"
                                         "  - sources:\n      - model: org/m\n        layer_range: [3, 4]\n"
                                         "  - sources:\n      - model: org/m\n        layer_range: [5, 6]\n"
                                         "merge_method: passthrough\ndtype: bfloat16\n"));
  const auto blocks = path("config.json");
  writeMask(blocks, MaskKind::BlockConfigs, cut);
  const MaskDocument back = readMask(blocks);
  QCOMPARE(back.kvHeadsPerLayer, (std::vector<int>{4, 4, 0, 4, 0, 4}));
  QVERIFY(back.warnings.empty());
}

void TstMasks::refusesToOrderBySimilarity() {
  const auto target = file(
      "q.json", R"({"score_type": "q_similarity", "model": "m", "scores": [0.9, 0.2, 0.5], "prune_order": [1, 2, 0]})");
  const MaskDocument document = readMask(target);
  QCOMPARE(document.order, (std::vector<int>{1, 2, 0}));
  QCOMPARE(document.warnings.size(), std::size_t{1});
  for (const MaskKind kind : {MaskKind::TappaOrder, MaskKind::LlamaCpp, MaskKind::Mergekit}) {
    try {
      convertMask(document, kind, {{{}, {}, 1}, {}});
      QFAIL("an order was made of q-similarity");
    } catch (const Error& error) {
      QVERIFY(error.problem().find("no order of removal") != std::string::npos);
      QCOMPARE(error.kind(), ErrorKind::Input);
    }
  }
}

void TstMasks::makesPublishedOrders() {
  const std::filesystem::path shared = HEADSCOPE_SHARED;
  if (!std::filesystem::exists(shared / "data/tappa-scores")) {
    QSKIP("the published scores (../shared/data/tappa-scores) are not here");
  }
  for (const char* model : {"llama-2-7b", "llama-3.1-8b", "qwen-2.5-7b"}) {
    const MaskDocument scores = readMask(shared / "data/tappa-scores" / concat(model, "_bi.json"));
    const auto target = path("order.json");
    writeMask(target, MaskKind::TappaOrder, convertMask(scores, MaskKind::TappaOrder, {}));
    const Json made = readJson(target);
    const Json published = readJson(shared / "tappa/bi/orders" / concat(model, "_shortgpt.json"));
    for (const char* key : {"method", "score_type", "model", "bi", "prune_order"}) {
      QVERIFY2(made.at(key) == published.at(key), key);
    }
    // Every published order file is read, and rises in its own score.
    for (const char* beta : {"0.1", "0.2", "0.3"}) {
      const auto file = shared / "tappa/bi/orders" / concat(model, "_tappa_beta", beta, ".json");
      const MaskDocument order = readMask(file);
      QCOMPARE(order.order, readJson(file).at("prune_order").get<std::vector<int>>());
      const auto copy = path("copy.json");
      writeMask(copy, MaskKind::TappaOrder, order);
      QVERIFY(readJson(copy) == readJson(file));
    }
  }
}

void TstMasks::cutsOrders() {
  const MaskDocument order = readMask(file("o.json", kOrder));  // 2, 1, 3, 0
  QVERIFY_EXCEPTION_THROWN(convertMask(order, MaskKind::LlamaCpp, {}), Error);
  const MaskDocument cut = convertMask(order, MaskKind::LlamaCpp, {{{}, {}, 2}, {}});
  QCOMPARE(cut.prunedLayers(), (std::vector<int>{1, 2}));
  const auto target = path("removed.json");
  writeMask(target, MaskKind::TappaOrder, convertMask(order, MaskKind::TappaOrder, {{{}, {}, 3}, {}}));
  QCOMPARE(readJson(target).at("layers_to_remove").get<std::vector<int>>(), (std::vector<int>{2, 1, 3}));
  QVERIFY_EXCEPTION_THROWN(cutMask(order, {{}, {}, 5}), Error);
}

void TstMasks::tellsMisreadings() {
  const auto misreadings = [&](const char* name, const std::string& content) {
    return readMask(file(name, content)).misreadings.size();
  };
  QCOMPARE(misreadings("r.json", kRetrieval), std::size_t{0});
  QCOMPARE(misreadings("r.json", R"({"0-1": [1], "0-0": [1]})"), std::size_t{1});
  QCOMPARE(misreadings("r.json", "{\"0-0\": [1],\n\"0-1\": [1]}"), std::size_t{1});
  QCOMPARE(misreadings("r.json", "{\"0-0\": [1]}\n\n"), std::size_t{0});
  QCOMPARE(misreadings("r.json", "\n{\"0-0\": [1]}"), std::size_t{1});
  QCOMPARE(misreadings("s.json", R"([["0-0", 0.1], ["0-1", 0.9]])"), std::size_t{1});
  QCOMPARE(misreadings("full_attention_heads.tsv", "1.0e+00\n"), std::size_t{1});  // no config.json
}

void TstMasks::clipsNearlyValidValues() {
  const MaskDocument document = readMask(file("masks.tsv", "1.04\t-0.03\n0.5\t0.0\n"));
  QCOMPARE(document.scores, (std::vector<double>{1, 0, 0.5, 0}));
  QCOMPARE(document.warnings.size(), std::size_t{1});
  QVERIFY(document.warnings[0].find("2 values") == 0);
}

void TstMasks::refusesPicklesThatAskForMore() {
  const char code[] =
      "\x80\x02"
      "cposix\nsystem\nX\x04\0\0\0echo\x85R.";
  const std::string evil(code, sizeof(code) - 1);
  for (const std::string& content : {evil, zip({{"zs/data.pkl", evil}})}) {
    const std::string problem = problemOf(file("zs.pt", content), {});
    QVERIFY2(problem.find("posix.system") != std::string::npos, problem.c_str());
  }
  std::string deep("\x80\x02", 2);
  deep += std::string(200000, ']');
  QVERIFY(problemOf(file("zs.pt", deep), {}).find("longer than") != std::string::npos);
}

void TstMasks::survivesDamage_data() {
  readsEveryFormat_data();
}

// Cut at every length and with bytes changed: a file is read or refused with its name, nothing else.
void TstMasks::survivesDamage() {
  QFETCH(QString, name);
  QFETCH(QByteArray, content);
  MaskHints hints;
  hints.shape = {8, 16, 4};
  const auto target = path(name);
  std::mt19937 random(7);
  const auto attempt = [&](const QByteArray& bytes) {
    QFile damaged(QString::fromStdString(target.string()));  // writeFile would wait for the disk each time
    QVERIFY(damaged.open(QIODevice::WriteOnly) && damaged.write(bytes) == bytes.size());
    damaged.close();
    const std::string problem = problemOf(target, hints);
    QVERIFY2(problem.empty() || problem.find(target.parent_path().string()) == 0, problem.c_str());
  };
  const int step = std::max(1, int(content.size()) / 60);
  for (int length = 0; length < content.size(); length += step) {
    attempt(content.left(length));
  }
  for (int round = 0; round < 60; ++round) {
    QByteArray damaged = content;
    const auto at = int(random() % std::uint32_t(content.size()));
    damaged[at] = char(random());
    attempt(damaged);
  }
}

QTEST_GUILESS_MAIN(TstMasks)
#include "tst_masks.moc"
