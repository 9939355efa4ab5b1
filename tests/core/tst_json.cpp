#include <QtTest>
#include <filesystem>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"

using namespace headscope;
namespace fs = std::filesystem;

namespace {

std::string problemOf(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parseJson(text, "f.json", limits);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

class TestJson : public QObject {
  Q_OBJECT

 private slots:
  void parses();
  void refuses_data();
  void refuses();
  void limits();
  void readsMembers();
  void refusesMembers_data();
  void refusesMembers();
  void atomicFiles();
};

void TestJson::parses() {
  const Json json = parseJson(R"( {"a":[1,-2,3.5,true,null,"\u00e4\ud83d\ude00"],"b":{"a":{}}} )", "f.json");
  QCOMPARE(json.at("a").size(), std::size_t{6});
  QCOMPARE(json.at("a")[5].get<std::string>(), std::string("ä😀"));
  QVERIFY(json.at("b").at("a").is_object());
  QCOMPARE(problemOf(R"({"a":{"x":1},"b":{"x":1}})"), std::string());  // equal keys in different objects
  QCOMPARE(problemOf("3"), std::string());
}

void TestJson::refuses_data() {
  QTest::addColumn<QByteArray>("text");
  QTest::addColumn<QString>("problem");
  QTest::newRow("empty") << QByteArray() << "not valid JSON";
  QTest::newRow("cut") << QByteArray("{\"a\":") << "byte";
  QTest::newRow("two documents") << QByteArray("{}{}") << "not valid JSON";
  QTest::newRow("comment") << QByteArray("{} // x") << "not valid JSON";
  QTest::newRow("trailing comma") << QByteArray("[1,]") << "not valid JSON";
  QTest::newRow("NaN") << QByteArray("[NaN]") << "not valid JSON";
  QTest::newRow("number beyond double") << QByteArray("[1e999]") << "not valid JSON";
  QTest::newRow("single quotes") << QByteArray("{'a':1}") << "not valid JSON";
  QTest::newRow("NUL after the end") << QByteArray("{}\0", 3) << "NUL";
  QTest::newRow("NUL inside") << QByteArray("{\"a\0\":1}", 8) << "NUL";
  QTest::newRow("bad UTF-8") << QByteArray("{\"a\":\"\xff\"}") << "UTF-8 at byte 6";
  QTest::newRow("overlong UTF-8") << QByteArray("[\"\xc0\x80\"]") << "UTF-8";
  QTest::newRow("surrogate in UTF-8") << QByteArray("[\"\xed\xa0\x80\"]") << "UTF-8";
  QTest::newRow("lone surrogate") << QByteArray(R"(["\ud800"])") << "not valid JSON";
  QTest::newRow("key twice") << QByteArray(R"({"k":1,"x":{},"k":2})") << "\"k\" is there twice";
  QTest::newRow("key twice, escaped") << QByteArray(R"({"k":1,"\u006b":2})") << "\"k\" is there twice";
  QTest::newRow("key twice, deep") << QByteArray(R"([{"a":{"k":1,"k":1}}])") << "\"k\" is there twice";
  QTest::newRow("deep lists") << QByteArray(100'000, '[') << "nested more than 64";
  QByteArray deep;
  for (int i = 0; i < 100; ++i) {
    deep += "{\"a\":";
  }
  QTest::newRow("deep objects") << deep << "nested more than 64";
}

void TestJson::refuses() {
  QFETCH(QByteArray, text);
  QFETCH(QString, problem);
  const std::string message = problemOf(std::string_view(text.data(), static_cast<std::size_t>(text.size())));
  QVERIFY2(message.starts_with("f.json: "), message.c_str());
  QVERIFY2(contains(message, problem.toStdString()), message.c_str());
  QVERIFY2(!contains(message, "\n") && message.size() < 500, message.c_str());
}

void TestJson::limits() {
  QVERIFY(contains(problemOf("[1,2,3]", {5, 64}), "too large"));
  QCOMPARE(problemOf("[1,2,3]", {7, 64}), std::string());
  QVERIFY(contains(problemOf("[[[]]]", {100, 2}), "nested more than 2"));
  QCOMPARE(problemOf("[[[]]]", {100, 3}), std::string());
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "sparse.json";
  writeFile(path, "{");
  fs::resize_file(path, std::uintmax_t{3} << 30);
  try {
    readJson(path);
    QFAIL("was read");
  } catch (const Error& error) {
    QVERIFY(contains(error.what(), "too large"));
    QCOMPARE(error.where(), path.string());
  }
  QVERIFY_EXCEPTION_THROWN(readJson(fs::path(folder.path().toStdString())), Error);  // a folder
  QVERIFY_EXCEPTION_THROWN(readJson("/nowhere/x.json"), Error);
}

void TestJson::readsMembers() {
  const Json json =
      parseJson(R"({"int":5,"whole":8.0,"real":0.5,"yes":true,"text":"x","none":null,"big":-3})", "f.json");
  const JsonReader reader(json, "f.json");
  QCOMPARE(reader.integer("int", 0, 10), std::int64_t{5});
  QCOMPARE(reader.integer("whole", 0, 10), std::int64_t{8});
  QCOMPARE(reader.integer("big", -3, 10), std::int64_t{-3});
  QCOMPARE(reader.integerOr("none", 7, 0, 10), std::int64_t{7});
  QCOMPARE(reader.integerOr("absent", 7, 0, 10), std::int64_t{7});
  QCOMPARE(reader.number("real"), 0.5);
  QCOMPARE(reader.number("int"), 5.0);
  QCOMPARE(reader.numberOr("none", 2.5), 2.5);
  QVERIFY(reader.booleanOr("yes", false));
  QVERIFY(reader.booleanOr("absent", true));
  QCOMPARE(reader.string("text"), std::string("x"));
  QCOMPARE(reader.stringOr("none", "y"), std::string("y"));
  QVERIFY(reader.has("int") && !reader.has("none") && !reader.has("absent"));
}

void TestJson::refusesMembers_data() {
  QTest::addColumn<QString>("value");
  QTest::newRow("too large") << "11";
  QTest::newRow("too small") << "-1";
  QTest::newRow("2^63") << "9223372036854775808";
  QTest::newRow("2^64 - 1") << "18446744073709551615";
  QTest::newRow("2^64") << "18446744073709551616";
  QTest::newRow("1e300") << "1e300";
  QTest::newRow("fraction") << "5.5";
  QTest::newRow("text") << "\"5\"";
  QTest::newRow("boolean") << "true";
  QTest::newRow("list") << "[5]";
  QTest::newRow("object") << "{}";
  QTest::newRow("null") << "null";
}

void TestJson::refusesMembers() {
  QFETCH(QString, value);
  const Json json = parseJson("{\"k\":" + value.toStdString() + "}", "f.json");
  const JsonReader reader(json, "f.json");
  const bool range = QByteArray(QTest::currentDataTag()).startsWith("too ");
  for (const std::int64_t high : {std::int64_t{10}, INT64_MAX}) {
    if (range && high > 10) {
      continue;
    }
    try {
      reader.integer("k", 0, high);
      QFAIL("was read");
    } catch (const Error& error) {
      QVERIFY2(contains(error.what(), "f.json: \"k\""), error.what());
    }
  }
}

void TestJson::atomicFiles() {
  QTemporaryDir folder;
  const fs::path root = folder.path().toStdString();
  writeFile(root / "a", "first");
  writeFile(root / "a", "second");
  QCOMPARE(readFile(root / "a"), std::string("second"));
  {
    AtomicFile file(root / "a");
    file.write("third, unfinished");
    file.writeAt(100, "x", 1);
  }
  QCOMPARE(readFile(root / "a"), std::string("second"));
  AtomicFile file(root / "a");
  file.writeAt(3, "def", 3);
  file.writeAt(0, "abc", 3);
  file.commit();
  QCOMPARE(readFile(root / "a"), std::string("abcdef"));
  QCOMPARE(std::distance(fs::directory_iterator(root), fs::directory_iterator()), std::ptrdiff_t{1});
  QVERIFY_EXCEPTION_THROWN(readFile(root / "a", 5), Error);
  QVERIFY_EXCEPTION_THROWN(AtomicFile("/nowhere/a"), Error);
  QVERIFY_EXCEPTION_THROWN(writeFile(root, "x"), Error);  // the target is a folder
}

QTEST_GUILESS_MAIN(TestJson)
#include "tst_json.moc"
