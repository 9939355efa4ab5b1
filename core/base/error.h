#pragma once

// The two exceptions of the core. Error is for the user: it names the file (or option, tensor, key) and says
// what is wrong, in one line. Cancelled is not an error: the caller asked for it.

#include <sstream>
#include <stdexcept>
#include <string>

namespace headscope {

/// Joins anything that has operator<< to one string.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

enum class ErrorKind {
  Input,        ///< a file or value that the user gave is wrong
  Unsupported,  ///< sound, but this program can't reproduce it and says why
  Usage,        ///< options that don't fit together (the command line exits with 2)
  Memory,       ///< would not fit into memory
};

class Error : public std::runtime_error {
 public:
  /// `where` is the file (or option) concerned, empty if none; what() is "where: problem" on one line.
  Error(std::string where, std::string problem, ErrorKind kind = ErrorKind::Input);

  const std::string& where() const noexcept { return where_; }
  const std::string& problem() const noexcept { return problem_; }
  ErrorKind kind() const noexcept { return kind_; }

 private:
  std::string where_;
  std::string problem_;
  ErrorKind kind_;
};

class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "cancelled"; }
};

}  // namespace headscope
