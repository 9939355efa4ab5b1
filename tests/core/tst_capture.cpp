#include <QtTest>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/files/safetensors_writer.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

// A capture file taken apart, so that a test can damage one thing and put it together again.
struct LooseFile {
  Json metadata;
  std::map<std::string, TensorDeclaration> tensors;
  std::map<std::string, std::string> data;

  explicit LooseFile(const std::filesystem::path& path) {
    const auto file = SafetensorsFile::open(path);
    metadata = Json::parse(file->metadata().at("headscope"));
    for (const auto& [name, view] : file->tensors()) {
      tensors[name] = {name, view.type, view.shape};
      data[name] = {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
    }
  }

  void remove(const std::string& name) {
    tensors.erase(name);
    data.erase(name);
  }

  void write(const std::filesystem::path& path) const {
    std::vector<TensorDeclaration> declared;
    for (const auto& [name, tensor] : tensors) {
      declared.push_back(tensor);
    }
    SafetensorsWriter writer(path, declared, {{"headscope", metadata.dump()}, {"other", "kept out of the way"}});
    for (const auto& [name, bytes] : data) {
      writer.write(name, 0, std::as_bytes(std::span(bytes)));
    }
    writer.commit();
  }
};

std::string problemOf(const std::filesystem::path& path) {
  try {
    Capture::open(path);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool sameRows(const std::vector<FloatRows>& a, const std::vector<FloatRows>& b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::size_t bytes = static_cast<std::size_t>(a[i].rows * a[i].dim) * floatBytes(a[i].type);
    if (a[i].type != b[i].type || a[i].rows != b[i].rows || a[i].dim != b[i].dim ||
        std::memcmp(a[i].data, b[i].data, bytes) != 0) {
      return false;
    }
  }
  return true;
}

template <typename T>
bool sameSpans(std::span<const T> a, std::span<const T> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void compareCaptures(const Capture& a, const Capture& b) {
  QCOMPARE(a.tokens(), b.tokens());
  QCOMPARE(a.bytes(), b.bytes());
  QCOMPARE(a.header().layers, b.header().layers);
  QVERIFY(a.header().attention == b.header().attention);
  QVERIFY(a.header().ropes == b.header().ropes);
  QVERIFY(a.header().tokens == b.header().tokens);
  QVERIFY(a.header().text == b.header().text);
  QVERIFY(a.header().ids == b.header().ids);
  QVERIFY(a.header().positions == b.header().positions);
  for (int layer = 0; layer < a.header().layers; ++layer) {
    QVERIFY(sameRows(a.layer(layer).q, b.layer(layer).q));
    QVERIFY(sameRows(a.layer(layer).k, b.layer(layer).k));
    QVERIFY(sameRows(a.layer(layer).v, b.layer(layer).v));
    QVERIFY(sameSpans(a.layer(layer).lse, b.layer(layer).lse));
    QVERIFY(sameSpans(a.layer(layer).sinks, b.layer(layer).sinks));
  }
}

}  // namespace

class TstCapture : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void everyKindComesBackFromItsFile_data();
  void everyKindComesBackFromItsFile();
  void aRunIntoTheFileWritesTheBytesOfSave();
  void layersMayDiffer();
  void readersSeeReadyLayersOnly();
  void anUnfinishedFileLeavesNothing();
  void foreignCapturesMayLackTexts();
  void misalignedTensorsAreRead();
  void contradictionsAreNamed_data();
  void contradictionsAreNamed();
  void aWrongLseIsNamed_data();
  void aWrongLseIsNamed();
  void garbageIsRefused();

 private:
  std::filesystem::path at(const char* name) const { return folder_.filePath(name).toStdString(); }
  QTemporaryDir folder_;
};

void TstCapture::everyKindComesBackFromItsFile_data() {
  QTest::addColumn<int>("kind");
  const auto kinds = capturesOfEveryKind(40);
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    QTest::newRow(kinds[i].first.c_str()) << static_cast<int>(i);
  }
}

void TstCapture::everyKindComesBackFromItsFile() {
  QFETCH(int, kind);
  SyntheticCapture options = capturesOfEveryKind(40)[static_cast<std::size_t>(kind)].second;
  options.layers = 2;
  options.values = true;
  const auto capture = makeCapture(options);
  capture->save(at("a.safetensors"));
  const auto opened = Capture::open(at("a.safetensors"));
  compareCaptures(*capture, *opened);
  QVERIFY(opened->id() != capture->id());
  opened->save(at("b.safetensors"));
  QVERIFY(readFile(at("a.safetensors")) == readFile(at("b.safetensors")));
}

void TstCapture::aRunIntoTheFileWritesTheBytesOfSave() {
  SyntheticCapture options;
  options.layers = 3;
  options.sinks = true;
  const auto inMemory = makeCapture(options);
  inMemory->save(at("saved.safetensors"));
  options.file = at("direct.safetensors");
  const auto inFile = makeCapture(options);
  QVERIFY(readFile(at("saved.safetensors")) == readFile(at("direct.safetensors")));
  compareCaptures(*inMemory, *inFile);  // spans stay valid after finish()
}

void TstCapture::layersMayDiffer() {
  SyntheticCapture options;
  options.layers = 2;
  options.heads = 4;
  options.kvHeads = 2;
  CaptureHeader header = syntheticHeader(options);
  CaptureBuilder::Options built = syntheticOptions(options);
  built.shapes[1] = {4, 1, 12};
  CaptureBuilder builder(header, options.tokens, built);
  std::mt19937 random(3);
  for (int layer = 0; layer < 2; ++layer) {
    const auto target = builder.target(layer);
    const auto shape = built.shapes[static_cast<std::size_t>(layer)];
    fillRandom(target.q, built.type, shape.heads * options.tokens * shape.dim, 1, random);
    fillRandom(target.k, built.type, shape.kvHeads * options.tokens * shape.dim, 1, random);
    builder.finishLayer(layer);
    for (int head = 0; head < shape.heads; ++head) {
      const DenseHead dense = denseHead(*builder.capture(), layer, head);
      std::copy(dense.lse.begin(), dense.lse.end(), target.lse + head * options.tokens);
    }
  }
  builder.finish();
  builder.capture()->save(at("differ.safetensors"));
  const auto opened = Capture::open(at("differ.safetensors"));
  QCOMPARE(opened->layer(1).dim, 12);
  QCOMPARE(opened->layer(1).kvHeads, 1);
  QCOMPARE(opened->layer(1).kvHead(3), 0);
  QCOMPARE(opened->layer(0).kvHead(3), 1);
}

void TstCapture::readersSeeReadyLayersOnly() {
  SyntheticCapture options;
  options.layers = 3;
  CaptureBuilder builder(syntheticHeader(options), options.tokens, syntheticOptions(options));
  const auto capture = builder.capture();
  QCOMPARE(capture->readyLayers(), 0);
  QVERIFY_EXCEPTION_THROWN(capture->layer(0), Error);
  builder.target(1);
  builder.finishLayer(1);
  QVERIFY(capture->ready(1) && !capture->ready(0));
  QCOMPARE(capture->layer(1).heads, 2);
  QVERIFY_EXCEPTION_THROWN(capture->layer(3), Error);
  QVERIFY_EXCEPTION_THROWN(builder.finish(), Error);
}

void TstCapture::anUnfinishedFileLeavesNothing() {
  const std::filesystem::path inside = at("inside");
  std::filesystem::create_directory(inside);
  {
    SyntheticCapture options;
    options.file = inside / "c.safetensors";
    CaptureBuilder builder(syntheticHeader(options), options.tokens, syntheticOptions(options));
    builder.target(0);
    QVERIFY(!std::filesystem::exists(options.file));
  }
  QVERIFY(std::filesystem::is_empty(inside));
}

void TstCapture::foreignCapturesMayLackTexts() {
  makeCapture({})->save(at("full.safetensors"));
  LooseFile loose(at("full.safetensors"));
  loose.metadata.erase("tokens");
  loose.metadata.erase("text");
  loose.metadata["unknown"] = {{"nested", 1}};
  loose.metadata["attention"][0]["unknown"] = 7;
  loose.tensors["x.0"] = {"x.0", TensorType::U8, {1}};
  loose.data["x.0"] = "x";
  loose.remove("ids");
  loose.remove("lse.0");
  loose.write(at("foreign.safetensors"));
  const auto capture = Capture::open(at("foreign.safetensors"));
  QVERIFY(capture->header().tokens.empty() && capture->header().ids.empty() && capture->header().text.empty());
  QVERIFY(capture->layer(0).lse.empty());
  QCOMPARE(capture->tokens(), std::int64_t{64});
}

void TstCapture::misalignedTensorsAreRead() {
  const auto capture = makeCapture({});
  capture->save(at("aligned.safetensors"));
  const std::string bytes = readFile(at("aligned.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  std::string shifted = bytes.substr(0, 8 + length) + " " + bytes.substr(8 + length);
  ++length;
  std::memcpy(shifted.data(), &length, 8);
  writeFile(at("shifted.safetensors"), shifted);
  compareCaptures(*capture, *Capture::open(at("shifted.safetensors")));
}

void TstCapture::contradictionsAreNamed_data() {
  QTest::addColumn<QString>("pointer");  // JSON pointer, or the name of a tensor
  QTest::addColumn<QString>("value");    // JSON; empty: removed
  QTest::addColumn<QString>("named");
  const auto row = [](const char* pointer, const char* value, const char* named) {
    QTest::newRow((std::string(pointer) + " = " + value).c_str()) << pointer << value << named;
  };
  for (const char* key :
       {"version", "model", "family", "layers", "heads", "kv_heads", "head_dim", "attention", "ropes"}) {
    row((std::string("/") + key).c_str(), "", key);
  }
  for (const char* key : {"scale", "window", "softcap", "rope"}) {
    row((std::string("/attention/0/") + key).c_str(), "", key);
  }
  for (const char* key : {"pairing", "inv_freq", "attention_scaling", "rotary_dims", "base"}) {
    row((std::string("/ropes/0/") + key).c_str(), "", key);
  }
  row("/version", "2", "version 2");
  row("/layers", "1", "attention");
  row("/layers", "3", "attention");
  row("/layers", "-1", "layers");
  row("/layers", "1e30", "layers");
  row("/heads", "3", "heads");
  row("/heads", "4", "heads");
  row("/kv_heads", "2", "kv_heads");
  row("/head_dim", "16", "head_dim");
  row("/attention/1/scale", "\"x\"", "scale");
  row("/attention/1/scale", "1e999", "byte");
  row("/attention/1/window", "0", "window");
  row("/attention/1/softcap", "0", "softcap");
  row("/attention/1/rope", "1", "rope");
  row("/attention/1/post_rope", "[{\"op\":\"twist\"}]", "twist");
  row("/attention/1/post_rope", "[{\"op\":\"rms_norm\",\"eps\":1e-5,\"q\":\"nowhere\",\"k\":\"sinks.0\"}]", "nowhere");
  row("/attention/1/post_rope", "[{\"op\":\"rms_norm\",\"eps\":1e-5,\"q\":\"sinks.0\",\"k\":\"sinks.0\"}]", "rms_norm");
  row("/attention/1/post_rope", "[{\"op\":\"position_scale\",\"beta\":1,\"original\":0}]", "original");
  row("/ropes/0/pairing", "\"whole\"", "pairing");
  row("/ropes/0/inv_freq", "[1.0]", "inv_freq");
  row("/ropes/0/inv_freq", "[1.0,\"a\",1,1]", "inv_freq");
  row("/ropes/0/rotary_dims", "7", "rotary_dims");
  row("/ropes/0/base", "-5", "base");
  row("/tokens", "[\"a\"]", "tokens");
  row("/tokens", "7", "tokens");
  row("/tokens", "[1]", "tokens");
  row("/text", "3", "text");
  row("q.1", "", "q.1");
  row("k.0", "", "k.0");
  row("q.0", "[2,32,16]", "tokens");
  row("q.1", "[2,128,4]", "q.1");
  row("q.1", "[4,64,4]", "q.1");
  row("k.1", "[2,32,8]", "k.1");
  row("k.1", "[64,8]", "k.1");
  row("k.1", "[4,64,2]", "k.1");
  row("lse.1", "[64,2]", "lse.1");
  row("sinks.1", "[1,2]", "sinks.1");
  row("v.1", "[64,1,8]", "v.1");
  row("ids", "[2,32]", "ids");
}

void TstCapture::contradictionsAreNamed() {
  QFETCH(QString, pointer);
  QFETCH(QString, value);
  QFETCH(QString, named);
  SyntheticCapture options;
  options.layers = 2;
  options.sinks = true;
  options.values = true;
  makeCapture(options)->save(at("sound.safetensors"));
  LooseFile loose(at("sound.safetensors"));
  const std::string name = pointer.toStdString();
  if (name[0] != '/' && value.isEmpty()) {
    loose.remove(name);
  } else if (name[0] != '/') {
    loose.tensors.at(name).shape = Json::parse(value.toStdString()).get<std::vector<std::int64_t>>();
  } else if (value.isEmpty()) {
    const Json::json_pointer full(name);
    loose.metadata[full.parent_pointer()].erase(full.back());
  } else if (value == "1e999") {
    loose.metadata[Json::json_pointer(name)] = "number out of range";
  } else {
    loose.metadata[Json::json_pointer(name)] = Json::parse(value.toStdString());
  }
  if (value == "1e999") {  // no JSON library writes this
    std::string text = loose.metadata.dump();
    text.replace(text.find("\"number out of range\""), 21, "1e999");
    const auto file = SafetensorsFile::open(at("sound.safetensors"));
    SafetensorsWriter writer(at("bad.safetensors"), {}, {{"headscope", text}});
    writer.commit();
  } else {
    loose.write(at("bad.safetensors"));
  }
  const std::string problem = problemOf(at("bad.safetensors"));
  QVERIFY2(problem.find("bad.safetensors") != std::string::npos, problem.c_str());
  QVERIFY2(problem.find(named.toStdString()) != std::string::npos, problem.c_str());
  QVERIFY(problem.find('\n') == std::string::npos);
}

void TstCapture::aWrongLseIsNamed_data() {
  QTest::addColumn<int>("tokens");
  QTest::addColumn<int>("row");
  QTest::newRow("small, any row") << 64 << 17;
  QTest::newRow("first row") << 64 << 0;
  QTest::newRow("all rows of one head of a long one") << 6000 << -1;
}

void TstCapture::aWrongLseIsNamed() {
  QFETCH(int, tokens);
  QFETCH(int, row);
  SyntheticCapture options;
  options.layers = 2;
  options.heads = 8;
  options.kvHeads = 2;
  options.tokens = tokens;
  options.window = 40;
  const CaptureHeader header = syntheticHeader(options);
  CaptureBuilder builder(header, options.tokens, syntheticOptions(options));
  std::mt19937 random(5);
  for (int layer = 0; layer < 2; ++layer) {  // zeros as queries: every lse is the log of the visible keys' number
    const auto target = builder.target(layer);
    fillRandom(target.k, FloatType::F32, options.kvHeads * options.tokens * options.dim, 1, random);
    std::memset(target.q, 0, static_cast<std::size_t>(options.heads * options.tokens * options.dim) * 4);
    for (int head = 0; head < options.heads; ++head) {
      for (std::int64_t t = 0; t < tokens; ++t) {
        const bool spoilt = layer == 1 && head == 5 && (row < 0 || t == row);
        target.lse[head * tokens + t] =
            std::log(static_cast<float>(std::min<std::int64_t>(t + 1, *options.window))) + (spoilt ? 0.02f : 0.0f);
      }
    }
    builder.finishLayer(layer);
  }
  builder.finish();
  builder.capture()->save(at("lse.safetensors"));
  const std::string problem = problemOf(at("lse.safetensors"));
  QVERIFY2(problem.find("lse.1") != std::string::npos, problem.c_str());
}

void TstCapture::garbageIsRefused() {
  makeCapture({})->save(at("sound.safetensors"));
  const std::string sound = readFile(at("sound.safetensors"));
  std::mt19937 random(11);
  int refused = 0;
  for (int trial = 0; trial < 300; ++trial) {  // any byte of the header may change: an Error or a sound capture
    std::string bytes = sound.substr(0, trial % 3 == 0 ? random() % sound.size() : sound.size());
    if (trial % 3 != 0) {
      bytes[8 + random() % 1800] = static_cast<char>(random());
    }
    writeFile(at("garbage.safetensors"), bytes);
    try {
      QCOMPARE(Capture::open(at("garbage.safetensors"))->header().layers, 1);
    } catch (const Error&) {
      ++refused;
    }
  }
  QVERIFY(refused > 150);
  QVERIFY(!problemOf(at("absent.safetensors")).empty());
}

QTEST_GUILESS_MAIN(TstCapture)
#include "tst_capture.moc"
