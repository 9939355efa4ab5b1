#pragma once

// Complex Fourier transform of power-of-two length in double, for correlations over all lags at once. Real and
// imaginary parts lie apart, which is how processors like them.

#include <cstdint>
#include <memory>
#include <vector>

namespace headscope {

struct Spectrum {
  std::vector<double> re, im;
};

class Fourier {
 public:
  /// `length` is rounded up to a power of two.
  explicit Fourier(std::int64_t length);
  ~Fourier();

  /// This thread's transform of at least that length. The last four are kept, and stay valid as long.
  static Fourier& ofLength(std::int64_t length);

  std::int64_t length() const noexcept { return length_; }
  /// Zeros of length().
  Spectrum zeros() const;

  /// X_f = Σ_t x_t e^{−2πi f t / n}, in place.
  void forward(Spectrum& data) { transform(data.re, data.im); }
  /// The inverse without the factor 1/n: the same with real and imaginary parts exchanged.
  void backward(Spectrum& data) { transform(data.im, data.re); }

 private:
  void transform(std::vector<double>& re, std::vector<double>& im);

  std::int64_t length_ = 1;
  struct Work;  // Eigen's transform and its buffers
  std::unique_ptr<Work> work_;
};

}  // namespace headscope
