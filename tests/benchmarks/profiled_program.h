#pragma once

// The kernels of core/analysis/device one after the other, each with its time on the device.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/analysis/device/head_program.h"
#include "core/gpu/driver.h"

namespace headscope::bench {

class ProfiledProgram : public device::HeadProgram {
 public:
  explicit ProfiledProgram(std::shared_ptr<device::HeadProgram> program) : program_(std::move(program)) {}

  void launch(const char* kernel, std::int64_t blocksX, std::int64_t blocksY, int threads, std::size_t sharedBytes,
              void** arguments) override {
    gpu::synchronize();
    const auto start = std::chrono::steady_clock::now();
    between_ += std::chrono::duration<double>(start - last_).count();
    program_->launch(kernel, blocksX, blocksY, threads, sharedBytes, arguments);
    gpu::synchronize();
    last_ = std::chrono::steady_clock::now();
    seconds_[kernel] += std::chrono::duration<double>(last_ - start).count();
  }
  int gpu() const noexcept override { return program_->gpu(); }
  int threads(int wanted) const noexcept override { return program_->threads(wanted); }
  int warp() const noexcept override { return program_->warp(); }
  void enter() override {
    program_->enter();
    last_ = std::chrono::steady_clock::now();
  }

  void print() const {
    std::vector<std::pair<double, std::string>> sorted{{between_, "(between kernels: LibTorch, copies)"}};
    for (const auto& [kernel, seconds] : seconds_) {
      sorted.emplace_back(seconds, kernel);
    }
    std::sort(sorted.rbegin(), sorted.rend());
    for (const auto& [seconds, kernel] : sorted) {
      std::printf("  %-40s %9.3f ms\n", kernel.c_str(), seconds * 1e3);
    }
  }

 private:
  std::shared_ptr<device::HeadProgram> program_;
  std::map<std::string, double> seconds_;
  double between_ = 0;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace headscope::bench
