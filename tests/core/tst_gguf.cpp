#include <sys/resource.h>

#include <QtTest>
#include <filesystem>
#include <functional>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/dequantize.h"
#include "core/files/gguf_reader.h"
#include "tests/support/broken_models.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/memory_file.h"

using namespace headscope;
using namespace headscope::test;
namespace fs = std::filesystem;

namespace {

using Change = std::function<void(GgufBuilder&)>;

std::string problemOf(const fs::path& path) {
  try {
    GgufFile::open(path);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

template <typename Number>
std::string packed(std::initializer_list<Number> numbers) {
  std::string bytes;
  for (const Number number : numbers) {
    appendNumber(bytes, number);
  }
  return bytes;
}

std::string packedTexts(std::initializer_list<std::string_view> texts) {
  std::string bytes;
  for (const std::string_view text : texts) {
    appendText(bytes, text);
  }
  return bytes;
}

/// Two tensors: a [2, 3] F32 and b [1, 32] Q8_0.
GgufBuilder sound() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama");
  builder.tensor("a", GgufType::F32, {3, 2}, packed<float>({0, 1, 2, 3, 4, 5}));
  builder.tensor("b", GgufType::Q8_0, {32, 1}, std::string(34, '\1'));
  return builder;
}

/// One part of a file split in `count`, holding one tensor.
std::string part(int number, int count, const std::string& tensor, int total) {
  GgufBuilder builder;
  if (number == 0) {
    builder.text("general.architecture", "llama");
  }
  builder.number("split.no", GgufValueType::U16, static_cast<std::uint16_t>(number));
  builder.number("split.count", GgufValueType::U16, static_cast<std::uint16_t>(count));
  builder.number("split.tensors.count", GgufValueType::I32, static_cast<std::int32_t>(total));
  builder.tensor(tensor, GgufType::F32, {1}, packed<float>({static_cast<float>(number)}));
  return builder.bytes();
}

long peakKilobytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

class TestGguf : public QObject {
  Q_OBJECT

 private slots:
  void readsTensors();
  void readsEveryValueType();
  void toleratesWhatGgmlTolerates_data();
  void toleratesWhatGgmlTolerates();
  void refuses_data();
  void refuses();
  void everyCutIsRefused();
  void sparseLiesCostNoMemory_data();
  void sparseLiesCostNoMemory();
  void splits();
  void refusesBadSplits_data();
  void refusesBadSplits();
  void readerReads();
  void readerRefuses_data();
  void readerRefuses();
  void perLayerValues();
  void readerWantsAnArchitecture();
  void brokenCases_data();
  void brokenCases();
};

void TestGguf::readsTensors() {
  const MemoryFile file(sound().bytes());
  const auto opened = GgufFile::open(file.path());
  QCOMPARE(opened->tensors().size(), 2u);
  QCOMPARE(opened->parts(), std::size_t{1});
  const GgufTensor& a = opened->at("a");
  QVERIFY(a.type == GgufType::F32);
  QCOMPARE(a.shape, (std::vector<std::int64_t>{2, 3}));
  QCOMPARE(a.rows(), 2);
  QCOMPARE(a.rowElements(), 3);
  float value = 0;
  std::memcpy(&value, a.bytes.data() + 4 * 4, sizeof value);
  QCOMPARE(value, 4.0F);
  const GgufTensor& b = opened->at("b");
  QCOMPARE(b.shape, (std::vector<std::int64_t>{1, 32}));
  QCOMPARE(b.bytes.size(), std::size_t{34});
  QVERIFY(opened->find("c") == nullptr);
  QVERIFY_EXCEPTION_THROWN(opened->at("c"), Error);
  QCOMPARE(opened->fileBytes(), static_cast<std::uint64_t>(sound().bytes().size()));
}

void TestGguf::readsEveryValueType() {
  GgufBuilder builder;
  builder.number("u8", GgufValueType::U8, std::uint8_t{255});
  builder.number("i8", GgufValueType::I8, std::int8_t{-128});
  builder.number("u16", GgufValueType::U16, std::uint16_t{65535});
  builder.number("i16", GgufValueType::I16, std::int16_t{-32768});
  builder.number("u32", GgufValueType::U32, std::uint32_t{4294967295U});
  builder.number("i32", GgufValueType::I32, std::int32_t{-7});
  builder.number("f32", GgufValueType::F32, 1.5F);
  builder.number("bool", GgufValueType::Bool, std::uint8_t{0});
  builder.text("string", "Grüße");
  builder.number("u64", GgufValueType::U64, ~std::uint64_t{0});
  builder.number("i64", GgufValueType::I64, std::int64_t{-1});
  builder.number("f64", GgufValueType::F64, 0.1);
  builder.array("empty", 4, 0, "");
  builder.array("array", 5, 3, packed<std::int32_t>({1, -2, 3}));
  const MemoryFile file(builder.bytes());
  const auto opened = GgufFile::open(file.path());
  QCOMPARE(std::get<std::uint64_t>(*opened->value("u8")), std::uint64_t{255});
  QCOMPARE(std::get<std::int64_t>(*opened->value("i8")), std::int64_t{-128});
  QCOMPARE(std::get<std::uint64_t>(*opened->value("u16")), std::uint64_t{65535});
  QCOMPARE(std::get<std::int64_t>(*opened->value("i16")), std::int64_t{-32768});
  QCOMPARE(std::get<std::uint64_t>(*opened->value("u32")), std::uint64_t{4294967295U});
  QCOMPARE(std::get<std::int64_t>(*opened->value("i32")), std::int64_t{-7});
  QCOMPARE(std::get<double>(*opened->value("f32")), 1.5);
  QCOMPARE(std::get<bool>(*opened->value("bool")), false);
  QVERIFY(std::get<std::string_view>(*opened->value("string")) == "Grüße");
  QCOMPARE(std::get<std::uint64_t>(*opened->value("u64")), ~std::uint64_t{0});
  QCOMPARE(std::get<std::int64_t>(*opened->value("i64")), std::int64_t{-1});
  QCOMPARE(std::get<double>(*opened->value("f64")), 0.1);
  QCOMPARE(std::get<GgufArray>(*opened->value("empty")).count, std::uint64_t{0});
  const auto& array = std::get<GgufArray>(*opened->value("array"));
  QVERIFY(array.type == GgufValueType::I32);
  QCOMPARE(array.bytes.size(), std::size_t{12});
  QVERIFY(opened->value("nothing") == nullptr);
}

void TestGguf::toleratesWhatGgmlTolerates_data() {
  QTest::addColumn<QByteArray>("content");
  const auto row = [](const char* name, const Change& change) {
    GgufBuilder builder = sound();
    change(builder);
    const std::string bytes = builder.bytes();
    QTest::newRow(name) << QByteArray(bytes.data(), static_cast<qsizetype>(bytes.size()));
  };
  row("version 2", [](GgufBuilder& b) { b.version = 2; });
  row("no padding at the end", [](GgufBuilder& b) { b.padEnd = false; });
  row("true is 7", [](GgufBuilder& b) { b.number("x", GgufValueType::Bool, std::uint8_t{7}); });
  row("key that is not UTF-8", [](GgufBuilder& b) { b.text("\xff\xfe", "\xff"); });
  row("token that is not UTF-8", [](GgufBuilder& b) { b.array("x", 8, 1, packedTexts({"\xe2\x82"})); });
  row("scalar", [](GgufBuilder& b) { b.tensor("s", GgufType::F32, {}, "1234"); });
  row("four axes", [](GgufBuilder& b) { b.tensor("s", GgufType::F16, {2, 1, 3, 1}, std::string(12, 'x')); });
  row("name of 63 bytes", [](GgufBuilder& b) { b.tensor(std::string(63, 'n'), GgufType::I8, {1}, "x"); });
  for (const std::uint32_t alignment : {8U, 64U, 4096U}) {
    row(concat("alignment ", alignment).c_str(), [alignment](GgufBuilder& b) {
      b.alignment = alignment;
      b.number("general.alignment", GgufValueType::U32, alignment);
    });
  }
  const std::string rest = sound().bytes() + "bytes after the last tensor";
  QTest::newRow("bytes after the last tensor") << QByteArray(rest.data(), static_cast<qsizetype>(rest.size()));
  GgufBuilder vocabulary;
  vocabulary.text("general.architecture", "llama");
  const std::string only = vocabulary.bytes();
  QTest::newRow("no tensors") << QByteArray(only.data(), static_cast<qsizetype>(only.size()));
  QTest::newRow("nothing at all") << QByteArray("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
}

void TestGguf::toleratesWhatGgmlTolerates() {
  QFETCH(QByteArray, content);
  const MemoryFile file(std::string_view(content.data(), static_cast<std::size_t>(content.size())));
  QCOMPARE(problemOf(file.path()), std::string());
}

void TestGguf::refuses_data() {
  QTest::addColumn<QByteArray>("content");
  QTest::addColumn<QString>("problem");
  const auto row = [](const char* name, const char* problem, const Change& change) {
    GgufBuilder builder = sound();
    change(builder);
    const std::string bytes = builder.bytes();
    QTest::newRow(name) << QByteArray(bytes.data(), static_cast<qsizetype>(bytes.size())) << problem;
  };
  const auto number = [](std::string& bytes, auto value) { appendNumber(bytes, value); };
  row("magic", "no GGUF file", [](GgufBuilder& b) { b.magic = "GGML"; });
  row("version 0", "big-endian", [](GgufBuilder& b) { b.version = 0; });
  row("version 1", "version 1", [](GgufBuilder& b) { b.version = 1; });
  row("version 4", "version 4", [](GgufBuilder& b) { b.version = 4; });
  row("big-endian", "big-endian", [](GgufBuilder& b) { b.version = 0x03000000; });
  row("negative tensors", "says that it has -1 tensors", [](GgufBuilder& b) { b.tensorCount = -1; });
  row("2^62 tensors", "tensors", [](GgufBuilder& b) { b.tensorCount = std::int64_t{1} << 62; });
  row("a tensor too many", "", [](GgufBuilder& b) { b.tensorCount = 3; });
  row("negative keys", "says that it has -5 metadata keys", [](GgufBuilder& b) { b.keyCount = -5; });
  row("2^62 keys", "metadata keys", [](GgufBuilder& b) { b.keyCount = std::int64_t{1} << 62; });
  row("a key too many", "", [](GgufBuilder& b) { b.keyCount = 2; });
  row("key without a name", "without a name", [](GgufBuilder& b) { b.text("", "x"); });
  row("key of 64 KB", "metadata key", [](GgufBuilder& b) { b.text(std::string(65536, 'k'), "x"); });
  row("key twice", "\"k\" is there twice", [](GgufBuilder& b) { b.text("k", "x").text("k", "y"); });
  row("value type 13", "type 13", [](GgufBuilder& b) { b.raw("k", 13, "12345678"); });
  row("value type -1", "type -1", [](GgufBuilder& b) { b.raw("k", -1, "12345678"); });
  row("text of 2^60", "text of 1152921504606846976", [&](GgufBuilder& b) {
    std::string bytes;
    number(bytes, std::uint64_t{1} << 60);
    b.raw("k", 8, bytes);
  });
  row("text past the end", "too long for the file", [&](GgufBuilder& b) {
    std::string bytes;
    number(bytes, std::uint64_t{100'000});
    b.raw("k", 8, bytes);
  });
  row("array of 2^40", "array of 1099511627776", [](GgufBuilder& b) { b.array("k", 4, std::uint64_t{1} << 40, ""); });
  row("array of 2^61 wide", "elements", [](GgufBuilder& b) { b.array("k", 10, std::uint64_t{1} << 61, ""); });
  row("array past the end", "the file has room for", [](GgufBuilder& b) { b.array("k", 4, 100'000, ""); });
  row("texts past the end", "the file has room for", [](GgufBuilder& b) { b.array("k", 8, 100'000, ""); });
  row("text in an array", "too long",
      [](GgufBuilder& b) { b.array("k", 8, 2, packedTexts({"ok"}) + packed<std::uint64_t>({~std::uint64_t{0}})); });
  row("array of arrays", "array of arrays", [](GgufBuilder& b) {
    b.array("k", 9, 1, packed<std::int32_t>({4, 0, 0}));
  });
  row("array of type 99", "array of type 99", [](GgufBuilder& b) { b.array("k", 99, 0, ""); });
  const auto alignment = [](std::uint32_t value) {
    return [value](GgufBuilder& b) { b.number("general.alignment", GgufValueType::U32, value); };
  };
  row("alignment 0", "general.alignment", alignment(0));
  row("alignment 3", "general.alignment", alignment(3));
  row("alignment 2^31", "goes past the end", alignment(0x80000000U));
  row("alignment is a text", "general.alignment", [](GgufBuilder& b) { b.text("general.alignment", "32"); });
  row("alignment 2^63", "general.alignment",
      [](GgufBuilder& b) { b.number("general.alignment", GgufValueType::U64, std::uint64_t{1} << 63); });
  row("name twice", "\"a\" is there twice", [](GgufBuilder& b) { b.tensor("a", GgufType::F32, {1}, "1234"); });
  row("no name", "name has 0 bytes", [](GgufBuilder& b) { b.tensor("", GgufType::F32, {1}, "1234"); });
  row("name of 64", "name has 64 bytes",
      [](GgufBuilder& b) { b.tensor(std::string(64, 'n'), GgufType::I8, {1}, "x"); });
  row("name of 1 MB", "name has 1048576 bytes",
      [](GgufBuilder& b) { b.tensor(std::string(1 << 20, 'n'), GgufType::I8, {1}, "x"); });
  row("five axes", "5 dimensions", [](GgufBuilder& b) { b.tensor("x", GgufType::F32, {1, 1, 1, 1, 1}, "1234"); });
  row("negative axis", "dimension of -1", [](GgufBuilder& b) { b.tensor("x", GgufType::F32, {-1, -1}, "1234"); });
  row("axis of 0", "dimension of 0", [](GgufBuilder& b) { b.tensor("x", GgufType::F32, {0, 2}, ""); });
  row("product wraps", "more elements", [](GgufBuilder& b) {
    b.tensor("x", GgufType::F32, {std::int64_t{1} << 32, std::int64_t{1} << 32, 1}, "1234");
  });
  row("product wraps to 1", "more elements", [](GgufBuilder& b) {
    b.tensor("x", GgufType::I8, {3, static_cast<std::int64_t>(0xAAAAAAAAAAAAAAABULL >> 1), 2}, "1");
  });
  row("bytes wrap", "more bytes", [](GgufBuilder& b) {
    b.tensor("x", GgufType::F64, {std::int64_t{1} << 61, 2}, "12345678");
  });
  row("row is no whole block", "rows of 33", [](GgufBuilder& b) {
    b.tensor("x", GgufType::Q8_0, {33, 32}, std::string(34 * 33, 'x'));
  });
  row("type 200", "type 200", [](GgufBuilder& b) { b.tensor("x", 200, {1}, "1234"); });
  row("type -1", "type -1", [](GgufBuilder& b) { b.tensor("x", -1, {1}, "1234"); });
  for (const int retired : {4, 5, 31, 32, 33, 36, 37, 38}) {
    row(concat("retired type ", retired).c_str(), "which doesn't exist",
        [retired](GgufBuilder& b) { b.tensor("x", retired, {32}, std::string(64, 'x')); });
  }
  row("type of unknown size", "Q2_0",
      [](GgufBuilder& b) { b.tensor("x", GgufType::Q2_0, {64}, std::string(64, 'x')); });
  row("gap", "\"b\" is at offset 64, expected 32", [](GgufBuilder& b) { b.secondOffset = 64; });
  row("same bytes", "\"b\" is at offset 0", [](GgufBuilder& b) { b.secondOffset = 0; });
  row("misaligned", "\"b\" is at offset 24", [](GgufBuilder& b) { b.secondOffset = 24; });
  row("offset 2^64 - 1", "18446744073709551615", [](GgufBuilder& b) { b.secondOffset = ~std::uint64_t{0}; });
  row("data past the end", "goes past the end", [](GgufBuilder& b) { b.tensor("x", GgufType::F32, {1000}, "1234"); });
}

void TestGguf::refuses() {
  QFETCH(QByteArray, content);
  QFETCH(QString, problem);
  const MemoryFile file(std::string_view(content.data(), static_cast<std::size_t>(content.size())));
  const std::string message = problemOf(file.path());
  QVERIFY2(message.starts_with(file.path().string() + ": "), message.c_str());
  QVERIFY2(contains(message, problem.toStdString()), message.c_str());
}

void TestGguf::everyCutIsRefused() {
  GgufBuilder builder = sound();
  builder.padEnd = false;
  builder.array("tokens", 8, 3, packedTexts({"<s>", "a", "bc"}));
  const std::string whole = builder.bytes();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const MemoryFile file(std::string_view(whole).substr(0, length));
    QVERIFY2(!problemOf(file.path()).empty(), concat("cut at ", length).c_str());
  }
}

void TestGguf::sparseLiesCostNoMemory_data() {
  QTest::addColumn<QByteArray>("start");
  const auto row = [](const char* name, const Change& change) {
    GgufBuilder builder;
    change(builder);
    std::string bytes = builder.bytes();
    bytes.resize(bytes.find_last_not_of('\0') + 1);
    QTest::newRow(name) << QByteArray(bytes.data(), static_cast<qsizetype>(bytes.size()));
  };
  row("100 million tensors", [](GgufBuilder& b) { b.tensorCount = 100'000'000; });
  row("100 million keys", [](GgufBuilder& b) { b.keyCount = 100'000'000; });
  row("array of 2^30 bytes", [](GgufBuilder& b) {
    b.keyCount = 2;
    b.array("k", 0, std::uint64_t{1} << 30, "");
  });
  row("2^28 texts", [](GgufBuilder& b) { b.array("k", 8, std::uint64_t{1} << 28, ""); });
  row("2^24 empty texts", [](GgufBuilder& b) {
    b.keyCount = 2;
    b.array("k", 8, std::uint64_t{1} << 24, "");
  });
}

void TestGguf::sparseLiesCostNoMemory() {
  QFETCH(QByteArray, start);
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "sparse.gguf";
  writeFile(path, std::string_view(start.data(), static_cast<std::size_t>(start.size())));
  fs::resize_file(path, std::uintmax_t{3} << 30);
  const long before = peakKilobytes();
  QVERIFY(!problemOf(path).empty());
  QVERIFY(peakKilobytes() - before < 200 * 1024);
}

void TestGguf::splits() {
  QTemporaryDir folder;
  const fs::path root = folder.path().toStdString();
  for (int i = 0; i < 3; ++i) {
    writeFile(root / concat("m-0000", i + 1, "-of-00003.gguf"), part(i, 3, concat("t", i), 3));
  }
  const auto file = GgufFile::open(root / "m-00001-of-00003.gguf");
  QCOMPARE(file->parts(), std::size_t{3});
  QCOMPARE(file->tensors().size(), 3u);
  QCOMPARE(file->path(), root / "m-00001-of-00003.gguf");
  for (int i = 0; i < 3; ++i) {
    float value = -1;
    std::memcpy(&value, file->at(concat("t", i)).bytes.data(), sizeof value);
    QCOMPARE(value, static_cast<float>(i));
  }
  QCOMPARE(GgufReader(*file).architecture(), std::string("llama"));
}

void TestGguf::refusesBadSplits_data() {
  QTest::addColumn<QString>("opened");
  QTest::addColumn<QStringList>("parts");  // name, then "number count tensor total"
  QTest::addColumn<QString>("problem");
  const QString one = "m-00001-of-00002.gguf";
  const QString two = "m-00002-of-00002.gguf";
  QTest::newRow("second part opened") << two << QStringList{one, "0 2 a 2", two, "1 2 b 2"} << "m-00001-of-00002.gguf";
  QTest::newRow("part is missing") << one << QStringList{one, "0 2 a 2"} << "m-00002-of-00002.gguf: can't be opened";
  QTest::newRow("renamed") << "model.gguf" << QStringList{"model.gguf", "0 2 a 2"} << "-00001-of-00002.gguf";
  QTest::newRow("renamed, other number") << two << QStringList{two, "0 2 a 2"} << "-00001-of-00002.gguf";
  QTest::newRow("tensor in both") << one << QStringList{one, "0 2 a 2", two, "1 2 a 2"} << "\"a\" is there twice";
  QTest::newRow("first part twice") << one << QStringList{one, "0 2 a 2", two, "0 2 b 2"} << "is not part 2 of 2";
  QTest::newRow("part of another split") << one << QStringList{one, "0 2 a 2", two, "1 3 b 2"} << "is not part 2 of 2";
  QTest::newRow("wrong total") << one << QStringList{one, "0 2 a 3", two, "1 2 b 2"} << "should have 3 tensors";
}

void TestGguf::refusesBadSplits() {
  QFETCH(QString, opened);
  QFETCH(QStringList, parts);
  QFETCH(QString, problem);
  QTemporaryDir folder;
  const fs::path root = folder.path().toStdString();
  for (qsizetype i = 0; i < parts.size(); i += 2) {
    const QStringList fields = parts[i + 1].split(' ');
    writeFile(root / parts[i].toStdString(),
              part(fields[0].toInt(), fields[1].toInt(), fields[2].toStdString(), fields[3].toInt()));
  }
  const std::string message = problemOf(root / opened.toStdString());
  QVERIFY2(contains(message, problem.toStdString()), message.c_str());
}

void TestGguf::readerReads() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama");
  builder.number("llama.block_count", GgufValueType::U32, std::uint32_t{30});
  builder.number("llama.context_length", GgufValueType::U64, std::uint64_t{8192});
  builder.number("llama.expert_count", GgufValueType::I32, std::int32_t{4});
  builder.number("llama.rope.freq_base", GgufValueType::F32, 10000.5F);
  builder.number("tokenizer.ggml.add_bos_token", GgufValueType::Bool, std::uint8_t{1});
  builder.array("tokenizer.ggml.tokens", 8, 3, packedTexts({"<s>", "", "ab\xff"}));
  builder.array("tokenizer.ggml.scores", 6, 2, packed<float>({-1.5F, 0.25F}));
  builder.array("tokenizer.ggml.token_type", 5, 3, packed<std::int32_t>({3, 1, -6}));
  builder.array("wide", 10, 2, packed<std::uint64_t>({7, std::uint64_t{1} << 62}));
  builder.array("truth", 7, 3, std::string("\0\7\1", 3));
  const MemoryFile memory(builder.bytes());
  const auto file = GgufFile::open(memory.path());
  const GgufReader reader(*file);
  QCOMPARE(reader.fullKey(".block_count"), std::string("llama.block_count"));
  QVERIFY(reader.has(".block_count") && !reader.has("block_count"));
  QCOMPARE(reader.integer(".block_count", 1, 100), std::int64_t{30});
  QCOMPARE(reader.integer(".context_length", 1, 100'000), std::int64_t{8192});
  QCOMPARE(reader.integer(".expert_count", 0, 8), std::int64_t{4});
  QCOMPARE(reader.integerOr(".expert_used_count", 2, 0, 8), std::int64_t{2});
  QCOMPARE(reader.number(".rope.freq_base"), 10000.5);
  QCOMPARE(reader.number(".block_count"), 30.0);
  QCOMPARE(reader.numberOr(".rope.scaling.factor", 1.0), 1.0);
  QVERIFY(reader.boolean("tokenizer.ggml.add_bos_token"));
  QVERIFY(reader.booleanOr("tokenizer.ggml.add_eos_token", true));
  QCOMPARE(reader.string("general.architecture"), std::string("llama"));
  QCOMPARE(reader.stringOr("general.name", "none"), std::string("none"));
  QCOMPARE(reader.strings("tokenizer.ggml.tokens"), (std::vector<std::string_view>{"<s>", "", "ab\xff"}));
  QCOMPARE(reader.numbers("tokenizer.ggml.scores"), (std::vector<double>{-1.5, 0.25}));
  QCOMPARE(reader.numbers("tokenizer.ggml.token_type"), (std::vector<double>{3, 1, -6}));
  QCOMPARE(reader.integers("tokenizer.ggml.token_type"), (std::vector<std::int64_t>{3, 1, -6}));
  QCOMPARE(reader.integers("wide"), (std::vector<std::int64_t>{7, std::int64_t{1} << 62}));
  QCOMPARE(reader.integers("truth"), (std::vector<std::int64_t>{0, 1, 1}));
}

void TestGguf::readerRefuses_data() {
  QTest::addColumn<int>("which");
  const char* names[] = {"missing",     "too large",        "too small",       "a text",   "2^63",
                         "NaN",         "no boolean",       "no text",         "no array", "other array",
                         "array limit", "2^63 in an array", "texts as numbers"};
  for (int i = 0; i < 13; ++i) {
    QTest::newRow(names[i]) << i;
  }
}

void TestGguf::readerRefuses() {
  QFETCH(int, which);
  GgufBuilder builder;
  builder.text("general.architecture", "llama");
  builder.number("count", GgufValueType::I32, std::int32_t{5});
  builder.number("huge", GgufValueType::U64, std::uint64_t{1} << 63);
  builder.number("nan", GgufValueType::F32, std::numeric_limits<float>::quiet_NaN());
  builder.array("texts", 8, 2, packedTexts({"a", "b"}));
  builder.array("wide", 10, 1, packed<std::uint64_t>({std::uint64_t{1} << 63}));
  const MemoryFile memory(builder.bytes());
  const auto file = GgufFile::open(memory.path());
  const GgufReader r(*file);
  const std::array<std::pair<std::function<void()>, const char*>, 13> calls{{
      {[&] { r.integer(".block_count", 0, 9); }, "\"llama.block_count\" is missing"},
      {[&] { r.integer("count", 0, 4); }, "\"count\" is 5, expected a whole number from 0 to 4"},
      {[&] { r.integer("count", 6, 9); }, "\"count\" is 5"},
      {[&] { r.integer("general.architecture", 0, 9); }, "something else"},
      {[&] { r.integer("huge", 0, INT64_MAX); }, "\"huge\""},
      {[&] { r.number("nan"); }, "not finite"},
      {[&] { r.boolean("count"); }, "neither true nor false"},
      {[&] { r.string("count"); }, "no text"},
      {[&] { r.strings("count"); }, "no array"},
      {[&] { r.strings("wide"); }, "array of u64"},
      {[&] { r.strings("texts", 1); }, "at most 1"},
      {[&] { r.integers("wide"); }, "below 2^63"},
      {[&] { r.numbers("texts"); }, "array of string"},
  }};
  try {
    calls[static_cast<std::size_t>(which)].first();
    QFAIL("was read");
  } catch (const Error& error) {
    const std::string message = error.what();
    QVERIFY2(message.starts_with(memory.path().string() + ": metadata "), message.c_str());
    QVERIFY2(contains(message, calls[static_cast<std::size_t>(which)].second), message.c_str());
  }
}

void TestGguf::perLayerValues() {
  GgufBuilder builder;
  builder.text("general.architecture", "gemma3");
  builder.number("gemma3.attention.head_count", GgufValueType::U32, std::uint32_t{8});
  builder.array("gemma3.attention.head_count_kv", 5, 3, packed<std::int32_t>({1, 2, 4}));
  builder.array("gemma3.attention.sliding_window_pattern", 7, 3, std::string("\1\0\1", 3));
  builder.number("truth", GgufValueType::Bool, std::uint8_t{1});
  const MemoryFile memory(builder.bytes());
  const auto file = GgufFile::open(memory.path());
  const GgufReader reader(*file);
  using Values = std::vector<std::int64_t>;
  QCOMPARE(reader.perLayer(".attention.head_count", 3, 1, 64), (Values{8, 8, 8}));
  QCOMPARE(reader.perLayer(".attention.head_count_kv", 3, 1, 64), (Values{1, 2, 4}));
  QCOMPARE(reader.perLayer(".attention.sliding_window_pattern", 3, 0, 1), (Values{1, 0, 1}));
  QCOMPARE(reader.perLayer("truth", 2, 0, 1), (Values{1, 1}));
  QVERIFY_EXCEPTION_THROWN(reader.perLayer(".attention.head_count_kv", 2, 1, 64), Error);
  QVERIFY_EXCEPTION_THROWN(reader.perLayer(".attention.head_count_kv", 4, 1, 64), Error);
  QVERIFY_EXCEPTION_THROWN(reader.perLayer(".attention.head_count_kv", 3, 2, 64), Error);
  QVERIFY_EXCEPTION_THROWN(reader.perLayer(".attention.head_count_kv", 3, 1, 3), Error);
}

void TestGguf::readerWantsAnArchitecture() {
  const MemoryFile memory(GgufBuilder().text("general.name", "x").bytes());
  const auto file = GgufFile::open(memory.path());
  QVERIFY_EXCEPTION_THROWN(GgufReader{*file}, Error);
}

void TestGguf::brokenCases_data() {
  QTest::addColumn<int>("index");
  const auto cases = test::brokenCases("gguf");
  for (std::size_t i = 0; i < cases.size(); ++i) {
    QTest::newRow(cases[i].id.c_str()) << static_cast<int>(i);
  }
}

void TestGguf::brokenCases() {
  const auto cases = test::brokenCases("gguf");
  if (cases.empty()) {
    QSKIP("the golden files are not here");
  }
  QFETCH(int, index);
  const BrokenCase& one = cases[static_cast<std::size_t>(index)];
  const std::string problem = problemOf(one.path);
  // Sound containers of no possible model: the model room refuses them.
  const std::array<std::string, 5> contentOnly{"gguf-21", "gguf-25", "gguf-26", "gguf-27", "gguf-28"};
  if (one.id == "gguf-10") {  // a type that is known but not decoded
    const auto file = GgufFile::open(one.path);
    QVERIFY_EXCEPTION_THROWN(requireDequantizable(file->at("blk.0.attn_q.weight"), one.path.string()), Error);
  } else if (one.id == "gguf-20") {  // no architecture
    const auto file = GgufFile::open(one.path);
    QVERIFY_EXCEPTION_THROWN(GgufReader{*file}, Error);
  } else {
    const bool left = std::find(contentOnly.begin(), contentOnly.end(), one.id) != contentOnly.end();
    QCOMPARE(problem.empty(), one.expect == "load" || left);
  }
}

QTEST_GUILESS_MAIN(TestGguf)
#include "tst_gguf.moc"
