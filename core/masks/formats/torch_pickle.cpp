#include "core/masks/formats/torch_pickle.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/masks/formats/torch_storage.h"
#include "core/masks/formats/zip_entries.h"

namespace headscope::masks {
namespace {

constexpr std::size_t kMostSteps = 20000;  // also bounds how deep objects nest, and so the recursion of destructors

struct Value;
using Ref = std::shared_ptr<Value>;

struct Value {
  enum class Kind { None, Bool, Int, Float, Text, List, Tuple, Dict, Global, Storage, Tensor };
  Kind kind = Kind::None;
  std::int64_t integer = 0;                ///< Bool, Int; Storage: its elements
  std::string text;                        ///< Text; Global: "module.name"; Storage: its key
  std::string type;                        ///< Storage: "FloatStorage"
  std::vector<Ref> items;                  ///< List, Tuple
  std::vector<std::pair<Ref, Ref>> pairs;  ///< Dict
  SavedTensor tensor;
};

Ref make(Value::Kind kind) {
  auto value = std::make_shared<Value>();
  value->kind = kind;
  return value;
}

class Unpickler {
 public:
  /// `storages` finds the bytes of a storage by its key.
  Unpickler(std::string_view code, const ZipEntries* entries, std::string prefix, const std::string& where)
      : code_(code), entries_(entries), prefix_(std::move(prefix)), where_(where) {}

  Ref run() {
    for (std::size_t count = 0; count < kMostSteps; ++count) {
      const auto operation = static_cast<unsigned char>(take(1)[0]);
      if (operation == '.') {
        return pop();
      }
      step(operation);
    }
    fail("is far longer than a dict of tensors needs");
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw Error(where_, "as a pickle, " + problem); }

  std::string_view take(std::size_t bytes) {
    if (bytes > code_.size() - at_) {
      fail("is cut off");
    }
    at_ += bytes;
    return code_.substr(at_ - bytes, bytes);
  }

  template <typename Number>
  Number number() {
    Number value{};
    std::memcpy(&value, take(sizeof(Number)).data(), sizeof(Number));
    return value;
  }

  std::string_view line() {
    const std::size_t end = code_.find('\n', at_);
    if (end == std::string_view::npos) {
      fail("is cut off");
    }
    const std::string_view text = code_.substr(at_, end - at_);
    at_ = end + 1;
    return text;
  }

  void push(Ref value) { stack_.push_back(std::move(value)); }

  void pushInt(Value::Kind kind, std::int64_t value) {
    push(make(kind));
    stack_.back()->integer = value;
  }

  void pushText(std::string_view text) {
    push(make(Value::Kind::Text));
    stack_.back()->text = text;
  }

  Ref pop() {
    if (stack_.empty() || stack_.back() == nullptr) {
      fail("is damaged");
    }
    Ref value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }

  // Everything above the last mark; the mark is a null on the stack.
  std::vector<Ref> popToMark() {
    const auto mark = std::find(stack_.rbegin(), stack_.rend(), nullptr);
    if (mark == stack_.rend()) {
      fail("is damaged");
    }
    std::vector<Ref> items(std::make_move_iterator(mark.base()), std::make_move_iterator(stack_.end()));
    stack_.erase(mark.base() - 1, stack_.end());
    return items;
  }

  const Ref& top() const {
    if (stack_.empty() || stack_.back() == nullptr) {
      fail("is damaged");
    }
    return stack_.back();
  }

  void remember(std::size_t key) { memo_[key] = top(); }

  void recall(std::size_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) {
      fail("is damaged");
    }
    push(found->second);
  }

  void pushTuple(std::size_t size) {
    Ref tuple = make(Value::Kind::Tuple);
    for (std::size_t index = 0; index < size; ++index) {
      tuple->items.insert(tuple->items.begin(), pop());
    }
    push(std::move(tuple));
  }

  void step(unsigned char operation) {
    if (!pushesPlain(operation) && !pushesContainer(operation)) {
      act(operation);
    }
  }

  bool pushesPlain(unsigned char operation) {
    switch (operation) {
      case 0x80:  // PROTO
        take(1);
        return true;
      case 0x95:  // FRAME
        take(8);
        return true;
      case 'N':
        push(make(Value::Kind::None));
        return true;
      case 0x88:
      case 0x89:
        pushInt(Value::Kind::Bool, operation == 0x88 ? 1 : 0);
        return true;
      case 'K':
        pushInt(Value::Kind::Int, number<std::uint8_t>());
        return true;
      case 'M':
        pushInt(Value::Kind::Int, number<std::uint16_t>());
        return true;
      case 'J':
        pushInt(Value::Kind::Int, number<std::int32_t>());
        return true;
      case 0x8a:  // LONG1
        pushLong();
        return true;
      case 'G':
        take(8);
        push(make(Value::Kind::Float));
        return true;
      case 'X':
        pushText(take(number<std::uint32_t>()));
        return true;
      case 0x8c:
        pushText(take(number<std::uint8_t>()));
        return true;
      default:
        return false;
    }
  }

  void pushLong() {
    const std::string_view bytes = take(number<std::uint8_t>());
    std::uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t index = 0; index < bytes.size() && index < 8; ++index) {
      const std::uint64_t mask = std::uint64_t{0xFF} << (8 * index);
      value = (value & ~mask) | (static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[index])) << (8 * index));
    }
    if (bytes.size() > 8) {
      fail("holds a number that is too large (torch's old form? save it anew with a current torch)");
    }
    pushInt(Value::Kind::Int, static_cast<std::int64_t>(value));
  }

  bool pushesContainer(unsigned char operation) {
    switch (operation) {
      case '(':
        stack_.push_back(nullptr);
        return true;
      case '}':
        push(make(Value::Kind::Dict));
        return true;
      case ']':
        push(make(Value::Kind::List));
        return true;
      case ')':
        pushTuple(0);
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        pushTuple(operation - 0x84U);
        return true;
      case 't': {
        std::vector<Ref> items = popToMark();
        push(make(Value::Kind::Tuple));
        stack_.back()->items = std::move(items);
        return true;
      }
      default:
        return false;
    }
  }

  void act(unsigned char operation) {
    switch (operation) {
      case 'q':
        return remember(number<std::uint8_t>());
      case 'r':
        return remember(number<std::uint32_t>());
      case 0x94:  // MEMOIZE
        return remember(memo_.size());
      case 'h':
        return recall(number<std::uint8_t>());
      case 'j':
        return recall(number<std::uint32_t>());
      case 'a':
        return append({pop()});
      case 'e':
        return append(popToMark());
      case 's': {
        const Ref value = pop();
        const Ref key = pop();
        return setItems({key, value});
      }
      case 'u':
        return setItems(popToMark());
      case 'b':  // BUILD: the state of an OrderedDict
        pop();
        return;
      default:
        actOnGlobals(operation);
    }
  }

  void actOnGlobals(unsigned char operation) {
    switch (operation) {
      case 'c': {
        const std::string module(line());
        return global(module, std::string(line()));
      }
      case 0x93: {  // STACK_GLOBAL
        const Ref name = pop();
        return global(pop()->text, name->text);
      }
      case 'Q':
        return persistent(pop());
      case 'R': {
        const Ref arguments = pop();
        return call(pop(), arguments);
      }
      default:
        fail(concat("asks for instruction ", static_cast<int>(operation), ", which a dict of tensors doesn't need"));
    }
  }

  void append(std::vector<Ref> items) {
    if (top()->kind != Value::Kind::List) {
      fail("is damaged");
    }
    top()->items.insert(top()->items.end(), items.begin(), items.end());
  }

  void setItems(const std::vector<Ref>& items) {
    if (top()->kind != Value::Kind::Dict || items.size() % 2 != 0) {
      fail("is damaged");
    }
    for (std::size_t index = 0; index < items.size(); index += 2) {
      top()->pairs.emplace_back(items[index], items[index + 1]);
    }
  }

  void global(const std::string& module, const std::string& name) {
    const std::string full = module + "." + name;
    const bool storage = module == "torch" && isStorageType(name);
    if (!storage && full != "torch._utils._rebuild_tensor_v2" && full != "torch._utils._rebuild_parameter" &&
        full != "collections.OrderedDict") {
      fail("asks for " + full.substr(0, 120) + ": only tensors are read");
    }
    push(make(Value::Kind::Global));
    stack_.back()->text = storage ? name : full;
  }

  // ("storage", type, key, device, elements)
  void persistent(const Ref& id) {
    const bool form = id->kind == Value::Kind::Tuple && id->items.size() == 5 && id->items[0]->text == "storage" &&
                      isStorageType(id->items[1]->text) && id->items[4]->kind == Value::Kind::Int;
    if (!form) {
      fail("refers to something that is no storage");
    }
    push(make(Value::Kind::Storage));
    stack_.back()->type = id->items[1]->text;
    stack_.back()->text = id->items[2]->text;
    stack_.back()->integer = id->items[4]->integer;
  }

  void call(const Ref& function, const Ref& arguments) {
    if (function->kind != Value::Kind::Global || arguments->kind != Value::Kind::Tuple) {
      fail("is damaged");
    }
    if (function->text == "collections.OrderedDict" && arguments->items.empty()) {
      push(make(Value::Kind::Dict));
    } else if (function->text == "torch._utils._rebuild_tensor_v2" && arguments->items.size() >= 4) {
      push(rebuild(arguments->items));
    } else if (function->text == "torch._utils._rebuild_parameter" && !arguments->items.empty()) {
      push(arguments->items[0]);
    } else {
      fail("calls " + function->text + " in a way that makes no tensor");
    }
  }

  std::vector<std::int64_t> sizes(const Ref& tuple) const {
    std::vector<std::int64_t> values;
    for (const Ref& item : tuple->items) {
      if (item->kind != Value::Kind::Int) {
        fail("has a tensor of an impossible shape");
      }
      values.push_back(item->integer);
    }
    return values;
  }

  // (storage, offset, shape, stride, …)
  Ref rebuild(const std::vector<Ref>& arguments) const {
    const Value& storage = *arguments[0];
    if (storage.kind != Value::Kind::Storage || arguments[1]->kind != Value::Kind::Int) {
      fail("has a damaged tensor");
    }
    const auto entry =
        entries_ == nullptr ? ZipEntries::const_iterator() : entries_->find(prefix_ + "data/" + storage.text);
    if (entries_ == nullptr || entry == entries_->end()) {
      fail(concat("refers to data \"", storage.text.substr(0, 40), "\" that is not there"));
    }
    Ref result = make(Value::Kind::Tensor);
    result->tensor = readStoredTensor(
        {storage.type, entry->second, arguments[1]->integer, sizes(arguments[2]), sizes(arguments[3])}, where_);
    return result;
  }

  std::string_view code_;
  std::size_t at_ = 0;
  const ZipEntries* entries_;
  std::string prefix_;
  const std::string& where_;
  std::vector<Ref> stack_;
  std::map<std::size_t, Ref> memo_;
};

std::map<std::string, SavedTensor> tensorsOf(const Ref& root, const std::string& where) {
  if (root->kind != Value::Kind::Dict) {
    throw Error(where, "holds no dict of tensors");
  }
  std::map<std::string, SavedTensor> tensors;
  for (const auto& [key, value] : root->pairs) {
    if (key->kind == Value::Kind::Text && value->kind == Value::Kind::Tensor) {
      tensors[key->text] = value->tensor;
    }
  }
  return tensors;
}

}  // namespace

std::map<std::string, SavedTensor> readTorchTensors(std::string_view bytes, const std::string& where) {
  if (!bytes.starts_with("PK")) {
    return tensorsOf(Unpickler(bytes, nullptr, "", where).run(), where);
  }
  const ZipEntries entries = zipEntries(bytes, where);
  for (const auto& [name, content] : entries) {
    if (name == "data.pkl" || name.ends_with("/data.pkl")) {
      const std::string prefix = name.substr(0, name.size() - std::string_view("data.pkl").size());
      const auto order = entries.find(prefix + "byteorder");
      if (order != entries.end() && order->second != "little") {
        throw Error(where, "holds big-endian numbers");
      }
      return tensorsOf(Unpickler(content, &entries, prefix, where).run(), where);
    }
  }
  throw Error(where, "is a ZIP archive, but none of torch.save (it has no data.pkl)");
}

}  // namespace headscope::masks
