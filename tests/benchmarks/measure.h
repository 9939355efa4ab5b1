#pragma once

// Benchmarks of one table: the contestants take turns (so that a busy machine hurts them alike), each figure is a
// median with its spread (the middle half), beside a ratio to a reference of the same run. The time of the processor,
// all threads together, is what remains on a machine that others use too. compare.py reads what print() writes.

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace headscope::bench {

struct Contestant {
  std::string name;
  std::function<void()> run;
  std::string reference;  ///< name of the contestant that the ratio is to; empty: none
  std::vector<double> seconds = {};
  std::vector<double> processor = {};  ///< seconds of all threads
};

class Table {
 public:
  explicit Table(std::string title) : title_(std::move(title)) {}

  void add(std::string name, std::function<void()> run, std::string reference = {}) {
    contestants_.push_back({std::move(name), std::move(run), std::move(reference)});
  }

  void measure(int rounds) {
    for (int round = -1; round < rounds; ++round) {  // the first round warms up
      for (Contestant& contestant : contestants_) {
        const double start = clock(CLOCK_MONOTONIC);
        const double startProcessor = clock(CLOCK_PROCESS_CPUTIME_ID);
        contestant.run();
        if (round >= 0) {
          contestant.processor.push_back(clock(CLOCK_PROCESS_CPUTIME_ID) - startProcessor);
          contestant.seconds.push_back(clock(CLOCK_MONOTONIC) - start);
        }
      }
    }
  }

  void print() const {
    std::printf("\n%s\n| %-46s | %10s | %7s | %10s | %7s | %9s | %s\n", title_.c_str(), "what", "median ms", "spread",
                "CPU ms", "ratio", "CPU ratio", "to");
    for (const Contestant& contestant : contestants_) {
      const double median = quantile(contestant.seconds, 0.5);
      const double spread = quantile(contestant.seconds, 0.75) - quantile(contestant.seconds, 0.25);
      std::printf("| %-46s | %10.3f | %6.1f%% | %10.3f |", contestant.name.c_str(), median * 1e3, 100 * spread / median,
                  quantile(contestant.processor, 0.5) * 1e3);
      if (contestant.reference.empty()) {
        std::printf(" %7s | %9s |\n", "", "");
      } else {
        const Contestant& reference = find(contestant.reference);
        std::printf(" %7.3f | %9.3f | %s\n", ratio(contestant.seconds, reference.seconds),
                    ratio(contestant.processor, reference.processor), reference.name.c_str());
      }
    }
    std::fflush(stdout);
  }

  double median(std::string_view name) const { return quantile(find(name).seconds, 0.5); }

 private:
  static double clock(clockid_t which) {
    timespec now{};
    clock_gettime(which, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  static double quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    return values.at(static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5));
  }

  const Contestant& find(std::string_view name) const {
    return *std::find_if(contestants_.begin(), contestants_.end(),
                         [name](const Contestant& contestant) { return contestant.name == name; });
  }

  // The median of the ratios of each round: what slows a round down slows both.
  static double ratio(const std::vector<double>& values, const std::vector<double>& reference) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < values.size(); ++i) {
      ratios.push_back(values[i] / reference[i]);
    }
    return quantile(ratios, 0.5);
  }

  std::string title_;
  std::vector<Contestant> contestants_;
};

/// `--name value` among the arguments.
inline long option(int count, char** arguments, std::string_view name, long fallback) {
  for (int i = 1; i + 1 < count; ++i) {
    if (name == arguments[i]) {
      return std::atol(arguments[i + 1]);
    }
  }
  return fallback;
}

}  // namespace headscope::bench
