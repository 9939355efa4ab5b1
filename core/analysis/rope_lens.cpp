#include "core/analysis/rope_lens.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <utility>

#include "core/analysis/channel_lengths.h"
#include "core/analysis/fourier.h"
#include "core/analysis/row_kernels.h"

namespace headscope {
namespace {

using Complex = std::complex<double>;

void findDominant(RopeSpectrum& spectrum) {
  const auto stronger = [](const RopeChannel& a, const RopeChannel& b) { return a.strength < b.strength; };
  const auto top = std::max_element(spectrum.channels.begin(), spectrum.channels.end(), stronger);
  if (top == spectrum.channels.end() || !(top->strength > 0)) {
    return;
  }
  spectrum.dominant = top->m;
  if (std::isfinite(top->wavelength)) {
    spectrum.predictedPeriod = top->wavelength;
  }
  double next = 0;
  for (const RopeChannel& channel : spectrum.channels) {
    if (channel.m != top->m) {
      next = std::max(next, channel.strength);
    }
  }
  if (next > 0) {
    spectrum.dominance = top->strength / next;
  }
}

/// Mean of rows that a rotation by −position brings back from the dot product to before RoPE, so that steps after RoPE
/// and attention scaling are in it.
std::vector<double> meanUnrotated(const HeadVectors& head, const std::vector<double>& rows) {
  std::vector<double> mean(static_cast<std::size_t>(head.dim), 0.0);
  const Rope* rope = head.frame->rope ? &*head.frame->rope : nullptr;
  for (std::int64_t t = 0; t < head.tokens(); ++t) {
    const double* row = rows.data() + t * head.dim;
    const auto position = static_cast<double>(head.frame->positions[static_cast<std::size_t>(t)]);
    for (int d = rope != nullptr ? rope->rotaryDims : 0; d < head.dim; ++d) {
      mean[static_cast<std::size_t>(d)] += row[d];
    }
    for (int m = 0; rope != nullptr && m < rope->channels(); ++m) {
      const double angle = position * rope->invFreq[static_cast<std::size_t>(m)];
      const Complex turned = Complex(row[rope->first(m)], row[rope->second(m)]) * std::polar(1.0, -angle);
      mean[static_cast<std::size_t>(rope->first(m))] += turned.real();
      mean[static_cast<std::size_t>(rope->second(m))] += turned.imag();
    }
  }
  for (double& x : mean) {
    x /= static_cast<double>(head.tokens());
  }
  return mean;
}

/// Mean of rows before RoPE, with attention scaling on the rotary dims.
std::vector<double> meanBeforeRope(const HeadVectors& head, const std::vector<double>& rows) {
  std::vector<double> mean(static_cast<std::size_t>(head.dim), 0.0);
  for (std::int64_t t = 0; t < head.tokens(); ++t) {
    rowKernels().add(rows.data() + t * head.dim, head.dim, mean.data());
  }
  for (int d = 0; d < head.dim; ++d) {
    const bool rotated = head.frame->rope && d < head.frame->rope->rotaryDims;
    mean[static_cast<std::size_t>(d)] *=
        (rotated ? head.frame->rope->attentionScaling : 1.0) / static_cast<double>(head.tokens());
  }
  return mean;
}

/// curve(Δ) += Re(amplitude · e^{iΔθ}). Turns step by step and starts afresh every 64 steps, so that errors don't grow.
void addWave(Complex amplitude, double theta, std::vector<double>& curve) {
  constexpr std::size_t kFresh = 64;
  const Complex step = std::polar(1.0, theta);
  Complex wave;
  for (std::size_t distance = 0; distance < curve.size(); ++distance) {
    if (distance % kFresh == 0) {
      wave = amplitude * std::polar(1.0, static_cast<double>(distance) * theta);
    }
    curve[distance] += wave.real();
    wave = {wave.real() * step.real() - wave.imag() * step.imag(),
            wave.real() * step.imag() + wave.imag() * step.real()};
  }
}

/// z = y less its straight-line fit.
std::vector<double> detrended(const std::vector<double>& values, std::size_t count) {
  const auto n = static_cast<double>(count);
  double meanY = 0;
  for (std::size_t d = 0; d < count; ++d) {
    meanY += values[d] / n;
  }
  const double meanX = (n - 1) / 2;
  double xy = 0, xx = 0;
  for (std::size_t d = 0; d < count; ++d) {
    const double x = static_cast<double>(d) - meanX;
    xy += x * (values[d] - meanY);
    xx += x * x;
  }
  std::vector<double> z(count);
  for (std::size_t d = 0; d < count; ++d) {
    z[d] = values[d] - meanY - (xx > 0 ? xy / xx : 0) * (static_cast<double>(d) - meanX);
  }
  return z;
}

/// r(l) = mean over d of z(d) z(d + l), over the mean of z²; l = 0 … lags.
std::vector<double> autocorrelation(const std::vector<double>& z, std::size_t lags) {
  Fourier& fourier = Fourier::ofLength(static_cast<std::int64_t>(2 * z.size()));
  Spectrum signal = fourier.zeros();
  std::copy(z.begin(), z.end(), signal.re.begin());
  fourier.forward(signal);
  for (std::size_t f = 0; f < signal.re.size(); ++f) {
    signal.re[f] = signal.re[f] * signal.re[f] + signal.im[f] * signal.im[f];
    signal.im[f] = 0;
  }
  fourier.backward(signal);
  const double zero = signal.re[0] / static_cast<double>(z.size());
  std::vector<double> r(lags + 1);
  for (std::size_t l = 0; l <= lags; ++l) {
    r[l] = signal.re[l] / static_cast<double>(z.size() - l) / zero;
  }
  return r;
}

}  // namespace

RopeSpectrum ropeSpectrum(const HeadVectors& head) {
  RopeSpectrum spectrum;
  if (!head.frame->rope) {
    return spectrum;
  }
  const Rope& rope = *head.frame->rope;
  const std::vector<double> q = meanChannelLengths(rope, head.q, head.tokens(), head.dim);
  const std::vector<double>& k = head.keys->statistics.channelLengths;
  double total = 0;
  for (int m = 0; m < rope.channels(); ++m) {
    const auto index = static_cast<std::size_t>(m);
    RopeChannel channel;
    channel.m = m;
    channel.invFreq = rope.invFreq[index];
    channel.wavelength = channel.invFreq != 0 ? 2 * std::numbers::pi / std::abs(channel.invFreq)
                                              : std::numeric_limits<double>::infinity();
    channel.strength = q[index] * k[index];
    total += channel.strength;
    spectrum.channels.push_back(channel);
  }
  for (RopeChannel& channel : spectrum.channels) {
    channel.share = total > 0 ? channel.strength / total : 0;
  }
  findDominant(spectrum);
  return spectrum;
}

std::vector<double> predictedLogitByDistance(const HeadVectors& head) {
  const bool plain = head.frame->spec.postRope.empty();
  const std::vector<double> q = plain ? meanBeforeRope(head, head.q) : meanUnrotated(head, head.dotQ);
  const std::vector<double> k = plain ? meanBeforeRope(head, head.keys->k) : meanUnrotated(head, head.keys->dotK);
  const double scale = head.frame->spec.scale;
  const Rope* rope = head.frame->rope ? &*head.frame->rope : nullptr;
  double constant = 0;
  for (int d = rope != nullptr ? rope->rotaryDims : 0; d < head.dim; ++d) {
    constant += q[static_cast<std::size_t>(d)] * k[static_cast<std::size_t>(d)];
  }
  std::vector<double> curve(static_cast<std::size_t>(head.tokens()), scale * constant);
  for (int m = 0; rope != nullptr && m < rope->channels(); ++m) {
    const auto pair = [rope, m](const std::vector<double>& x) {
      return Complex(x[static_cast<std::size_t>(rope->first(m))], x[static_cast<std::size_t>(rope->second(m))]);
    };
    const Complex product = scale * pair(q) * std::conj(pair(k));
    addWave(product, rope->invFreq[static_cast<std::size_t>(m)], curve);
  }
  return curve;
}

std::optional<MeasuredPeriod> measurePeriod(const std::vector<double>& logitByDistance) {
  const std::size_t half = logitByDistance.size() / 2;
  const std::size_t longest = half / 2;
  if (longest < 2) {
    return {};
  }
  const std::vector<double> z = detrended(logitByDistance, half);
  double power = 0, scale = 0;
  for (std::size_t d = 0; d < half; ++d) {
    power += z[d] * z[d];
    scale += logitByDistance[d] * logitByDistance[d];
  }
  if (!(power > 1e-24 * scale)) {  // a straight line: nothing but rounding is left
    return {};
  }
  const std::vector<double> r = autocorrelation(z, longest + 1);
  const auto isPeak = [&r](std::size_t l) { return r[l] > r[l - 1] && r[l] >= r[l + 1]; };
  double largest = 0;
  for (std::size_t l = 2; l <= longest; ++l) {
    largest = isPeak(l) ? std::max(largest, r[l]) : largest;
  }
  for (std::size_t l = 2; l <= longest && largest > 0; ++l) {
    if (isPeak(l) && r[l] >= 0.9 * largest) {
      const double curvature = r[l - 1] - 2 * r[l] + r[l + 1];
      const double shift = curvature < 0 ? 0.5 * (r[l - 1] - r[l + 1]) / curvature : 0;
      return MeasuredPeriod{static_cast<double>(l) + shift, r[l]};
    }
  }
  return {};
}

RopeLens ropeLens(const HeadVectors& head, const JobControl& control, const KeySpectra* keys, std::int64_t lastTokens) {
  RopeLens lens;
  lens.spectrum = ropeSpectrum(head);
  lens.predictedByDistance = predictedLogitByDistance(head);
  LagCurves curves = lagCurves(head, keys, control, lastTokens);
  lens.measuredByDistance = std::move(curves.logitByDistance);
  lens.queryCorrelationByLag = std::move(curves.queryCorrelation);
  lens.rowVariance = curves.rowVariance;
  lens.measuredPeriod = measurePeriod(lens.measuredByDistance);
  return lens;
}

}  // namespace headscope
