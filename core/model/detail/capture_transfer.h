#pragma once

// Brings captured rows from a GPU to where the capture wants them, beside the computation: a stream of its own copies
// into page-locked memory, a thread of its own from there to the target. A small capture is page-locked itself: then
// the second step falls away. LibTorch header: internal to core/model.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

namespace headscope {

class CaptureTransfer {
 public:
  /// `direct`: targets are page-locked.
  CaptureTransfer(int threads, bool direct);
  ~CaptureTransfer();  ///< waits for what is under way; the rest is dropped
  CaptureTransfer(const CaptureTransfer&) = delete;
  CaptureTransfer& operator=(const CaptureTransfer&) = delete;

  /// `rows` on a GPU, of any strides, into `target` of the same shape in ordinary memory, in its type. Returns at once
  /// unless much is under way already.
  void copy(const at::Tensor& rows, const at::Tensor& target);
  /// All of `layer` was handed over.
  void endLayer(int layer);
  /// Layers 0 … n − 1 have arrived.
  int arrived();
  /// Waits for everything handed over.
  void finish();

 private:
  struct Job {
    int layer = -1;  ///< ≥ 0: nothing to copy, the layer has ended
    at::Tensor source, pinned, target;
    std::unique_ptr<c10::Event> done;
    std::uint64_t bytes = 0;
  };

  void push(Job job);
  void work();
  static void perform(const Job& job);

  int threads_;
  bool direct_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::uint64_t pendingBytes_ = 0;
  std::size_t pendingJobs_ = 0;
  int arrived_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

/// Page-locked memory, kept by LibTorch for the next capture when it is let go; null if there is none.
std::shared_ptr<std::byte> pageLockedBlock(std::uint64_t bytes);

}  // namespace headscope
