#include "core/analysis/fourier.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <numbers>

#include "core/analysis/row_kernels.h"

namespace headscope {
namespace {

std::int64_t roundedUp(std::int64_t length) {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(length < 1 ? 1 : length)));
}

/// n = 1, 2, 4, 8: by definition.
void transformShort(std::vector<double>& re, std::vector<double>& im, const std::vector<double>& rootsRe,
                    const std::vector<double>& rootsIm) {
  const std::size_t n = re.size();
  const std::vector<double> x = re, y = im;
  for (std::size_t f = 0; f < n; ++f) {
    re[f] = im[f] = 0;
    for (std::size_t t = 0; t < n; ++t) {
      const double c = rootsRe[f * t % n], s = rootsIm[f * t % n];
      re[f] += x[t] * c - y[t] * s;
      im[f] += x[t] * s + y[t] * c;
    }
  }
}

void step2(const double* x, double* y, std::int64_t stride) {
  for (std::int64_t s = 0; s < stride; ++s) {
    y[s] = x[s] + x[s + stride];
    y[s + stride] = x[s] - x[s + stride];
  }
}

}  // namespace

Fourier::Fourier(std::int64_t length) : length_(roundedUp(length)) {
  for (std::int64_t j = 0; j < length_; ++j) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(length_);
    rootsRe_.push_back(std::cos(angle));
    rootsIm_.push_back(std::sin(angle));
  }
  scratchRe_.resize(rootsRe_.size());
  scratchIm_.resize(rootsRe_.size());
}

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
  if (length_ < 16) {
    transformShort(re, im, rootsRe_, rootsIm_);
    return;
  }
  std::int64_t stride = 1, rest = length_;
  for (; rest >= 4; rest /= 4, stride *= 4) {
    rowKernels().fourierStep(re.data(), im.data(), scratchRe_.data(), scratchIm_.data(), rest / 4, stride,
                             rootsRe_.data(), rootsIm_.data());
    re.swap(scratchRe_);
    im.swap(scratchIm_);
  }
  if (rest == 2) {
    step2(re.data(), scratchRe_.data(), stride);
    step2(im.data(), scratchIm_.data(), stride);
    re.swap(scratchRe_);
    im.swap(scratchIm_);
  }
}

}  // namespace headscope
