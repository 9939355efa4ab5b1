#include "core/model/detail/capture_transfer.h"

#include <utility>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

namespace headscope {
namespace {

constexpr std::uint64_t kPinnedLimit = std::uint64_t{2} << 30;  // of pinned memory under way

}  // namespace

std::shared_ptr<std::byte> pageLockedBlock(std::uint64_t bytes) {
  try {
    const at::Tensor block =
        at::empty({static_cast<std::int64_t>(bytes)}, at::TensorOptions(at::kByte).pinned_memory(true));
    return {static_cast<std::byte*>(block.data_ptr()), [block](std::byte*) {}};
  } catch (const c10::Error&) {
    return nullptr;
  }
}

CaptureTransfer::CaptureTransfer(int threads, bool direct)
    : threads_(threads), direct_(direct), thread_([this] { work(); }) {}

CaptureTransfer::~CaptureTransfer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CaptureTransfer::copy(const at::Tensor& rows, const at::Tensor& target) {
  const c10::impl::VirtualGuardImpl streams(c10::DeviceType::CUDA);
  Job job;
  job.target = target;
  job.source = rows.to(target.scalar_type()).contiguous();
  job.bytes = job.source.nbytes();
  if (!direct_) {
    job.pinned = at::empty(job.source.sizes(), job.source.options().device(at::kCPU).pinned_memory(true));
  }
  const c10::Stream side = streams.getStreamFromGlobalPool(rows.device());
  c10::Event ready(c10::DeviceType::CUDA);
  ready.record(streams.getStream(rows.device()));
  ready.block(side);
  {
    const c10::StreamGuard guard(side);
    if (direct_) {
      for (std::int64_t head = 0; head < target.size(0); ++head) {  // the rows of one head lie side by side
        target[head].copy_(job.source[head], true);
      }
    } else {
      job.pinned.copy_(job.source, true);
    }
  }
  job.done = std::make_unique<c10::Event>(c10::DeviceType::CUDA);
  job.done->record(side);
  push(std::move(job));
}

void CaptureTransfer::endLayer(int layer) {
  Job job;
  job.layer = layer;
  push(std::move(job));
}

void CaptureTransfer::push(Job job) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || pendingBytes_ == 0 || pendingBytes_ + job.bytes <= kPinnedLimit; });
  if (failure_) {
    std::rethrow_exception(failure_);
  }
  pendingBytes_ += job.bytes;
  ++pendingJobs_;
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

int CaptureTransfer::arrived() {
  const std::lock_guard lock(mutex_);
  if (failure_) {
    std::rethrow_exception(failure_);
  }
  return arrived_;
}

void CaptureTransfer::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || pendingJobs_ == 0; });
  if (failure_) {
    std::rethrow_exception(failure_);
  }
}

// The source's memory may be used again by the GPU only after its copy: a job is let go of no earlier.
void CaptureTransfer::perform(const Job& job) {
  if (job.done) {
    job.done->synchronize();
    if (job.pinned.defined()) {
      job.target.copy_(job.pinned);
    }
  }
}

void CaptureTransfer::work() {
  const c10::InferenceMode inference;
  at::set_num_threads(threads_);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) {
      return;
    }
    const bool dropped = stopping_ || failure_ != nullptr;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (dropped && job.done) {
        job.done->synchronize();
      } else {
        perform(job);
      }
    } catch (...) {
      failure = std::current_exception();
    }
    const std::uint64_t bytes = job.bytes;
    const int layer = job.layer;
    job = Job();
    lock.lock();
    failure_ = failure_ ? failure_ : failure;
    arrived_ = layer >= 0 ? layer + 1 : arrived_;
    pendingBytes_ -= bytes;
    --pendingJobs_;
    changed_.notify_all();
  }
}

}  // namespace headscope
