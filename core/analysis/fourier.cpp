#include "core/analysis/fourier.h"

#include <algorithm>
#include <bit>
#include <complex>
#include <unsupported/Eigen/FFT>

namespace headscope {
namespace {

std::int64_t roundedUp(std::int64_t length) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(length < 1 ? 1 : length)));
}

}  // namespace

struct Fourier::Work {
  Eigen::FFT<double> transform;
  std::vector<std::complex<double>> from, to;
};

Fourier::Fourier(std::int64_t length) : length_(roundedUp(length)), work_(std::make_unique<Work>()) {
  work_->from.resize(static_cast<std::size_t>(length_));
  work_->to.resize(static_cast<std::size_t>(length_));
}

Fourier::~Fourier() = default;

Fourier& Fourier::ofLength(std::int64_t length) {
  constexpr std::size_t kKept = 4;
  thread_local std::vector<std::unique_ptr<Fourier>> kept;  // the latest last
  const auto found = std::find_if(kept.begin(), kept.end(), [length](const std::unique_ptr<Fourier>& transform) {
    return transform->length() == roundedUp(length);
  });
  if (found != kept.end()) {
    std::rotate(found, found + 1, kept.end());
  } else {
    if (kept.size() == kKept) {
      kept.erase(kept.begin());
    }
    kept.push_back(std::make_unique<Fourier>(length));
  }
  return *kept.back();
}

Spectrum Fourier::zeros() const {
  return {std::vector<double>(static_cast<std::size_t>(length_), 0.0),
          std::vector<double>(static_cast<std::size_t>(length_), 0.0)};
}

void Fourier::transform(std::vector<double>& re, std::vector<double>& im) {
  if (length_ == 1) {
    return;  // the identity, on which Eigen 3.4's transform crashes
  }
  for (std::size_t i = 0; i < work_->from.size(); ++i) {
    work_->from[i] = {re[i], im[i]};
  }
  work_->transform.fwd(work_->to.data(), work_->from.data(), static_cast<Eigen::Index>(length_));
  for (std::size_t i = 0; i < work_->to.size(); ++i) {
    re[i] = work_->to[i].real();
    im[i] = work_->to[i].imag();
  }
}

}  // namespace headscope
