#include "ui/window/file_dialogs.h"

#include <QFileDialog>
#include <QFileInfo>
#include <QSettings>
#include <utility>

namespace headscope::ui {
namespace {

const char* const kFolderKey = "files/folder";

QFileDialog* makeDialog(QWidget* parent, const QString& title, PathChosen chosen) {
  auto* dialog = new QFileDialog(parent, title, QSettings().value(QLatin1String(kFolderKey)).toString());
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  QObject::connect(dialog, &QFileDialog::fileSelected, parent, [chosen = std::move(chosen)](const QString& path) {
    if (!path.isEmpty()) {
      QSettings().setValue(QLatin1String(kFolderKey), QFileInfo(path).absolutePath());
      chosen(path);
    }
  });
  return dialog;
}

}  // namespace

void openFileDialog(QWidget* parent, const QString& title, const QString& filter, PathChosen chosen) {
  QFileDialog* dialog = makeDialog(parent, title, std::move(chosen));
  dialog->setFileMode(QFileDialog::ExistingFile);
  dialog->setNameFilter(filter);
  dialog->open();
}

void openFolderDialog(QWidget* parent, const QString& title, PathChosen chosen) {
  QFileDialog* dialog = makeDialog(parent, title, std::move(chosen));
  dialog->setFileMode(QFileDialog::Directory);
  dialog->setOption(QFileDialog::ShowDirsOnly);
  dialog->open();
}

void saveFileDialog(QWidget* parent, const QString& title, const QString& suggested, const QString& filter,
                    PathChosen chosen) {
  QFileDialog* dialog = makeDialog(parent, title, std::move(chosen));
  dialog->setAcceptMode(QFileDialog::AcceptSave);
  dialog->setFileMode(QFileDialog::AnyFile);
  dialog->setNameFilter(filter);
  dialog->setDefaultSuffix(QFileInfo(suggested).suffix());
  dialog->selectFile(suggested);
  dialog->open();
}

}  // namespace headscope::ui
