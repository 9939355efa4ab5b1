#include "core/maps/head_shelf.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace headscope {
namespace {

std::uint64_t bytesOf(const HeadView& view) {
  return (view.q.size() + view.k.size() + view.lse.size()) * sizeof(float);
}

}  // namespace

HeadShelf::Head& HeadShelf::get(std::uint64_t view, const HeadSource& source, const std::set<std::uint64_t>& used,
                                const JobControl& control) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = heads_.find(view);
    if (found != heads_.end()) {
      found->second.lastUse = ++clock_;
      return found->second;
    }
  }
  Head head;
  head.view = prepareHeadView(*source.capture, source.layer, source.head, source.interventions, control);
  head.complete = !std::isnan(head.view->lse.front());
  const std::lock_guard lock(mutex_);
  head.lastUse = ++clock_;
  Head& kept = heads_[view] = std::move(head);
  trim(used);
  return kept;
}

void HeadShelf::completeStep(Head& head, double work, const JobControl& control) {
  HeadView& view = *head.view;
  const std::int64_t first = head.rowsDone;
  std::int64_t end = first;
  for (double planned = 0; end < view.tokens && planned < work; ++end) {
    planned += static_cast<double>(end + 1 - view.firstKey(end)) * view.dim;
  }
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - first));
  std::iota(rows.begin(), rows.end(), first);
  fillLogSumExp(view, rows, control);
  const std::lock_guard lock(mutex_);
  head.rowsDone = end;
  head.complete = end == view.tokens;
}

void HeadShelf::markComplete(Head& head) {
  const std::lock_guard lock(mutex_);
  head.rowsDone = head.view->tokens;
  head.complete = true;
}

std::shared_ptr<const HeadView> HeadShelf::find(std::uint64_t view) const {
  const std::lock_guard lock(mutex_);
  const auto found = heads_.find(view);
  return found != heads_.end() && found->second.complete ? found->second.view : nullptr;
}

void HeadShelf::trim(const std::set<std::uint64_t>& used) {
  std::uint64_t bytes = 0;
  for (const auto& [view, head] : heads_) {
    bytes += bytesOf(*head.view);
  }
  while (bytes > limit_) {
    auto oldest = heads_.end();
    for (auto head = heads_.begin(); head != heads_.end(); ++head) {
      const bool droppable = !used.contains(head->first) && head->second.lastUse != clock_;
      if (droppable && (oldest == heads_.end() || head->second.lastUse < oldest->second.lastUse)) {
        oldest = head;
      }
    }
    if (oldest == heads_.end()) {
      return;
    }
    bytes -= bytesOf(*oldest->second.view);
    heads_.erase(oldest);
  }
}

}  // namespace headscope
