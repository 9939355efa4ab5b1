#pragma once

// The models, captures and sessions opened last, newest first, kept in the settings.

#include <QStringList>

namespace headscope::ui {

QStringList recentFiles();  ///< those that still exist
void addRecentFile(const QString& path);
void clearRecentFiles();

}  // namespace headscope::ui
