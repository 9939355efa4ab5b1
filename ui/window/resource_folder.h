#pragma once

// Files that the program reads at run time (demo model, sample texts, help): beside the installed program in
// share/headscope, or in the source tree for a program that was only built.

#include <QString>

namespace headscope::ui {

/// Absolute path of e.g. "demo/headscope-demo" or "help/scores.md"; empty if it is nowhere.
QString resourcePath(const QString& relative);

/// Where flags of sessions that were never saved are kept.
QString journalFolder();

/// A whole UTF-8 text file. Throws Error naming it: missing, too large, not UTF-8.
QString readTextFile(const QString& path);

}  // namespace headscope::ui
