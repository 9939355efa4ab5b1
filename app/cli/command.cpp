#include "app/cli/command.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <new>

#include "app/cli/interrupt.h"
#include "app/cli/progress_line.h"

namespace headscope::cli {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;
constexpr int kInterrupted = 130;
constexpr const char* kProgram = "headscope-cli";

// The text of foreign exceptions can have many lines (LibTorch appends a stack): the first one says what is wrong.
std::string firstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

void say(const std::string& text) {
  std::fprintf(stderr, "%s: %s\n", kProgram, firstLine(text).c_str());
}

void hint(const CLI::App* command) {
  std::string name;
  for (const CLI::App* at = command; at != nullptr && at->get_parent() != nullptr; at = at->get_parent()) {
    name = at->get_name() + (name.empty() ? "" : " " + name);
  }
  std::fprintf(stderr, "Try '%s%s%s --help'.\n", kProgram, name.empty() ? "" : " ", name.c_str());
}

// The deepest command that was named before parsing failed.
const CLI::App* named(const CLI::App* app) {
  for (const CLI::App* sub : app->get_subcommands()) {
    return named(sub);
  }
  return app;
}

void flushOutput() {
  std::cout.flush();
  if (!std::cout || std::fflush(stdout) != 0) {
    throw Error("standard output", "can't be written");
  }
}

}  // namespace

void mention(const std::string& note) {
  if (!note.empty()) {
    say(note);
  }
}

void wrongUse(const std::string& problem) {
  throw Error("", problem, ErrorKind::Usage);
}

CommandLine::CommandLine()
    : app_("Attention maps, RoPE and query similarity of language models, head by head", kProgram) {
  app_.set_version_flag("--version", std::string(kProgram) + " " HEADSCOPE_VERSION);
  app_.require_subcommand(1);
}

CLI::App& CommandLine::add(const std::string& name, const std::string& what, std::function<void(Run&)> action) {
  return addTo(app_, name, what, std::move(action));
}

CLI::App& CommandLine::addGroup(const std::string& name, const std::string& what) {
  CLI::App* group = app_.add_subcommand(name, what);
  group->set_version_flag("--version", std::string(kProgram) + " " HEADSCOPE_VERSION);
  return *group;
}

CLI::App& CommandLine::addTo(CLI::App& parent, const std::string& name, const std::string& what,
                             std::function<void(Run&)> action) {
  CLI::App* command = parent.add_subcommand(name, what);
  command->set_version_flag("--version", std::string(kProgram) + " " HEADSCOPE_VERSION);
  command->add_flag("--progress", progress_, "Report progress on stderr, also where it is no terminal");
  command->final_callback([this, command, action = std::move(action)] {
    action_ = action;
    chosen_ = command;
  });
  return *command;
}

int CommandLine::execute(int argc, char** argv) {
  const Interrupt interrupt;
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      return app_.exit(error);
    }
    const bool unknown = app_.get_subcommands().empty() && argc > 1 && argv[1][0] != '-';
    say(unknown ? concat("\"", argv[1], "\" is no command") : error.what());
    hint(named(&app_));
    return kWrongUse;
  }
  return perform(interrupt);
}

std::string CommandLine::subject() const {
  const auto found = subjects_.find(chosen_);
  return found == subjects_.end() ? std::string() : *found->second;
}

int CommandLine::perform(const Interrupt& interrupt) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  ProgressLine progress(terminal);
  Run run;
  run.control.stop = interrupt.token();
  if (terminal || progress_) {
    run.control.progress = [&progress](const Progress& state) { progress.show(state); };
  }
  const auto complain = [&](const std::string& where, const std::string& problem) {
    progress.clear();
    say(where.empty() ? problem : where + ": " + problem);
  };
  try {
    action_(run);
    flushOutput();
    return kDone;
  } catch (const Cancelled&) {
    complain("", "interrupted");
    return kInterrupted;
  } catch (const Error& error) {
    const bool usage = error.kind() == ErrorKind::Usage;
    complain("",
             error.where().empty() && !usage && !subject().empty() ? subject() + ": " + error.what() : error.what());
    if (usage) {
      hint(chosen_);
    }
    return usage ? kWrongUse : kFailed;
  } catch (const std::bad_alloc&) {
    complain(subject(), "there is not enough memory for this");
  } catch (const std::exception& error) {
    complain(subject(), error.what());
  }
  return kFailed;
}

}  // namespace headscope::cli
