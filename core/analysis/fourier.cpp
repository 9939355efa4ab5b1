#include "core/analysis/fourier.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

namespace headscope {
namespace {

using Complex = std::complex<double>;

// std::complex multiplication checks for infinities; this does not.
inline Complex times(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

template <bool kForward>
inline Complex quarterTurn(Complex a) {  // × −i forward, × i backward
  return kForward ? Complex(a.imag(), -a.real()) : Complex(-a.imag(), a.real());
}

/// One radix-4 step of Stockham's self-sorting transform: `groups` · 4 sequences of `stride` interleaved elements.
template <bool kForward>
void step4(const Complex* x, Complex* y, std::int64_t groups, std::int64_t stride, const Complex* roots) {
  for (std::int64_t p = 0; p < groups; ++p) {
    const std::int64_t turn = p * stride;
    const Complex w1 = kForward ? roots[turn] : std::conj(roots[turn]);
    const Complex w2 = kForward ? roots[2 * turn] : std::conj(roots[2 * turn]);
    const Complex w3 = kForward ? roots[3 * turn] : std::conj(roots[3 * turn]);
    const Complex* a = x + stride * p;
    const Complex* b = a + stride * groups;
    const Complex* c = b + stride * groups;
    const Complex* d = c + stride * groups;
    Complex* target = y + 4 * stride * p;
    for (std::int64_t s = 0; s < stride; ++s) {
      const Complex plus = a[s] + c[s], minus = a[s] - c[s];
      const Complex cross = b[s] + d[s], turned = quarterTurn<kForward>(b[s] - d[s]);
      target[s] = plus + cross;
      target[s + stride] = times(w1, minus + turned);
      target[s + 2 * stride] = times(w2, plus - cross);
      target[s + 3 * stride] = times(w3, minus - turned);
    }
  }
}

void step2(const Complex* x, Complex* y, std::int64_t stride) {
  for (std::int64_t s = 0; s < stride; ++s) {
    y[s] = x[s] + x[s + stride];
    y[s + stride] = x[s] - x[s + stride];
  }
}

}  // namespace

Fourier::Fourier(std::int64_t length)
    : length_(static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(length < 1 ? 1 : length)))) {
  roots_.reserve(static_cast<std::size_t>(length_));
  for (std::int64_t j = 0; j < length_; ++j) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(length_);
    roots_.emplace_back(std::cos(angle), std::sin(angle));
  }
}

template <bool kForward>
void Fourier::transform(std::span<Complex> data) const {
  thread_local std::vector<Complex> scratch;
  scratch.resize(data.size());
  Complex* from = data.data();
  Complex* to = scratch.data();
  std::int64_t stride = 1;
  std::int64_t rest = length_;
  for (; rest >= 4; rest /= 4, stride *= 4) {
    step4<kForward>(from, to, rest / 4, stride, roots_.data());
    std::swap(from, to);
  }
  if (rest == 2) {
    step2(from, to, stride);
    std::swap(from, to);
  }
  if (from != data.data()) {
    std::copy(from, from + length_, data.data());
  }
}

void Fourier::forward(std::span<Complex> data) const {
  transform<true>(data);
}

void Fourier::backward(std::span<Complex> data) const {
  transform<false>(data);
}

}  // namespace headscope
