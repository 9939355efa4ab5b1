#include "core/tokenizer/detail/tokenizer_document.h"

#include <limits>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/text.h"

namespace headscope::detail {
namespace {

class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(TokenizerDocument& document, const std::string& where, int depthLimit)
      : document_(document), tree_(document.tree, false), where_(where), depthLimit_(depthLimit) {}

  bool null() override {
    return value([&] { return tree_.null(); });
  }
  bool boolean(bool on) override {
    return value([&] { return tree_.boolean(on); });
  }
  bool number_integer(number_integer_t number) override {
    return value([&] { return tree_.number_integer(number); });
  }
  bool number_float(number_float_t number, const string_t& text) override {
    return value([&] { return tree_.number_float(number, text); });
  }
  bool binary(binary_t& bytes) override {
    return value([&] { return tree_.binary(bytes); });
  }

  bool number_unsigned(number_unsigned_t number) override {
    if (mode_ == Mode::Vocabulary && number <= std::numeric_limits<std::uint32_t>::max()) {
      if (!document_.vocabulary->emplace(std::move(name_), static_cast<std::uint32_t>(number)).second) {
        throw Error(where_, "model: a token is in the vocabulary twice");
      }
      return true;
    }
    return value([&] { return tree_.number_unsigned(number); });
  }

  bool string(string_t& text) override {
    if (mode_ == Mode::Pair) {
      pair_.push_back(std::move(text));
      return true;
    }
    if (mode_ == Mode::Merges) {
      oldMerge(text);
      return true;
    }
    return value([&] { return tree_.string(text); });
  }

  bool start_object(std::size_t size) override {
    if (mode_ == Mode::Tree && isModelMember("vocab")) {
      mode_ = Mode::Vocabulary;
      document_.vocabulary.emplace();
      return tree_.null();
    }
    if (mode_ != Mode::Tree) {
      fail();
    }
    enter();
    names_.emplace_back();
    return tree_.start_object(size);
  }

  bool key(string_t& name) override {
    if (mode_ == Mode::Vocabulary) {
      name_ = std::move(name);
      return true;
    }
    if (!names_.back().insert(name).second) {
      throw Error(where_, concat("JSON key \"", name.substr(0, 200), "\" is there twice"));
    }
    if (names_.size() == 1) {
      topName_ = name;
    }
    name_ = name;
    return tree_.key(name);
  }

  bool end_object() override {
    if (mode_ == Mode::Vocabulary) {
      mode_ = Mode::Tree;
      return true;
    }
    names_.pop_back();
    --depth_;
    return tree_.end_object();
  }

  bool start_array(std::size_t size) override {
    if (mode_ == Mode::Tree && isModelMember("merges")) {
      mode_ = Mode::Merges;
      document_.merges.emplace();
      return tree_.null();
    }
    if (mode_ == Mode::Merges && !oldMerges_) {
      mode_ = Mode::Pair;
      pair_.clear();
      return true;
    }
    if (mode_ != Mode::Tree) {
      fail();
    }
    enter();
    name_.clear();
    return tree_.start_array(size);
  }

  bool end_array() override {
    if (mode_ == Mode::Pair) {
      if (pair_.size() != 2) {
        fail();
      }
      document_.merges->emplace_back(std::move(pair_[0]), std::move(pair_[1]));
      mode_ = Mode::Merges;
      return true;
    }
    if (mode_ == Mode::Merges) {
      mode_ = Mode::Tree;
      return true;
    }
    --depth_;
    return tree_.end_array();
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string text = error.what();
    const std::size_t at = text.find("syntax error");
    throw Error(where_, concat("is not valid JSON at byte ", position, ": ",
                               (at == std::string::npos ? text : text.substr(at)).substr(0, 300)));
  }

 private:
  enum class Mode { Tree, Vocabulary, Merges, Pair };

  bool isModelMember(const char* name) const {
    return depth_ == 2 && names_.size() == 2 && topName_ == "model" && name_ == name;
  }

  template <typename Forward>
  bool value(Forward forward) {
    if (mode_ != Mode::Tree) {
      fail();
    }
    return forward();
  }

  void enter() {
    if (++depth_ > depthLimit_) {
      throw Error(where_, concat("JSON is nested more than ", depthLimit_, " deep"));
    }
  }

  // Older files: "a b"; a line about the version counts as none.
  void oldMerge(const std::string& text) {
    if (!document_.merges->empty() && !oldMerges_) {
      fail();
    }
    oldMerges_ = true;
    if (text.starts_with("#version")) {
      return;
    }
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      throw Error(where_, concat("model: merge ", document_.merges->size(), " \"", text.substr(0, 80),
                                 "\" is not two tokens with one space between them"));
    }
    document_.merges->emplace_back(text.substr(0, space), text.substr(space + 1));
  }

  [[noreturn]] void fail() const {
    if (mode_ == Mode::Vocabulary) {
      throw Error(where_, concat("model: the id of token \"", name_.substr(0, 80),
                                 "\" is not a whole number from 0 to ", std::numeric_limits<std::uint32_t>::max()));
    }
    throw Error(where_, concat("model: merge ", document_.merges->size(), " is not a pair of tokens like the others"));
  }

  TokenizerDocument& document_;
  nlohmann::detail::json_sax_dom_parser<Json> tree_;
  const std::string& where_;
  int depthLimit_;
  int depth_ = 0;
  Mode mode_ = Mode::Tree;
  std::vector<std::unordered_set<std::string>> names_;  // of the open objects' members
  std::string topName_;                                 // the member of the outermost object
  std::string name_;                                    // the last member, or token
  std::vector<std::string> pair_;
  bool oldMerges_ = false;
};

}  // namespace

TokenizerDocument parseTokenizer(std::string_view text, const std::string& where) {
  const JsonLimits limits;
  if (text.size() > limits.bytes) {
    throw Error(where, concat("JSON is too large: ", text.size(), " bytes, at most ", limits.bytes, " are read"));
  }
  const std::size_t invalid = firstInvalidUtf8(text);
  if (invalid != std::string_view::npos) {
    throw Error(where, concat("JSON is not valid UTF-8 at byte ", invalid));
  }
  TokenizerDocument document;
  Builder builder(document, where, limits.depth);
  if (!Json::sax_parse(text, &builder)) {
    throw Error(where, "is not valid JSON");
  }
  return document;
}

}  // namespace headscope::detail
