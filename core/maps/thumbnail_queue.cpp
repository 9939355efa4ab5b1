#include "core/maps/thumbnail_queue.h"

#include <algorithm>

#include "core/base/error.h"

namespace headscope {

void ThumbnailQueue::set(const ThumbnailRequest& request) {
  const std::lock_guard lock(mutex_);
  const bool same = request_.capture && request.capture && request_.capture->id() == request.capture->id() &&
                    request_.size == request.size;
  if (!same) {
    thumbnails_.clear();
    failed_.clear();
  }
  request_ = request;
}

std::shared_ptr<const Thumbnail> ThumbnailQueue::find(std::uint64_t captureId, int layer, int head) const {
  const std::lock_guard lock(mutex_);
  const auto found = thumbnails_.find({layer, head});
  return found != thumbnails_.end() && found->second->captureId == captureId ? found->second : nullptr;
}

bool ThumbnailQueue::waiting(const ThumbnailRequest::Head& head) const {
  const CaptureHeader& header = request_.capture->header();
  return head.layer >= 0 && head.layer < header.layers && request_.capture->ready(head.layer) && head.head >= 0 &&
         head.head < request_.capture->layer(head.layer).heads && !failed_.contains({head.layer, head.head});
}

ThumbnailRequest ThumbnailQueue::next(double work) const {
  ThumbnailRequest batch{request_.capture, request_.size, {}, request_.exact};
  double planned = 0;
  for (const ThumbnailRequest::Head& head : request_.heads) {
    if (planned >= work) {
      break;
    }
    if (request_.capture && waiting(head) && !thumbnails_.contains({head.layer, head.head})) {
      batch.heads.push_back(head);
      planned += sampleWork(*request_.capture, head.layer, request_.size);
    }
  }
  return batch;
}

void ThumbnailQueue::keep(const std::shared_ptr<const Thumbnail>& thumbnail) {
  if (request_.capture && thumbnail->captureId == request_.capture->id() &&
      thumbnail->size == std::min<std::int64_t>(request_.size, request_.capture->tokens())) {
    thumbnails_[{thumbnail->layer, thumbnail->head}] = thumbnail;
  }
}

void ThumbnailQueue::giveUp(const ThumbnailRequest& batch) {
  const std::lock_guard lock(mutex_);
  if (request_.capture == batch.capture) {
    for (const ThumbnailRequest::Head& head : batch.heads) {
      failed_.insert({head.layer, head.head});
    }
  }
}

ThumbnailQueue::Outcome ThumbnailQueue::sample(double work, const JobControl& control) {
  ThumbnailRequest batch;
  {
    const std::lock_guard lock(mutex_);
    batch = next(work);
  }
  Outcome outcome;
  if (batch.heads.empty()) {
    return outcome;
  }
  outcome.worked = true;
  try {
    outcome.finished = sampleThumbnails(*batch.capture, batch.heads, batch.size, control);
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    giveUp(batch);
    outcome.problem = error.what();
  }
  const std::lock_guard lock(mutex_);
  for (const auto& thumbnail : outcome.finished) {
    keep(thumbnail);
  }
  return outcome;
}

ThumbnailQueue::Outcome ThumbnailQueue::refine(double work, const JobControl& control) {
  ThumbnailRequest one;
  {
    const std::lock_guard lock(mutex_);
    one = {request_.capture, request_.size, {}, request_.exact};
    for (const ThumbnailRequest::Head& head : request_.heads) {
      const auto found = thumbnails_.find({head.layer, head.head});
      if (request_.exact && found != thumbnails_.end() && !found->second->exact && waiting(head)) {
        one.heads.push_back(head);
        break;
      }
    }
  }
  Outcome outcome;
  if (one.heads.empty()) {
    builder_.reset();
    return outcome;
  }
  outcome.worked = true;
  const ThumbnailRequest::Head head = one.heads.front();
  try {
    if (!builder_ || builder_->thumbnail().captureId != one.capture->id() ||
        builder_->thumbnail().layer != head.layer || builder_->thumbnail().head != head.head) {
      builder_ = std::make_unique<ThumbnailBuilder>(*one.capture, head, one.size, control);
    }
    if (builder_->step(work, control)) {
      outcome.finished.push_back(builder_->take());
      builder_.reset();
    }
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    builder_.reset();
    giveUp(one);
    outcome.problem = error.what();
  }
  const std::lock_guard lock(mutex_);
  for (const auto& thumbnail : outcome.finished) {
    keep(thumbnail);
  }
  return outcome;
}

}  // namespace headscope
