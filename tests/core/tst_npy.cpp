#include <QtTest>
#include <array>
#include <cmath>
#include <filesystem>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/npy.h"
#include "tests/support/memory_file.h"

using namespace headscope;
using namespace headscope::test;
namespace fs = std::filesystem;

namespace {

std::string npy(std::string_view header, std::string_view data, char version = 1) {
  std::string content = "\x93NUMPY";
  content += version;
  content += '\0';
  const std::size_t lengthBytes = version == 1 ? 2 : 4;
  for (std::size_t i = 0; i < lengthBytes; ++i) {
    content += static_cast<char>(header.size() >> (8 * i));
  }
  content += header;
  content += data;
  return content;
}

}  // namespace

class TestNpy : public QObject {
  Q_OBJECT

 private slots:
  void writesWhatNumpyWrites();
  void roundTrips();
  void shapes_data();
  void shapes();
  void readsTypes_data();
  void readsTypes();
  void refuses_data();
  void refuses();
  void writerCounts();
};

void TestNpy::writesWhatNumpyWrites() {
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "a.npy";
  const std::array<float, 6> values{0, 1, 2, 3, 4, 5};
  writeNpy(path, std::array<std::int64_t, 2>{2, 3}, std::span<const float>(values));
  // numpy.save(..., numpy.arange(6, dtype="<f4").reshape(2, 3)), by the letter
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  header.append(117 - header.size(), ' ');
  header += '\n';
  std::string data(reinterpret_cast<const char*>(values.data()), sizeof values);
  QCOMPARE(readFile(path), npy(header, data));
}

void TestNpy::roundTrips() {
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "a.npy";
  const std::array<std::int64_t, 3> shape{2, 1, 2};
  const std::array<float, 4> floats{-0.0F, 1.5F, INFINITY, 1e-40F};
  writeNpy(path, shape, std::span<const float>(floats));
  NpyArray array = readNpy(path);
  QVERIFY(array.type == NpyType::F32 && array.isFloating());
  QCOMPARE(array.shape, std::vector<std::int64_t>(shape.begin(), shape.end()));
  QCOMPARE(array.elements(), 4);
  QVERIFY(std::memcmp(array.bytes.data(), floats.data(), sizeof floats) == 0);
  QCOMPARE(array.numbers()[3], static_cast<double>(1e-40F));
  QVERIFY(array.integers().empty());

  const std::array<std::int64_t, 4> integers{INT64_MIN, -1, 0, INT64_MAX};
  writeNpy(path, shape, std::span<const std::int64_t>(integers));
  array = readNpy(path);
  QVERIFY(array.type == NpyType::I64 && !array.isFloating());
  QCOMPARE(array.integers(), std::vector<std::int64_t>(integers.begin(), integers.end()));

  const std::array<double, 4> doubles{M_PI, -1e300, 5e-324, 0};
  writeNpy(path, shape, std::span<const double>(doubles));
  array = readNpy(path);
  QVERIFY(array.type == NpyType::F64);
  QCOMPARE(array.numbers(), std::vector<double>(doubles.begin(), doubles.end()));
}

void TestNpy::shapes_data() {
  QTest::addColumn<QList<qint64>>("shape");
  QTest::addColumn<QString>("text");
  QTest::newRow("scalar") << QList<qint64>{} << "()";
  QTest::newRow("one axis") << QList<qint64>{3} << "(3,)";
  QTest::newRow("four axes") << QList<qint64>{1, 2, 3, 4} << "(1, 2, 3, 4)";
  QTest::newRow("nothing") << QList<qint64>{0, 5} << "(0, 5)";
}

void TestNpy::shapes() {
  QFETCH(QList<qint64>, shape);
  QFETCH(QString, text);
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "a.npy";
  const std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    count *= size;
  }
  const std::vector<float> values(static_cast<std::size_t>(count), 2.5F);
  writeNpy(path, sizes, std::span<const float>(values));
  const std::string content = readFile(path);
  QVERIFY(content.find("'shape': " + text.toStdString() + ", }") != std::string::npos);
  QCOMPARE(content.size() - values.size() * sizeof(float), std::size_t{128});
  const NpyArray array = readNpy(path);
  QCOMPARE(array.shape, sizes);
  QCOMPARE(array.elements(), count);
}

void TestNpy::readsTypes_data() {
  QTest::addColumn<QByteArray>("content");
  QTest::addColumn<QList<double>>("values");
  const auto row = [](const char* name, const char* descr, std::string_view data, const QList<double>& values,
                      char version = 1) {
    const std::string header = "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (2,), }";
    const std::string content = npy(header, data, version);
    QTest::newRow(name) << QByteArray(content.data(), static_cast<qsizetype>(content.size())) << values;
  };
  using namespace std::string_view_literals;
  row("bool", "|b1", "\1\0"sv, {1, 0});
  row("bool, other order sign", "<b1", "\1\0"sv, {1, 0});
  row("i1", "|i1", "\xff\x7f"sv, {-1, 127});
  row("u1", "|u1", "\xff\x7f"sv, {255, 127});
  row("i2", "<i2", "\xff\xff\0\1"sv, {-1, 256});
  row("i4", "<i4", "\xff\xff\xff\xff\0\0\1\0"sv, {-1, 65536});
  row("i8", "<i8", "\xfe\xff\xff\xff\xff\xff\xff\xff\1\0\0\0\0\0\0\0"sv, {-2, 1});
  row("f2", "<f2", "\x00\x3c\x01\x00"sv, {1, std::ldexp(1.0, -24)});
  row("f4, version 2", "<f4", "\0\0\x80\x3f\0\0\0\xc0"sv, {1, -2}, 2);
  row("f8, version 3", "<f8", "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\0"sv, {1, 0}, 3);
  const std::string shuffled = npy("{\"shape\":(1,2),\"fortran_order\":False,\"descr\":\"<u1\"}\n", "\1\2");
  QTest::newRow("other quotes, order and spaces")
      << QByteArray(shuffled.data(), static_cast<qsizetype>(shuffled.size())) << QList<double>{1, 2};
  const std::string fortran = npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }", "\1\2");
  QTest::newRow("Fortran order of one axis")
      << QByteArray(fortran.data(), static_cast<qsizetype>(fortran.size())) << QList<double>{1, 2};
}

void TestNpy::readsTypes() {
  QFETCH(QByteArray, content);
  QFETCH(QList<double>, values);
  const MemoryFile file(std::string_view(content.data(), static_cast<std::size_t>(content.size())));
  const NpyArray array = readNpy(file.path());
  const std::vector<double> read = array.numbers();
  QCOMPARE(QList<double>(read.begin(), read.end()), values);
  if (!array.isFloating()) {
    QCOMPARE(array.integers()[0], static_cast<std::int64_t>(values[0]));
  }
}

void TestNpy::refuses_data() {
  QTest::addColumn<QByteArray>("content");
  QTest::addColumn<QString>("problem");
  const auto row = [](const char* name, const std::string& content, const char* problem) {
    QTest::newRow(name) << QByteArray(content.data(), static_cast<qsizetype>(content.size())) << problem;
  };
  const auto header = [](const char* descr, const char* shape) {
    return "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': " + shape + ", }";
  };
  row("empty", "", "no NPY file");
  row("magic only", "\x93NUMPY", "no NPY file");
  row("text", "hello, this is not an array", "no NPY file");
  row("version 9", npy(header("<f4", "(1,)"), "1234", 9), "version 9");
  row("header past the end", npy(header("<f4", "(1,)"), "").substr(0, 40), "cut short");
  row("header of 4 GB", std::string("\x93NUMPY\2\0\xff\xff\xff\xff{}", 14), "header of 4294967295");
  row("data cut", npy(header("<f4", "(2,)"), "1234"), "doesn't fit");
  row("data too long", npy(header("<f4", "(1,)"), "12345678"), "doesn't fit");
  row("big-endian", npy(header(">f4", "(1,)"), "1234"), "big-endian");
  row("text type", npy(header("<U1", "(1,)"), "1234"), "<U1");
  row("pickled objects", npy(header("|O", "(1,)"), "1234"), "|O");
  row("complex", npy(header("<c8", "(1,)"), "12345678"), "<c8");
  row("unsigned 64", npy(header("<u8", "(1,)"), "12345678"), "<u8");
  row("records", npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "1234"), "structured");
  row("Fortran order", npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "1234"), "Fortran");
  row("no shape", npy("{'descr': '<f4', 'fortran_order': False, }", "1234"), "incomplete");
  row("key twice", npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "1234"), "descr");
  row("unknown key", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "1234"), "\"x\"");
  row("negative", npy(header("<f4", "(-1,)"), "1234"), "no whole number");
  row("huge", npy(header("<f4", "(99999999999999999999,)"), "1234"), "too large");
  row("product wraps", npy(header("<f4", "(4611686018427387905, 4)"), std::string(16, 'x')), "doesn't fit");
  row("huge beside zero", npy(header("<f4", "(0, 4611686018427387904, 4)"), ""), "doesn't fit");
  row("rest after the dict", npy(header("<f4", "(1,)") + "x", "1234"), "malformed");
  row("code", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os'),), }", "1234"), "whole number");
  row("unended text", npy("{'descr", "1234"), "doesn't end");
  std::string many = "(";
  for (int i = 0; i < 40; ++i) {
    many += "1, ";
  }
  row("40 axes", npy(header("<f4", (many + ")").c_str()), "1234"), "dimensions");
}

void TestNpy::refuses() {
  QFETCH(QByteArray, content);
  QFETCH(QString, problem);
  const MemoryFile file(std::string_view(content.data(), static_cast<std::size_t>(content.size())));
  try {
    readNpy(file.path());
    QFAIL("was read");
  } catch (const Error& error) {
    const std::string message = error.what();
    QVERIFY2(message.starts_with(file.path().string() + ": "), message.c_str());
    QVERIFY2(message.find(problem.toStdString()) != std::string::npos, message.c_str());
  }
}

void TestNpy::writerCounts() {
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "a.npy";
  const std::array<float, 3> values{1, 2, 3};
  {
    NpyWriter writer(path, NpyType::F32, std::array<std::int64_t, 2>{2, 2});
    writer.write(std::span<const float>(values));
    QVERIFY_EXCEPTION_THROWN(writer.commit(), Error);
    QVERIFY_EXCEPTION_THROWN(writer.write(std::span<const float>(values)), Error);
    QVERIFY_EXCEPTION_THROWN(writer.write(std::span<const double>()), Error);
    QVERIFY(!fs::exists(path));
    writer.write(std::span<const float>(values).first(1));
    writer.commit();
  }
  QCOMPARE(readNpy(path).numbers(), (std::vector<double>{1, 2, 3, 1}));
  QVERIFY_EXCEPTION_THROWN(NpyWriter(path, NpyType::F32, std::array<std::int64_t, 1>{-1}), Error);
  QVERIFY_EXCEPTION_THROWN(NpyWriter("/nowhere/a.npy", NpyType::F32, std::array<std::int64_t, 1>{1}), Error);
}

QTEST_GUILESS_MAIN(TestNpy)
#include "tst_npy.moc"
