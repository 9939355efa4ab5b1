// Random damage to sound files of every format: readers refuse or read, but never crash, hang, or ask for memory that
// the file can't justify. Run under AddressSanitizer and UBSan by -DHEADSCOPE_SANITIZE=address,undefined.

#include <sys/resource.h>

#include <QtTest>
#include <filesystem>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/files/dequantize.h"
#include "core/files/gguf_reader.h"
#include "core/files/json.h"
#include "core/files/npy.h"
#include "core/files/safetensors.h"
#include "core/files/safetensors_writer.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/memory_file.h"
#include "tests/support/mutations.h"

using namespace headscope;
using namespace headscope::test;
namespace fs = std::filesystem;

namespace {

constexpr int kTrials = 10'000;

/// Whatever a reader returns must be readable to the last byte.
unsigned sumOf(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte byte : bytes) {
    sum += std::to_integer<unsigned>(byte);
  }
  return sum;
}

void useSafetensors(const fs::path& path) {
  const auto file = SafetensorsFile::open(path);
  std::uint64_t bytes = 0;
  for (const auto& [name, view] : file->tensors()) {
    bytes += view.bytes.size();
    sumOf(view.bytes);
    if (tensorBytes(view.type, view.shape) != view.bytes.size()) {
      throw std::logic_error("a view has another size than its shape");
    }
  }
  if (bytes > file->fileBytes()) {
    throw std::logic_error("more data than the file has");
  }
}

void useArray(const GgufReader& reader, const std::string& key, const GgufArray& array) {
  sumOf(array.bytes);
  if (array.type == GgufValueType::String) {
    for (const std::string_view text : reader.strings(key)) {
      sumOf(std::as_bytes(std::span(text)));
    }
  } else if (array.type == GgufValueType::F32 || array.type == GgufValueType::F64) {
    reader.numbers(key);
  } else if (array.type != GgufValueType::U64) {
    reader.integers(key);
  }
}

void useGguf(const fs::path& path) {
  const auto file = GgufFile::open(path);
  for (const auto& [name, tensor] : file->tensors()) {
    sumOf(tensor.bytes);
    if (canDequantize(tensor.type)) {
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      dequantizeRows(tensor, 0, tensor.rows(), values.data());
    }
  }
  const GgufReader reader(*file);
  for (const auto& [key, value] : file->metadata()) {
    if (const auto* array = std::get_if<GgufArray>(&value)) {
      useArray(reader, key, *array);
    }
  }
}

void useNpy(const fs::path& path) {
  const NpyArray array = readNpy(path);
  array.numbers();
  array.integers();
}

void useJson(const fs::path& path) {
  readJson(path).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string soundSafetensors() {
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "f";
  const std::vector<TensorDeclaration> declared{{"model.embed_tokens.weight", TensorType::F32, {8, 4}},
                                                {"model.layers.0.self_attn.q_proj.weight", TensorType::BF16, {4, 4}},
                                                {"scalar", TensorType::F64, {}},
                                                {"empty", TensorType::I32, {0, 3}}};
  SafetensorsWriter(path, declared, {{"format", "pt"}}).commit();
  return readFile(path);
}

std::string soundGguf() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama");
  builder.number("general.alignment", GgufValueType::U32, std::uint32_t{32});
  builder.number("llama.block_count", GgufValueType::U32, std::uint32_t{1});
  builder.number("llama.rope.freq_base", GgufValueType::F32, 1e4F);
  std::string tokens;
  for (const char* token : {"<s>", "a", "b", "ab"}) {
    appendText(tokens, token);
  }
  builder.array("tokenizer.ggml.tokens", 8, 4, tokens);
  builder.array("tokenizer.ggml.token_type", 5, 4, std::string(16, '\1'));
  builder.tensor("token_embd.weight", GgufType::Q4_K, {256, 2}, std::string(288, '\x35'));
  builder.tensor("blk.0.attn_q.weight", GgufType::Q8_0, {32, 4}, std::string(136, '\x11'));
  builder.tensor("output_norm.weight", GgufType::F32, {8}, std::string(32, '\0'));
  return builder.bytes();
}

std::string soundNpy() {
  QTemporaryDir folder;
  const fs::path path = fs::path(folder.path().toStdString()) / "f";
  const std::vector<float> values(24, 1.0F);
  writeNpy(path, std::array<std::int64_t, 3>{2, 3, 4}, std::span<const float>(values));
  return readFile(path);
}

std::string soundJson() {
  return R"({"model_type":"llama","hidden_size":64,"rope_scaling":{"rope_type":"yarn","factor":4.0,"list":[1,2,[]]},)"
         R"("layer_types":["full_attention","sliding_attention"],"tie_word_embeddings":false,"x":null,"ä":"\u00e4"})";
}

}  // namespace

class TestFileMutations : public QObject {
  Q_OBJECT

 private slots:
  void damaged_data();
  void damaged();
};

void TestFileMutations::damaged_data() {
  QTest::addColumn<int>("format");
  QTest::newRow("safetensors") << 0;
  QTest::newRow("gguf") << 1;
  QTest::newRow("npy") << 2;
  QTest::newRow("json") << 3;
}

void TestFileMutations::damaged() {
  QFETCH(int, format);
  struct Format {
    std::string sound;
    std::size_t header;
    void (*use)(const fs::path&);
  };
  const std::array<Format, 4> formats{{{soundSafetensors(), 400, useSafetensors},
                                       {soundGguf(), 480, useGguf},
                                       {soundNpy(), 128, useNpy},
                                       {soundJson(), 300, useJson}}};
  const Format& one = formats[static_cast<std::size_t>(format)];
  one.use(MemoryFile(one.sound).path());  // it is sound
  rusage before{};
  ::getrusage(RUSAGE_SELF, &before);
  Mutator mutator(20'240'611);
  int refused = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const MemoryFile file(mutator.damage(one.sound, one.header));
    try {
      one.use(file.path());
    } catch (const Error& error) {
      ++refused;
      QVERIFY2(error.where() == file.path().string(), error.what());
      QVERIFY2(std::string_view(error.what()).find('\n') == std::string_view::npos, error.what());
    }  // anything else ends the test
  }
  // Damage was seen, and some of it left a file that can be read: both ways were tested.
  QVERIFY(refused > kTrials / 4 && refused < kTrials);
  rusage after{};
  ::getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__
  QVERIFY(after.ru_maxrss - before.ru_maxrss < 64 * 1024);
#endif
}

QTEST_GUILESS_MAIN(TestFileMutations)
#include "tst_file_mutations.moc"
