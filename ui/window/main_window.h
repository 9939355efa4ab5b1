#pragma once

// The window: puts the parts in their places and wires actions to them. It holds no data; that is the session's.

#include <QMainWindow>
#include <QString>
#include <vector>

#include "ui/window/command_field.h"
#include "ui/window/workspace.h"

class QStackedWidget;
class QTabWidget;

namespace headscope::ui {

class Actions;
class AttentionMapView;
class Dock;
class ExportWindow;
class FlagsTable;
class HeadPanel;
class HeadsPanel;
class HelpPane;
class JobsList;
class MessageBar;
class StartPage;
class StatusStrip;
class TokenStrip;
class TopBar;

class MainWindow : public QMainWindow {
  Q_OBJECT
 public:
  /// `journalFolder`: where flags that were never saved are kept safe.
  explicit MainWindow(const QString& journalFolder, QWidget* parent = nullptr);
  MainWindow(const QString& journalFolder, const EngineParts& parts, QWidget* parent = nullptr);
  ~MainWindow() override;

  Engine* engine() const { return engine_; }
  Session* session() const { return session_; }
  Workspace* workspace() const { return workspace_; }
  Actions* actionList() const { return actions_; }
  AttentionMapView* map() const { return map_; }
  HeadsPanel* heads() const { return heads_; }
  HeadPanel* head() const { return head_; }
  TopBar* topBar() const { return topBar_; }
  HelpPane* help() const { return help_; }
  MessageBar* messages() const { return messages_; }

  void resetLayout();
  /// Run over, scores complete, map and wall exact: what a screenshot waits for.
  bool settled() const;
  /// The window as it is, written aside and renamed. Throws Error naming the file.
  void saveWindowImage(const QString& path);

 protected:
  void closeEvent(QCloseEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dragLeaveEvent(QDragLeaveEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void buildCentre();
  void buildTopBar();
  void buildDocks();
  QWidget* buildBottom();
  void buildMenus();
  void connectFileActions();
  void connectFlagActions();
  void connectHeadActions();
  void connectMapActions();
  void connectViewActions();
  void connectSession();
  void connectWorkspace();
  void connectParts();

  void showCentre();
  void showTitle();
  void showRemarks();
  void showMessage(Workspace::Zone zone, const BarMessage& message);
  MessageBar* barOf(Workspace::Zone zone) const;
  void openHelp(const QString& page, const QString& topic);
  void askOpenFile();
  void askSaveSession();
  void exportMask();
  void stepFlag(int direction);
  void editNote();
  void toggleTheme();
  std::vector<Command> commandsFor(const QString& typed);
  void addHeadCommands(const QString& typed, std::vector<Command>& commands);
  void addTokenCommands(const QString& typed, std::vector<Command>& commands);
  void restoreLayout();

  Engine* engine_;
  Session* session_;
  Workspace* workspace_;
  Actions* actions_;

  TopBar* topBar_ = nullptr;
  QStackedWidget* centre_ = nullptr;
  MessageBar* messages_ = nullptr;
  StartPage* start_ = nullptr;
  AttentionMapView* map_ = nullptr;
  HeadsPanel* heads_ = nullptr;
  HeadPanel* head_ = nullptr;
  TokenStrip* text_ = nullptr;
  FlagsTable* flags_ = nullptr;
  JobsList* jobs_ = nullptr;
  HelpPane* help_ = nullptr;
  StatusStrip* status_ = nullptr;
  ExportWindow* export_ = nullptr;
  QTabWidget* tabs_ = nullptr;
  Dock* headsDock_ = nullptr;
  Dock* headDock_ = nullptr;
  Dock* bottomDock_ = nullptr;
  Dock* helpDock_ = nullptr;
  QByteArray firstLayout_;
};

}  // namespace headscope::ui
