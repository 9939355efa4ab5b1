#include "core/model/detail/kept_rows.h"

#include <mutex>

namespace headscope {
namespace {

std::mutex mutex;
std::weak_ptr<const Capture> latest;

}  // namespace

void rememberKeptRows(const std::shared_ptr<const Capture>& capture) {
  const std::lock_guard lock(mutex);
  latest = capture;
}

void dropKeptRows() {
  const std::lock_guard lock(mutex);
  if (const auto capture = latest.lock()) {
    capture->dropDeviceRows();
  }
}

}  // namespace headscope
