#include "core/analysis/needle_prompt.h"

#include <algorithm>
#include <array>

#include "core/analysis/head_vectors.h"
#include "core/base/error.h"

namespace headscope {
namespace {

struct Needle {
  double depth;
  const char* sentence;
  const char* question;
};

// Nothing in front of a needle's words makes the next one likely: what is copied is copied.
constexpr std::array<Needle, 3> kNeedles{{
    {0.2, "The password of the old lighthouse is copper seven violet anchor under nine silent foxes.",
     "What is the password of the old lighthouse?"},
    {0.5, "The baker keeps the green key inside a broken drum behind twelve blue candles.",
     "Where does the baker keep the green key?"},
    {0.8, "Her train to the northern harbour leaves from platform four with yellow apples, two maps and a clock.",
     "What leaves from platform four?"},
}};

/// Behind the end of a sentence, as close to `depth` as there is one.
std::size_t cutAt(std::string_view text, double depth) {
  const auto wanted = static_cast<std::size_t>(depth * static_cast<double>(text.size()));
  std::size_t best = text.size();
  for (std::size_t at = text.find(". "); at != std::string_view::npos; at = text.find(". ", at + 1)) {
    const auto distance = [wanted](std::size_t place) { return place > wanted ? place - wanted : wanted - place; };
    best = distance(at + 2) < distance(best) ? at + 2 : best;
  }
  return best;
}

}  // namespace

std::vector<NeedlePrompt> needlePrompts(std::string_view haystack) {
  std::vector<NeedlePrompt> prompts;
  for (const Needle& needle : kNeedles) {
    const std::size_t cut = cutAt(haystack, needle.depth);
    prompts.push_back({concat(haystack.substr(0, cut), needle.sentence, " ", haystack.substr(cut),
                              "\n\nQuestion: ", needle.question, "\nAnswer: ", needle.sentence),
                       needle.sentence, needle.depth});
  }
  return prompts;
}

void NeedleScores::add(const Capture& capture, const JobControl& control) {
  const CaptureHeader& header = capture.header();
  const auto span = findNeedle(header.ids);
  if (!span) {
    throw Error("", "the needle prompt repeats nothing that is 5 tokens long");
  }
  if (prompts_ == 0) {
    layers_ = header.layers;
    heads_ = header.heads;
    copied_.assign(static_cast<std::size_t>(layers_) * static_cast<std::size_t>(heads_), 0.0);
  }
  if (layers_ != header.layers || heads_ != header.heads) {
    throw Error("", "the needle prompts were run on models of different shapes");
  }
  const std::int64_t all = std::int64_t{layers_} * heads_;
  std::shared_ptr<const RotationTable> rotation;
  for (int layer = 0; layer < layers_; ++layer) {
    const auto frame = std::make_shared<const LayerFrame>(makeLayerFrame(capture, layer, {}, &rotation));
    std::shared_ptr<const KeyVectors> keys;
    for (int head = 0, kvHead = -1; head < heads_; ++head) {
      control.checkpoint("retrieval", std::int64_t{layer} * heads_ + head, all);
      if (kvHead != capture.layer(layer).kvHead(head)) {
        kvHead = capture.layer(layer).kvHead(head);
        keys = makeKeyVectors(capture, *frame, kvHead);
      }
      const HeadVectors vectors = makeHeadVectors(capture, frame, head, keys);
      copied_[static_cast<std::size_t>(std::int64_t{layer} * heads_ + head)] +=
          retrievalScore(vectors, header.ids, *span, control).copied;
    }
  }
  ++prompts_;
  tokens_ += span->tokens;
}

std::optional<double> NeedleScores::copied(int layer, int head) const {
  if (prompts_ == 0 || layer < 0 || layer >= layers_ || head < 0 || head >= heads_) {
    return {};
  }
  return copied_[static_cast<std::size_t>(std::int64_t{layer} * heads_ + head)] / prompts_;
}

}  // namespace headscope
