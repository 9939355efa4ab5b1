#include "core/tokenizer/detail/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/base/error.h"
#include "core/tokenizer/detail/regex_syntax.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {
namespace {

template <auto release>
struct Release {
  template <typename T>
  void operator()(T* object) const noexcept {
    release(object);
  }
};

using CodePointer = std::unique_ptr<pcre2_code, Release<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Release<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Release<pcre2_jit_stack_free>>;

constexpr std::size_t kLongestPattern = 1 << 16;

std::string errorText(int code) {
  PCRE2_UCHAR buffer[256] = {0};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

// What one thread needs for matching; the JIT's own stack of 32 KiB is too small for long runs.
struct Workspace {
  MatchData data{pcre2_match_data_create(1, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  JitStack stack{pcre2_jit_stack_create(32 * 1024, 64 * 1024 * 1024, nullptr)};

  Workspace() { pcre2_jit_stack_assign(context.get(), nullptr, stack.get()); }
};

Workspace& workspace() {
  static thread_local Workspace own;
  return own;
}

}  // namespace

struct Pattern::Code {
  CodePointer code;
};

Pattern Pattern::literal(std::string text, std::string where) {
  if (text.empty()) {
    return regex("", std::move(where));
  }
  Pattern pattern;
  pattern.literal_ = std::move(text);
  pattern.where_ = std::move(where);
  return pattern;
}

Pattern Pattern::regex(std::string_view oniguruma, std::string where) {
  if (oniguruma.size() > kLongestPattern) {
    throw Error(std::move(where), concat("a regular expression of ", oniguruma.size(), " bytes is too long"));
  }
  const std::string translated = toPcre2(oniguruma, where);
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 100);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // In Oniguruma ^ and $ are always about lines.
  auto code = std::make_shared<Code>();
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                 context.get()));
  if (!code->code) {
    throw Error(std::move(where),
                concat("regular expression ", std::string(oniguruma.substr(0, 120)), ": ", errorText(error)));
  }
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);  // without it the interpreter does the same
  Pattern pattern;
  pattern.code_ = std::move(code);
  pattern.where_ = std::move(where);
  return pattern;
}

void Pattern::find(std::string_view text, std::vector<Match>& parts) const {
  parts.clear();
  if (text.empty()) {
    return;
  }
  std::size_t done = 0;
  const auto add = [&](std::size_t begin, std::size_t end) {
    if (done != begin) {
      parts.push_back({done, begin, false});
    }
    parts.push_back({begin, end, true});
    done = end;
  };
  if (!code_) {
    for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, done)) {
      add(at, at + literal_.size());
    }
  } else {
    std::string copy;
    const std::string_view subject = replaceUnknownCharacters(text, copy) ? std::string_view(copy) : text;
    Workspace& own = workspace();
    std::size_t from = 0;
    std::size_t lastEnd = std::string_view::npos;
    while (from <= subject.size()) {
      const int found = pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(),
                                    from, PCRE2_NO_UTF_CHECK, own.data.get(), own.context.get());
      if (found == PCRE2_ERROR_NOMATCH) {
        break;
      }
      if (found < 0) {
        throw Error(where_, concat("regular expression: ", errorText(found)));
      }
      const PCRE2_SIZE* ovector = pcre2_get_ovector_pointer(own.data.get());
      const std::size_t begin = ovector[0];
      const std::size_t end = ovector[1];
      // An empty match right after the last match doesn't count; the search goes on one character later.
      if (begin == end && end == lastEnd) {
        from += from < subject.size() ? characterAt(subject, from).length : 1;
        continue;
      }
      from = end;
      lastEnd = end;
      add(begin, end);
    }
  }
  if (done != text.size()) {
    parts.push_back({done, text.size(), false});
  }
}

}  // namespace headscope::detail
