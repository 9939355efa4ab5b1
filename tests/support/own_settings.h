#pragma once

// Settings of a test or a benchmark of the window: in a folder of its own, never the user's.

#include <QApplication>
#include <QSettings>

namespace headscope::test {

inline void keepSettingsIn(const QString& folder) {
  QApplication::setOrganizationName(QStringLiteral("headscope-test"));
  QSettings::setDefaultFormat(QSettings::IniFormat);
  QSettings::setPath(QSettings::IniFormat, QSettings::UserScope, folder);
}

}  // namespace headscope::test
