#pragma once

// What every command of headscope-cli shares: how it is declared, how it reports, how it ends.
//   exit 0 done · 1 the input or the run failed, one line on stderr · 2 wrong usage, with a hint · 130 Ctrl-C

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>

#include "app/cli/interrupt.h"
#include "core/base/error.h"
#include "core/base/job_control.h"

namespace headscope::cli {

/// What a command gets to work with.
struct Run {
  JobControl control;  ///< stops on Ctrl-C, reports to the terminal
};

/// The command line: its commands, and after parsing the one that was chosen.
class CommandLine {
 public:
  CommandLine();

  CLI::App& app() noexcept { return app_; }

  /// Declares a command. `action` runs after parsing if the command was given.
  CLI::App& add(const std::string& name, const std::string& what, std::function<void(Run&)> action);
  /// A command that only holds others, and one of these.
  CLI::App& addGroup(const std::string& name, const std::string& what);
  CLI::App& addTo(CLI::App& parent, const std::string& name, const std::string& what, std::function<void(Run&)> action);

  /// The file that errors without one of their own are about.
  void setSubject(CLI::App& command, const std::string& file) { subjects_[&command] = &file; }

  /// Parses and runs; returns the exit code.
  int execute(int argc, char** argv);

 private:
  int perform(const Interrupt& interrupt);
  std::string subject() const;

  CLI::App app_;
  std::function<void(Run&)> action_;
  CLI::App* chosen_ = nullptr;
  bool progress_ = false;
  std::map<CLI::App*, const std::string*> subjects_;
};

/// Wrong use of a command that the parser can't see: exit 2.
[[noreturn]] void wrongUse(const std::string& problem);

/// A line on stderr about how the result came to be; nothing if it is empty.
void mention(const std::string& note);

void addAnalyze(CommandLine& line);
void addDevices(CommandLine& line);
void addDetokenize(CommandLine& line);
void addGallery(CommandLine& line);
void addGenerate(CommandLine& line);
void addInfo(CommandLine& line);
void addMap(CommandLine& line);
void addMask(CommandLine& line);
void addPerplexity(CommandLine& line);
void addPruneOrder(CommandLine& line);
void addReplay(CommandLine& line);
void addRope(CommandLine& line);
void addRun(CommandLine& line);
void addTokenize(CommandLine& line);
void addVerify(CommandLine& line);

}  // namespace headscope::cli
