#pragma once

// File dialogs, the only modal windows there are. They remember the folder and call back with the chosen path.

#include <QString>
#include <functional>

class QWidget;

namespace headscope::ui {

using PathChosen = std::function<void(const QString& path)>;

void openFileDialog(QWidget* parent, const QString& title, const QString& filter, PathChosen chosen);
void openFolderDialog(QWidget* parent, const QString& title, PathChosen chosen);
/// `suggested`: a file name; its ending is added to names without one.
void saveFileDialog(QWidget* parent, const QString& title, const QString& suggested, const QString& filter,
                    PathChosen chosen);

}  // namespace headscope::ui
