#pragma once

// Ctrl-C (and SIGTERM) as a request to stop: the work ends at its next checkpoint and cleans up after itself.

#include <stop_token>
#include <thread>

namespace headscope::cli {

class Interrupt {
 public:
  /// To be made before any other thread: threads inherit the blocked signals.
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::jthread waiter_;
};

}  // namespace headscope::cli
