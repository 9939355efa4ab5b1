#include "core/base/error.h"

#include <algorithm>

namespace headscope {
namespace {

std::string oneLine(const std::string& where, const std::string& problem) {
  std::string line = where.empty() ? problem : concat(where, ": ", problem);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20; }, ' ');
  return line;
}

}  // namespace

Error::Error(std::string where, std::string problem, ErrorKind kind)
    : std::runtime_error(oneLine(where, problem)),
      where_(std::move(where)),
      problem_(std::move(problem)),
      kind_(kind) {}

}  // namespace headscope
