#include "app/cli/interrupt.h"

#include <unistd.h>
#include <csignal>

namespace headscope::cli {
namespace {

constexpr int kExitOnInterrupt = 130;

sigset_t watchedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t signals = watchedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  waiter_ = std::jthread([source = source_](const std::stop_token& done) mutable {
    const sigset_t watched = watchedSignals();
    const timespec pause{0, 100'000'000};
    while (!done.stop_requested()) {
      if (sigtimedwait(&watched, nullptr, &pause) <= 0) {
        continue;
      }
      if (source.stop_requested()) {
        _exit(kExitOnInterrupt);  // a second Ctrl-C doesn't wait for a checkpoint
      }
      source.request_stop();
    }
  });
}

Interrupt::~Interrupt() = default;

}  // namespace headscope::cli
