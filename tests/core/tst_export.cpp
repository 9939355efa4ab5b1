// Result files: tables by their ending, pictures, scores of one and of many documents.

#include <QByteArray>
#include <QTemporaryDir>
#include <QtTest>
#include <cmath>
#include <random>

#include "core/analysis/report.h"
#include "core/export/report_file.h"
#include "core/export/table_file.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/files/json_text.h"
#include "core/files/npy.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;

namespace {

std::uint32_t bigEndian(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t index = 0; index < 4; ++index) {
    value = (value << 8) | static_cast<unsigned char>(bytes[at + index]);
  }
  return value;
}

struct Png {
  std::uint32_t width = 0, height = 0;
  std::string palette, pixels;
  QStringList chunks;
};

// Chunks, and the pixels as zlib (inside Qt) unpacks them.
Png readPng(const std::string& bytes) {
  Png png;
  std::string data;
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    const std::size_t size = bigEndian(bytes, at);
    const std::string type = bytes.substr(at + 4, 4);
    const std::string content = bytes.substr(at + 8, size);
    png.chunks << QString::fromStdString(type);
    if (type == "IHDR") {
      png.width = bigEndian(content, 0);
      png.height = bigEndian(content, 4);
    } else if (type == "PLTE") {
      png.palette = content;
    } else if (type == "IDAT") {
      data += content;
    }
    at += size + 12;
  }
  const std::size_t rowBytes = png.width + 1;
  const auto expected = static_cast<quint32>(rowBytes * png.height);
  QByteArray packed(4, '\0');
  for (int index = 0; index < 4; ++index) {
    packed[index] = static_cast<char>((expected >> (24 - 8 * index)) & 0xFF);
  }
  const QByteArray rows = qUncompress(packed + QByteArray::fromStdString(data));
  for (qsizetype at = 0; at < rows.size(); at += qsizetype(rowBytes)) {
    png.pixels += rows.mid(at + 1, png.width).toStdString();
  }
  return png;
}

Report reportOf(unsigned seed, std::int64_t tokens, bool measures) {
  test::SyntheticCapture synthetic;
  synthetic.layers = 2;
  synthetic.heads = 4;
  synthetic.kvHeads = 2;
  synthetic.tokens = tokens;
  synthetic.seed = seed;
  AnalysisOptions options;
  options.threads = 1;
  options.measures = measures;
  return analyzeCapture(*test::makeCapture(synthetic), options);
}

}  // namespace

class TstExport : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  std::filesystem::path path(const char* name) const { return folder_.filePath(name).toStdString(); }

 private Q_SLOTS:
  void writesTables_data();
  void writesTables();
  void refusesUnfinishedTables();
  void writesNumbersShortest();
  void writesJsonForEveryReader();
  void writesPictures_data();
  void writesPictures();
  void coloursByValue();
  void summarisesOneDocument();
  void summarisesManyDocuments();
  void keepsColumnsTogether();
  void refusesOtherEndings();
};

void TstExport::writesTables_data() {
  QTest::addColumn<int>("piece");
  QTest::newRow("at once") << 15;
  QTest::newRow("in pieces") << 4;
  QTest::newRow("one by one") << 1;
}

void TstExport::writesTables() {
  QFETCH(int, piece);
  std::vector<float> cells{0.1F, 1, -INFINITY, 3e-7F, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1.0F / 3};
  for (const char* name : {"t.npy", "t.csv", "t.json"}) {
    const auto file = openTableFile(path(name), 5, 3);
    for (std::size_t at = 0; at < cells.size(); at += std::size_t(piece)) {
      file->write(std::span(cells).subspan(at, std::min(std::size_t(piece), cells.size() - at)));
    }
    QVERIFY(!std::filesystem::exists(path(name)));
    file->commit();
  }
  QCOMPARE(readNpy(path("t.npy")).shape, (std::vector<std::int64_t>{5, 3}));
  QCOMPARE(readNpy(path("t.npy")).numbers()[2], -INFINITY);
  QCOMPARE(readFile(path("t.csv")), std::string("0.1,1,-inf\n3e-07,5,6\n7,8,9\n10,11,12\n13,14,0.33333334\n"));
  const Json json = readJson(path("t.json"));
  QCOMPARE(json.at("rows").get<int>(), 5);
  QCOMPARE(json.at("cols").get<int>(), 3);
  QVERIFY(json.at("values")[0][2].is_null());
  QCOMPARE(json.at("values")[4][2].get<float>(), 1.0F / 3);
  for (const char* name : {"t.npy", "t.csv", "t.json"}) {
    std::filesystem::remove(path(name));
  }
}

void TstExport::refusesUnfinishedTables() {
  for (const char* name : {"u.npy", "u.csv", "u.json", "u.png"}) {
    const auto file = openTableFile(path(name), 2, 2);
    file->write(std::vector<float>{1, 2, 3});
    QVERIFY_EXCEPTION_THROWN(file->commit(), Error);
  }
  QCOMPARE(QDir(folder_.path()).entryList({"u.*"}, QDir::Files), QStringList());
  QVERIFY_EXCEPTION_THROWN(openTableFile(path("u.bmp"), 2, 2), Error);
  QVERIFY_EXCEPTION_THROWN(openTableFile(path("u.png"), 1 << 20, 1 << 20), Error);
  QVERIFY_EXCEPTION_THROWN(openTableFile("/no/such/folder/u.csv", 2, 2), Error);
}

void TstExport::writesNumbersShortest() {
  QCOMPARE(jsonNumber(0.1), std::string("0.1"));
  QCOMPARE(jsonNumber(1), std::string("1.0"));
  QCOMPARE(jsonNumber(-0.0), std::string("-0.0"));
  QCOMPARE(jsonNumber(5e-324), std::string("5e-324"));
  QCOMPARE(jsonNumber(1e300), std::string("1e+300"));
  QCOMPARE(jsonNumber(NAN), std::string("null"));
  QCOMPARE(jsonNumber(-INFINITY), std::string("null"));
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; ++round) {
    const auto value = std::bit_cast<double>(random());
    if (std::isfinite(value)) {
      QCOMPARE(parseJson("[" + jsonNumber(value) + "]", "number")[0].get<double>(), value);
    }
  }
}

void TstExport::writesJsonForEveryReader() {
  OrderedJson json;
  json["z"] = std::vector<double>{1, NAN, 2.5};
  json["a"] = "half a character \xe2\x82";
  json["lines"] = "a\u2028b\u2029c\u0085d\ne";
  json["list"] = OrderedJson::array();
  json["nested"] = {{"b", {{"c", std::vector<int>{1, 2}}}}};
  for (const JsonLayout layout : {JsonLayout::Line, JsonLayout::Readable}) {
    const std::string text = jsonText(json, layout);
    const Json back = parseJson(text, "text");
    QVERIFY(back.at("z")[1].is_null());
    QVERIFY(back.at("nested").at("b").at("c") == Json::parse("[1, 2]"));
    QVERIFY(text.find("\"z\"") < text.find("\"a\""));
    QCOMPARE(back.at("lines").get<std::string>(), std::string("a\u2028b\u2029c\u0085d\ne"));
    QCOMPARE(text.find("\xe2\x80\xa8"), std::string::npos);
    QCOMPARE(text.find("\xc2\x85"), std::string::npos);
    QVERIFY(back.at("a").get<std::string>().starts_with("half a character \xef\xbf\xbd"));
    QCOMPARE(std::count(text.begin(), text.end(), '\n') == 1, layout == JsonLayout::Line);
  }
}

void TstExport::writesPictures_data() {
  QTest::addColumn<int>("width");
  QTest::addColumn<int>("height");
  QTest::addColumn<QString>("kind");
  for (const char* kind : {"constant", "random", "diagonal", "stripes"}) {
    QTest::addRow("%s, small", kind) << 7 << 5 << QString(kind);
    QTest::addRow("%s, large", kind) << 700 << 300 << QString(kind);
    QTest::addRow("%s, wide", kind) << 40000 << 3 << QString(kind);
  }
  QTest::newRow("one pixel") << 1 << 1 << QString("constant");
}

void TstExport::writesPictures() {
  QFETCH(int, width);
  QFETCH(int, height);
  QFETCH(QString, kind);
  IndexedImage image{width, height, {}, {}};
  std::mt19937 random(5);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int value = kind == "constant"   ? 9
                        : kind == "random"   ? int(random() % 256)
                        : kind == "diagonal" ? (x - y) & 255
                                             : (x / 3) % 7;
      image.pixels.push_back(static_cast<std::uint8_t>(value));
    }
  }
  for (int shade = 0; shade < 256; ++shade) {
    image.palette.push_back({static_cast<std::uint8_t>(shade), 1, 2});
  }
  writePng(path("p.png"), image);
  const std::string bytes = readFile(path("p.png"));
  QVERIFY(bytes.starts_with("\x89PNG\r\n\x1a\n"));
  const Png png = readPng(bytes);
  QCOMPARE(png.chunks.join(' '), QString("IHDR PLTE IDAT IEND"));
  QCOMPARE(png.width, std::uint32_t(width));
  QCOMPARE(png.height, std::uint32_t(height));
  QCOMPARE(png.palette.size(), std::size_t(768));
  QVERIFY(png.pixels == std::string(image.pixels.begin(), image.pixels.end()));
  if (kind == "constant" && width > 100) {
    QVERIFY(bytes.size() < image.pixels.size() / 50);
  }
  image.pixels.pop_back();
  QVERIFY_EXCEPTION_THROWN(pngBytes(image), Error);
}

void TstExport::coloursByValue() {
  const auto file = openTableFile(path("m.png"), 2, 3, PictureScale::Linear);
  file->write(std::vector<float>{-1, 0, 1, -INFINITY, 1, NAN});
  file->commit();
  const Png png = readPng(readFile(path("m.png")));
  const auto colour = [&](std::size_t pixel) {
    return png.palette.substr(3 * std::size_t(static_cast<unsigned char>(png.pixels[pixel])), 3);
  };
  QCOMPARE(colour(0), std::string("\x44\x01\x54"));  // the lowest of viridis
  QCOMPARE(colour(2), std::string("\xfd\xe7\x25"));  // the highest
  QCOMPARE(colour(4), colour(2));
  QCOMPARE(colour(3), std::string("\xff\xff\xff"));
  QCOMPARE(colour(5), std::string("\xff\xff\xff"));
  const IndexedImage logarithmic = mapPicture(std::vector<float>{0, 1e-5F, 0.1F, 1}, 4, 1, PictureScale::Log);
  QCOMPARE(logarithmic.pixels[0], logarithmic.pixels[1]);
  QCOMPARE(int(logarithmic.pixels[2]), int(std::lround(254 * 0.8)));
  QCOMPARE(int(logarithmic.pixels[3]), 254);
}

void TstExport::summarisesOneDocument() {
  const Report report = reportOf(1, 40, true);
  SummaryBuilder builder;
  builder.add(report);
  const ReportSummary summary = builder.summary();
  QCOMPARE(summary.documents, std::int64_t{1});
  QCOMPARE(summary.heads.size(), std::size_t{8});
  const HeadReport& head = report.layers[1].heads[2];
  const HeadSummary& same = summary.heads[6];
  QCOMPARE(same.layer, 1);
  QCOMPARE(same.head, 2);
  QCOMPARE(same.kvHead, 1);
  for (std::size_t index = 0; index < kScoreCount; ++index) {
    QVERIFY(same.scores[index].mean == head.scores.values[index] ||
            (std::isnan(same.scores[index].mean) && std::isnan(head.scores.values[index])));
  }
  QCOMPARE(same.label, head.cases.label);
  AnalysisOptions options;
  options.measures = true;
  const Json json = parseJson(reportJson(summary, {"m", "llama", reportDefinitions(options)}), "report");
  const Json& entry = json.at("per_head")[6];
  QCOMPARE(entry.at("scores").at("entropy").get<double>(), head.scores[Score::Entropy]);
  QCOMPARE(entry.at("case").get<std::string>(), std::string(caseKey(head.cases.label)));
  QVERIFY(!entry.contains("scores_std"));
  QCOMPARE(entry.at("case_scores").size(), kCaseCount);
  QVERIFY(entry.at("scores").contains("q_similarity_kl"));
  for (const char* key : {"prop_4_1", "thm_5_1", "thm_5_2", "thm_5_3", "thm_5_4"}) {
    for (const char* part : {"violations", "pairs", "tightness_mean", "tightness_max"}) {
      QVERIFY(entry.at("bounds").at(key).contains(part));
    }
  }
  // Every score has its line.
  for (const auto& [name, value] : entry.at("scores").items()) {
    QVERIFY2(json.at("definitions").contains(name), name.c_str());
  }
}

void TstExport::summarisesManyDocuments() {
  SummaryBuilder builder;
  std::vector<Report> reports;
  for (unsigned seed = 1; seed <= 3; ++seed) {
    reports.push_back(reportOf(seed, 30 + seed, false));
    setBlockInfluence(reports.back(), {0.1 * seed, 0.5}, {0.2, 0.25});
    builder.add(reports.back());
  }
  const ReportSummary summary = builder.summary();
  QCOMPARE(summary.documents, std::int64_t{3});
  QCOMPARE(summary.tokens, std::int64_t{31 + 32 + 33});
  const auto value = [&](std::size_t document) { return reports[document].layers[0].heads[1].scores[Score::Entropy]; };
  const double mean = (value(0) + value(1) + value(2)) / 3;
  double squares = 0;
  std::int64_t pairs = 0;
  for (std::size_t document = 0; document < 3; ++document) {
    squares += (value(document) - mean) * (value(document) - mean);
    pairs += (*reports[document].layers[0].heads[1].bounds)[Statement::Theorem51].pairs;
  }
  const Spread& spread = summary.heads[1].scores[std::size_t(Score::Entropy)];
  QVERIFY(std::abs(spread.mean - mean) < 1e-12);
  QVERIFY(std::abs(spread.deviation - std::sqrt(squares / 3)) < 1e-12);
  QCOMPARE((*summary.heads[1].bounds)[std::size_t(Statement::Theorem51)].pairs, pairs);
  const Json json = parseJson(reportJson(summary, {}), "report");
  QVERIFY(json.at("per_head")[1].contains("scores_std"));
  QVERIFY(std::abs(json.at("per_layer")[0].at("scores").at("block_influence").get<double>() - 0.2) < 1e-12);
  QVERIFY(std::abs(json.at("per_layer")[0].at("scores_std").at("block_influence_residual").get<double>()) < 1e-12);
  // A value that no document has stays absent; one that some have counts only these.
  SpreadSum sum;
  QVERIFY(std::isnan(sum.result().mean));
  sum.add(NAN);
  sum.add(std::optional<double>());
  sum.add(4.0);
  QCOMPARE(sum.result().documents, std::int64_t{1});
  QCOMPARE(sum.result().mean, 4.0);
}

void TstExport::keepsColumnsTogether() {
  for (const int documents : {1, 2}) {
    SummaryBuilder builder;
    for (int index = 0; index < documents; ++index) {
      builder.add(reportOf(unsigned(index), 20, true));
    }
    writeReport(path("r.csv"), builder.summary(), {});
    const QList<QByteArray> lines = QByteArray::fromStdString(readFile(path("r.csv"))).trimmed().split('\n');
    QCOMPARE(lines.size(), 9);
    for (const QByteArray& line : lines) {
      QCOMPARE(line.count(','), lines[0].count(','));
    }
  }
}

void TstExport::refusesOtherEndings() {
  SummaryBuilder builder;
  builder.add(reportOf(1, 10, false));
  QVERIFY_EXCEPTION_THROWN(writeReport(path("r.xml"), builder.summary(), {}), Error);
  QVERIFY(!std::filesystem::exists(path("r.xml")));
}

QTEST_GUILESS_MAIN(TstExport)
#include "tst_export.moc"
