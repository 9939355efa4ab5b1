#pragma once

// Complex Fourier transform of power-of-two length in double, for correlations over all lags at once.

#include <complex>
#include <cstdint>
#include <span>
#include <vector>

namespace headscope {

class Fourier {
 public:
  /// `length` is rounded up to a power of two.
  explicit Fourier(std::int64_t length);

  std::int64_t length() const noexcept { return length_; }

  /// X_f = Σ_t x_t e^{−2πi f t / n}, in place; `data` has length() elements.
  void forward(std::span<std::complex<double>> data) const;
  /// The inverse without the factor 1/n.
  void backward(std::span<std::complex<double>> data) const;

 private:
  template <bool kForward>
  void transform(std::span<std::complex<double>> data) const;

  std::int64_t length_ = 1;
  std::vector<std::complex<double>> roots_;  ///< [length] e^{−2πi j / n}
};

}  // namespace headscope
