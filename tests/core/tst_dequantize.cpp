#include <QtTest>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include "core/base/error.h"
#include "core/files/dequantize.h"
#include "core/files/float_type.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"

using namespace headscope;
namespace fs = std::filesystem;

namespace {

using Block = std::vector<std::uint8_t>;

constexpr std::array<GgufType, 16> kDecoded{GgufType::F32,  GgufType::F16,    GgufType::BF16,   GgufType::Q8_0,
                                            GgufType::Q4_0, GgufType::Q4_1,   GgufType::Q5_0,   GgufType::Q5_1,
                                            GgufType::Q2_K, GgufType::Q3_K,   GgufType::Q4_K,   GgufType::Q5_K,
                                            GgufType::Q6_K, GgufType::IQ4_NL, GgufType::IQ4_XS, GgufType::MXFP4};

/// Where the fp16 scales of a block are: d, then m or dmin; −1 if there is none.
struct ScalePlaces {
  int d = -1;
  int m = -1;
};

ScalePlaces scalePlaces(GgufType type) {
  switch (type) {
    case GgufType::Q4_1:
    case GgufType::Q5_1:
    case GgufType::Q4_K:
    case GgufType::Q5_K:
      return {0, 2};
    case GgufType::Q2_K:
      return {80, 82};
    case GgufType::Q3_K:
      return {108, -1};
    case GgufType::Q6_K:
      return {208, -1};
    case GgufType::F32:
    case GgufType::F16:
    case GgufType::BF16:
    case GgufType::MXFP4:
      return {};
    default:
      return {0, -1};
  }
}

void putHalf(Block& block, int at, std::uint16_t bits) {
  block[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(bits);
  block[static_cast<std::size_t>(at) + 1] = static_cast<std::uint8_t>(bits >> 8);
}

double halfAt(const Block& block, std::size_t at) {
  return f16ToFloat(static_cast<std::uint16_t>(block[at] | block[at + 1] << 8));
}

constexpr std::array<int, 16> kNonLinear{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr std::array<int, 16> kFloat4{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Scale and minimum number j of Q4_K and Q5_K, from the 12 bytes at 4.
std::pair<int, int> scaleAndMinimum(const Block& b, std::size_t j) {
  const auto s = [&](std::size_t i) { return static_cast<int>(b[4 + i]); };
  return j < 4 ? std::pair(s(j) & 63, s(j + 4) & 63)
               : std::pair((s(j + 4) & 15) | (s(j - 4) >> 6) << 4, (s(j + 4) >> 4) | (s(j) >> 6) << 4);
}

/// Element i of a block, straight from the table of the formats, in double: an independent form of the decoders.
double element(GgufType type, const Block& b, std::size_t i) {
  const auto nibble = [&](std::size_t qs) { return i < 16 ? b[qs + i] & 15 : b[qs + i - 16] >> 4; };
  const auto fifth = [&](std::size_t qh) { return (b[qh + i / 8] >> (i % 8) & 1) << 4; };
  const auto twoBits = [&](std::size_t qs) { return b[qs + 32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3; };
  const auto kNibble = [&](std::size_t qs) {
    const int q = b[qs + 32 * (i / 64) + i % 32];
    return i / 32 % 2 == 0 ? q & 15 : q >> 4;
  };
  switch (type) {
    case GgufType::F32: {
      float value = 0;
      std::memcpy(&value, b.data(), sizeof value);
      return value;
    }
    case GgufType::F16:
      return halfAt(b, 0);
    case GgufType::BF16:
      return std::bit_cast<float>(static_cast<std::uint32_t>(b[0] | b[1] << 8) << 16);
    case GgufType::Q8_0:
      return halfAt(b, 0) * static_cast<std::int8_t>(b[2 + i]);
    case GgufType::Q4_0:
      return halfAt(b, 0) * (nibble(2) - 8);
    case GgufType::Q4_1:
      return halfAt(b, 0) * nibble(4) + halfAt(b, 2);
    case GgufType::Q5_0:
      return halfAt(b, 0) * ((nibble(6) | fifth(2)) - 16);
    case GgufType::Q5_1:
      return halfAt(b, 0) * (nibble(8) | fifth(4)) + halfAt(b, 2);
    case GgufType::IQ4_NL:
      return halfAt(b, 0) * kNonLinear[static_cast<std::size_t>(nibble(2))];
    case GgufType::MXFP4:
      return std::ldexp(kFloat4[static_cast<std::size_t>(nibble(1))], b[0] - 128);
    case GgufType::Q2_K:
      return halfAt(b, 80) * (b[i / 16] & 15) * twoBits(16) - halfAt(b, 82) * (b[i / 16] >> 4);
    case GgufType::Q3_K: {
      const std::size_t k = i / 16;
      const int low = k < 8 ? b[96 + k] & 15 : b[96 + k - 8] >> 4;
      const int high = b[96 + 8 + k % 4] >> 2 * (k / 4) & 3;
      const int minus = (b[i % 32] >> i / 32 & 1) != 0 ? 0 : 4;
      return halfAt(b, 108) * ((low | high << 4) - 32) * (twoBits(32) - minus);
    }
    case GgufType::Q4_K: {
      const auto [c, m] = scaleAndMinimum(b, i / 32);
      return halfAt(b, 0) * c * kNibble(16) - halfAt(b, 2) * m;
    }
    case GgufType::Q5_K: {
      const auto [c, m] = scaleAndMinimum(b, i / 32);
      const int q = kNibble(48) | (b[16 + i % 32] >> i / 32 & 1) << 4;
      return halfAt(b, 0) * c * q - halfAt(b, 2) * m;
    }
    case GgufType::Q6_K: {
      const std::size_t n = i / 128;
      const std::size_t g = i % 128 / 32;
      const int byte = b[64 * n + 32 * (g % 2) + i % 32];
      const int low = g < 2 ? byte & 15 : byte >> 4;
      const int high = b[128 + 32 * n + i % 32] >> 2 * g & 3;
      return halfAt(b, 208) * static_cast<std::int8_t>(b[192 + i / 16]) * ((high << 4 | low) - 32);
    }
    case GgufType::IQ4_XS: {
      const std::size_t part = i / 32;
      const int scale = (b[4 + part / 2] >> 4 * (part % 2) & 15) | ((b[2] | b[3] << 8) >> 2 * part & 3) << 4;
      const int byte = b[8 + 16 * part + i % 16];
      return halfAt(b, 0) * (scale - 32) * kNonLinear[static_cast<std::size_t>(i % 32 < 16 ? byte & 15 : byte >> 4)];
    }
    default:
      return NAN;
  }
}

std::vector<float> decode(GgufType type, const Block& blocks, std::size_t elements) {
  std::vector<float> values(elements);
  dequantize(type, reinterpret_cast<const std::byte*>(blocks.data()), static_cast<std::int64_t>(elements),
             values.data());
  return values;
}

std::vector<float> decodeWhole(const GgufTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  dequantizeRows(tensor, 0, tensor.rows(), values.data());
  return values;
}

void typeRows() {
  QTest::addColumn<int>("type");
  for (const GgufType type : kDecoded) {
    QTest::newRow(ggufTypeInfo(type).name) << static_cast<int>(type);
  }
}

}  // namespace

class TestDequantize : public QObject {
  Q_OBJECT

 private slots:
  void goldenVectors_data();
  void goldenVectors();
  void blocksAreBitEqual_data();
  void blocksAreBitEqual();
  void everyElementFollowsTheTable_data() { typeRows(); }
  void everyElementFollowsTheTable();
  void rowsAreSlices_data() { typeRows(); }
  void rowsAreSlices();
  void floatTypes();
  void refusesByName();
  void wholeModels_data();
  void wholeModels();
};

void TestDequantize::goldenVectors_data() {
  QTest::addColumn<int>("type");
  QTest::addColumn<QList<double>>("samples");  // index, value, …
  QTest::addColumn<double>("sum");
  QTest::addColumn<double>("weighted");
  const auto row = [](GgufType type, const QList<double>& samples, double sum, double weighted) {
    QTest::newRow(ggufTypeInfo(type).name) << static_cast<int>(type) << samples << sum << weighted;
  };
  // Computed by ggml's C code (reference models.md, 5.6).
  row(GgufType::Q4_0, {0, -3, 1, 2, 15, -8, 16, -3, 31, 0}, -21, -518);
  row(GgufType::Q4_1, {0, 15.5, 1, 4.5, 15, 10.5, 16, 9.5, 31, 12.5}, 261, 4247);
  row(GgufType::Q5_0, {0, 9, 1, -2, 15, -12, 16, 14, 31, 1}, 15, 112);
  row(GgufType::Q5_1, {0, 19.5, 1, 24.5, 15, 30.5, 16, 19.5, 31, 5.5}, 521, 8165);
  row(GgufType::Q8_0, {0, 85, 1, 122, 15, -128, 16, -91, 31, -48}, -176, -8080);
  row(GgufType::IQ4_NL, {0, -35, 1, 25, 15, -127, 16, -35, 31, 1}, -257, -6919);
  row(GgufType::MXFP4, {0, 0, 1, 6, 15, -3, 16, 3, 31, 6}, 25, 638);
  row(GgufType::Q2_K, {0, 33, 1, 0, 31, -1.5, 32, 7.5, 100, 20, 128, 7.5, 200, 8, 255, 4.5}, 2059, 243130);
  row(GgufType::Q3_K, {0, 81, 1, -108, 31, 64, 32, -22, 100, 0, 128, 2, 200, 25, 255, 42}, 958, 177145);
  row(GgufType::Q4_K, {0, 315.5, 1, -25.5, 31, 160.5, 32, 8, 100, 95, 128, 423, 200, 138.5, 255, 48.5}, 54440, 7572840);
  row(GgufType::Q5_K, {0, 811.5, 1, -25.5, 31, 160.5, 32, 112, 100, 235, 128, 1047, 200, 138.5, 255, 108.5}, 116216,
      16027448);
  row(GgufType::Q6_K, {0, -1431, 1, 1696, 31, -96, 32, 231, 100, 2523, 128, -351, 200, 1089, 255, -60}, 4612, 784420);
  row(GgufType::IQ4_XS, {0, 65, 1, -1, 31, 35, 32, 455, 100, 40, 128, -585, 200, 1140, 255, -16}, -11005, -2091134);
}

void TestDequantize::goldenVectors() {
  QFETCH(int, type);
  QFETCH(QList<double>, samples);
  const GgufTypeInfo& info = *findGgufType(type);
  Block block(static_cast<std::size_t>(info.blockBytes));
  for (std::size_t k = 0; k < block.size(); ++k) {
    block[k] = static_cast<std::uint8_t>(37 * k + 11);
  }
  const ScalePlaces scales = scalePlaces(info.type);
  if (scales.d >= 0) {
    putHalf(block, scales.d, 0x3C00);
  }
  if (scales.m >= 0) {
    putHalf(block, scales.m, 0x3800);
  }
  if (info.type == GgufType::MXFP4) {
    block[0] = 128;
  }
  const std::vector<float> values = decode(info.type, block, static_cast<std::size_t>(info.blockElements));
  double sum = 0;
  double weighted = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    weighted += static_cast<double>(i + 1) * values[i];
  }
  QTEST(sum, "sum");
  QTEST(weighted, "weighted");
  for (qsizetype i = 0; i < samples.size(); i += 2) {
    QCOMPARE(static_cast<double>(values[static_cast<std::size_t>(samples[i])]), samples[i + 1]);
  }
}

void TestDequantize::blocksAreBitEqual_data() {
  QTest::addColumn<QString>("folder");
  QTest::newRow("committed") << QString(HEADSCOPE_SOURCE "/tests/golden/gguf");
  QTest::newRow("shared") << QString(HEADSCOPE_SHARED "/models/gguf-types");
}

void TestDequantize::blocksAreBitEqual() {
  QFETCH(QString, folder);
  const fs::path root = folder.toStdString();
  if (!fs::exists(root)) {
    QSKIP("the golden files are not here");
  }
  const auto blocks = GgufFile::open(root / "blocks.gguf");
  const auto golden = SafetensorsFile::open(root / "blocks.safetensors");
  int compared = 0;
  for (const auto& [name, tensor] : blocks->tensors()) {
    if (!canDequantize(tensor.type)) {
      continue;
    }
    const TensorView& expected = golden->at(name);
    QCOMPARE(tensor.shape, expected.shape);
    const std::vector<float> values = decodeWhole(tensor);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, expected.bytes.data() + 4 * i, sizeof bits);
      QVERIFY2(std::bit_cast<std::uint32_t>(values[i]) == bits, concat(name, " element ", i).c_str());
    }
    ++compared;
  }
  QCOMPARE(compared, 15);  // all but F32
}

void TestDequantize::everyElementFollowsTheTable() {
  QFETCH(int, type);
  const GgufTypeInfo& info = *findGgufType(type);
  const auto elements = static_cast<std::size_t>(info.blockElements);
  const ScalePlaces scales = scalePlaces(info.type);
  std::mt19937 random(static_cast<unsigned>(type) + 1);
  for (int trial = 0; trial < 200; ++trial) {
    Block block(static_cast<std::size_t>(info.blockBytes));
    for (std::uint8_t& byte : block) {
      byte = static_cast<std::uint8_t>(random());
    }
    for (const int place : {scales.d, scales.m}) {
      if (place >= 0) {  // any finite number
        putHalf(block, place, static_cast<std::uint16_t>((random() & 0x8000u) | (random() % 0x7C00u)));
      }
    }
    const std::vector<float> values = decode(info.type, block, elements);
    for (std::size_t i = 0; i < elements; ++i) {
      const double expected = element(info.type, block, i);
      if (std::isnan(expected)) {
        QVERIFY(std::isnan(values[i]));
      } else if (std::isinf(static_cast<float>(expected))) {  // MXFP4's largest scales
        QCOMPARE(values[i], static_cast<float>(expected));
      } else if (scales.m >= 0) {
        // Two products, one difference: each is rounded to float once.
        const double bound =
            std::ldexp(1.0, -24) * 3 *
            (std::abs(expected) + 2 * std::abs(halfAt(block, static_cast<std::size_t>(scales.m))) * 63);
        QVERIFY2(std::abs(values[i] - expected) <= bound, concat(info.name, " element ", i).c_str());
      } else {
        QVERIFY2(std::abs(values[i] - expected) <= std::ldexp(1.0, -23) * std::abs(expected),
                 concat(info.name, " element ", i).c_str());
      }
    }
  }
}

void TestDequantize::rowsAreSlices() {
  QFETCH(int, type);
  const GgufTypeInfo& info = *findGgufType(type);
  constexpr std::int64_t kRows = 7;
  constexpr std::int64_t kColumns = 512;
  // Starts at an odd address.
  Block bytes(1 + static_cast<std::size_t>(kRows * kColumns / info.blockElements * info.blockBytes));
  for (std::size_t k = 0; k < bytes.size(); ++k) {
    bytes[k] = static_cast<std::uint8_t>(k * k + 3 * k);
  }
  const GgufTensor tensor{"t", info.type, {kRows, kColumns}, std::as_bytes(std::span(bytes)).subspan(1)};
  const std::vector<float> whole = decodeWhole(tensor);
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {3, 2}, {6, 1}, {0, 7}, {5, 0}}) {
    std::vector<float> part(static_cast<std::size_t>(count * kColumns), -1.0F);
    dequantizeRows(tensor, first, count, part.data());
    QVERIFY(part.empty() ||
            std::memcmp(part.data(), whole.data() + first * kColumns, part.size() * sizeof(float)) == 0);
  }
}

void TestDequantize::floatTypes() {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double fraction = (bits & 0x3FF) / 1024.0;
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    const float value = f16ToFloat(half);
    if (exponent < 31) {
      const double expected =
          sign * (exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15));
      QCOMPARE(static_cast<double>(value), expected);
      QCOMPARE(std::signbit(value), sign < 0);
    } else {
      QVERIFY(fraction > 0 ? std::isnan(value) : value == sign * INFINITY);
    }
    float converted = 0;
    toFloats(reinterpret_cast<const std::byte*>(&half), FloatType::F16, 1, &converted);
    QCOMPARE(std::bit_cast<std::uint32_t>(converted), std::bit_cast<std::uint32_t>(value));
    const float brain = bf16ToFloat(half);
    QCOMPARE(std::bit_cast<std::uint32_t>(brain), bits << 16);
    QVERIFY(floatToBf16(brain) == half || std::isnan(brain));
  }
  // To the nearest, ties to even.
  QCOMPARE(floatToBf16(std::bit_cast<float>(0x3F808000u)), std::uint16_t{0x3F80});
  QCOMPARE(floatToBf16(std::bit_cast<float>(0x3F818000u)), std::uint16_t{0x3F82});
  QCOMPARE(floatToBf16(std::bit_cast<float>(0x3F808001u)), std::uint16_t{0x3F81});
  QVERIFY(std::isnan(bf16ToFloat(floatToBf16(std::bit_cast<float>(0x7F800001u)))));
}

void TestDequantize::refusesByName() {
  for (int id = 0; id < 43; ++id) {
    const GgufTypeInfo* info = findGgufType(id);
    if (info == nullptr) {
      continue;
    }
    const bool decoded = std::find(kDecoded.begin(), kDecoded.end(), info->type) != kDecoded.end();
    QCOMPARE(canDequantize(info->type), decoded);
    const GgufTensor tensor{"blk.0.x", info->type, {1, 256}, {}};
    try {
      requireDequantizable(tensor, "model.gguf");
      QVERIFY(decoded);
    } catch (const Error& error) {
      const std::string message = error.what();
      QVERIFY(!decoded);
      QVERIFY(error.kind() == ErrorKind::Unsupported);
      QVERIFY2(message.starts_with("model.gguf: tensor \"blk.0.x\" is of type " + std::string(info->name) + ","),
               message.c_str());
    }
  }
}

void TestDequantize::wholeModels_data() {
  QTest::addColumn<QString>("name");
  const fs::path models = fs::path(HEADSCOPE_SHARED) / "models" / "gguf-types" / "models";
  if (fs::exists(models)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(models)) {
      const std::string name = entry.path().stem().string();
      QTest::newRow(name.c_str()) << QString::fromStdString(name);
    }
  }
}

void TestDequantize::wholeModels() {
  const fs::path root = fs::path(HEADSCOPE_SHARED) / "models" / "gguf-types";
  if (!fs::exists(root)) {
    QSKIP("the golden files are not here");
  }
  QFETCH(QString, name);
  const auto file = GgufFile::open(root / "models" / (name.toStdString() + ".gguf"));
  const Json golden = readJson(root / "tensors.json").at(name.toStdString());
  QCOMPARE(file->tensors().size(), golden.size());
  for (const auto& [key, expected] : golden.items()) {
    const GgufTensor& tensor = file->at(key);
    QCOMPARE(std::string(ggufTypeInfo(tensor.type).name), expected.at("type").get<std::string>());
    QCOMPARE(std::vector<std::int64_t>(tensor.shape.rbegin(), tensor.shape.rend()),
             expected.at("ne").get<std::vector<std::int64_t>>());
    const std::vector<float> values = decodeWhole(tensor);
    QCOMPARE(values.size(), expected.at("count").get<std::size_t>());
    for (const Json& sample : expected.at("samples")) {
      QCOMPARE(static_cast<double>(values[sample[0].get<std::size_t>()]), sample[1].get<double>());
    }
    double sum = 0;
    double absolute = 0;
    double weighted = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum += values[i];
      absolute += std::abs(static_cast<double>(values[i]));
      weighted += static_cast<double>(i % 1000 + 1) * values[i];
    }
    // numpy adds in another order.
    const double slack = 1e-12 * expected.at("abs_sum").get<double>();
    QVERIFY(std::abs(sum - expected.at("sum").get<double>()) <= slack);
    QVERIFY(std::abs(absolute - expected.at("abs_sum").get<double>()) <= slack);
    QVERIFY(std::abs(weighted - expected.at("weighted").get<double>()) <= 1000 * slack);
  }
}

QTEST_GUILESS_MAIN(TestDequantize)
#include "tst_dequantize.moc"
