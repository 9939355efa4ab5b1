// What the window's actions do, and how its parts hear of each other's changes.

#include <QApplication>
#include <QLineEdit>
#include <QRegularExpression>
#include <QSettings>
#include <QTabWidget>
#include <QTimer>

#include "core/base/error.h"
#include "ui/flags/export_window.h"
#include "ui/flags/flags_table.h"
#include "ui/head/head_header.h"
#include "ui/head/head_panel.h"
#include "ui/heads/heads_panel.h"
#include "ui/help/help_pane.h"
#include "ui/jobs/jobs_list.h"
#include "ui/map/attention_map_view.h"
#include "ui/style/theme.h"
#include "ui/text/token_strip.h"
#include "ui/window/actions.h"
#include "ui/window/dock.h"
#include "ui/window/file_dialogs.h"
#include "ui/window/main_window.h"
#include "ui/window/message_bar.h"
#include "ui/window/model_chip.h"
#include "ui/window/prompt_field.h"
#include "ui/window/recent_files.h"
#include "ui/window/start_page.h"
#include "ui/window/status_strip.h"
#include "ui/window/top_bar.h"

namespace headscope::ui {
namespace {

const char* const kThemeKey = "window/theme";
const char* const kPngFilter = QT_TR_NOOP("PNG picture (*.png)");
constexpr int kContinuation = 20;  // tokens

}  // namespace

void MainWindow::askOpenFile() {
  openFileDialog(this, tr("Open model, capture, session or text"),
                 tr("All that can be opened (*.gguf *.safetensors *.json *.headscope *.txt);;All files (*)"),
                 [this](const QString& path) { workspace_->open(path); });
}

void MainWindow::askSaveSession() {
  saveFileDialog(this, tr("Save session"), QStringLiteral("session.json"), tr("Headscope session (*.json)"),
                 [this](const QString& path) { workspace_->saveSession(path); });
}

void MainWindow::connectFileActions() {
  actions_->on("open-file", [this] { askOpenFile(); });
  actions_->on("open-folder", [this] {
    openFolderDialog(this, tr("Open model folder"), [this](const QString& path) { workspace_->open(path); });
  });
  actions_->on("open-demo", [this] { workspace_->openDemo(); });
  actions_->on("open-gallery", [this] { workspace_->openGallery(); });
  actions_->on("save-session", [this] {
    workspace_->sessionPath().isEmpty() ? askSaveSession()
                                        : static_cast<void>(workspace_->saveSession(workspace_->sessionPath()));
  });
  actions_->on("save-session-as", [this] { askSaveSession(); });
  actions_->on("save-capture", [this] {
    saveFileDialog(this, tr("Save capture"), QStringLiteral("capture.safetensors"), tr("Capture (*.safetensors)"),
                   [this](const QString& path) { workspace_->saveCapture(path); });
  });
  actions_->on("export-mask", [this] { exportMask(); });
  actions_->on("import-mask", [this] {
    openFileDialog(this, tr("Import mask"),
                   tr("Masks (*.json *.npy *.safetensors *.tsv *.yaml *.yml *.pt);;All files (*)"),
                   [this](const QString& path) { workspace_->importMask(path); });
  });
  actions_->on("save-map", [this] {
    saveFileDialog(this, tr("Save map"), QStringLiteral("map.png"), tr(kPngFilter),
                   [this](const QString& path) { map_->saveImage(path, 2); });
  });
  actions_->on("save-window", [this] {
    saveFileDialog(this, tr("Save window"), QStringLiteral("headscope.png"), tr(kPngFilter),
                   [this](const QString& path) {
                     try {
                       saveWindowImage(path);
                       status_->say(tr("saved %1").arg(path));
                     } catch (const Error& error) {
                       showMessage(Workspace::Zone::Map, {QString::fromUtf8(error.what()), {}, {}, {}, true});
                     }
                   });
  });
  actions_->on("quit", [this] { close(); });
  actions_->on("edit-prompt", [this] { topBar_->prompt()->edit(); });
  actions_->on("load-prompt", [this] {
    openFileDialog(this, tr("Load prompt"), tr("Text (*.txt *.md);;All files (*)"),
                   [this](const QString& path) { workspace_->loadPrompt(path); });
  });
  actions_->on("run", [this] {
    topBar_->prompt()->commit();
    workspace_->run();
  });
  actions_->on("stop", [this] { workspace_->stop(); });
  actions_->on("score-retrieval", [this] { workspace_->scoreRetrieval(); });
  actions_->on("continue", [this] { workspace_->continueText(kContinuation); });
}

void MainWindow::connectFlagActions() {
  actions_->on("undo", [this] { session_->undoStack()->undo(); });
  actions_->on("redo", [this] { session_->undoStack()->redo(); });
  actions_->on("flag", [this] { session_->toggleFlag(session_->selected()); });
  actions_->on("note", [this] { editNote(); });
  actions_->on("next-flag", [this] { stepFlag(1); });
  actions_->on("previous-flag", [this] { stepFlag(-1); });
  actions_->on("clear-flags", [this] { session_->replaceFlags({}, tr("Remove all flags")); });
  connect(session_->undoStack(), &QUndoStack::canUndoChanged, (*actions_)["undo"], &QAction::setEnabled);
  connect(session_->undoStack(), &QUndoStack::canRedoChanged, (*actions_)["redo"], &QAction::setEnabled);
  connect(session_->undoStack(), &QUndoStack::cleanChanged, this, &MainWindow::showTitle);
  (*actions_)["undo"]->setEnabled(false);
  (*actions_)["redo"]->setEnabled(false);
}

void MainWindow::stepFlag(int direction) {
  const auto& flags = session_->flags();
  if (flags.empty()) {
    status_->say(tr("no head is flagged yet; Space flags the selected one"));
    return;
  }
  auto next = direction > 0 ? flags.upper_bound(session_->selected()) : flags.lower_bound(session_->selected());
  if (direction > 0) {
    next = next == flags.end() ? flags.begin() : next;
  } else {
    next = std::prev(next == flags.begin() ? flags.end() : next);
  }
  session_->select(next->first);
}

void MainWindow::editNote() {
  session_->setFlag(session_->selected(), true);
  headDock_->show();
  headDock_->raise();
  head_->header()->noteField()->setFocus();
}

void MainWindow::exportMask() {
  if (session_->flags().empty()) {
    showMessage(
        Workspace::Zone::Flags,
        {tr("There is nothing to export: no head is flagged"), tr("Space flags the selected head."), {}, {}, false});
    return;
  }
  if (export_ == nullptr) {
    export_ = new ExportWindow(session_, this);
    connect(export_, &ExportWindow::saved, this,
            [this](const QString& path) { status_->say(tr("saved %1").arg(path)); });
  }
  export_->setScores(heads_->scores());
  export_->show();
  export_->raise();
}

void MainWindow::connectHeadActions() {
  actions_->on("head-left", [this] { heads_->wall()->walk(-1, 0); });
  actions_->on("head-right", [this] { heads_->wall()->walk(1, 0); });
  actions_->on("head-up", [this] { heads_->wall()->walk(0, -1); });
  actions_->on("head-down", [this] { heads_->wall()->walk(0, 1); });
  actions_->on("previous-alike", [this] { head_->header()->stepAlike(-1); });
  actions_->on("next-alike", [this] { head_->header()->stepAlike(1); });
  actions_->on("filter", [this] {
    headsDock_->show();
    heads_->filterField()->setFocus();
    heads_->filterField()->selectAll();
  });
  actions_->on("clear-filter", [this] { heads_->filterField()->clear(); });
  const auto replay = [this](Experiment experiment) {
    headDock_->show();
    headDock_->raise();
    head_->stepExperiment(experiment);
  };
  actions_->on("replay-move", [replay] { replay(Experiment::MoveChannel); });
  actions_->on("replay-base", [replay] { replay(Experiment::LowerBase); });
  actions_->on("original", [this] { session_->setInterventions({}); });
}

void MainWindow::connectMapActions() {
  actions_->on("value", [this] { topBar_->nextValue(); });
  actions_->on("pooling", [this] { topBar_->nextPool(); });
  actions_->on("color-map", [this] { topBar_->nextColorMap(); });
  actions_->on("scale", [this] { topBar_->nextScale(); });
  actions_->on("fit", [this] { map_->fit(); });
  actions_->on("one-to-one", [this] { map_->oneToOne(); });
  actions_->on("zoom-in", [this] { map_->zoomIn(); });
  actions_->on("zoom-out", [this] { map_->zoomOut(); });
  constexpr double kPan = 0.2;
  actions_->on("pan-left", [this] { map_->panBy(-kPan, 0); });
  actions_->on("pan-right", [this] { map_->panBy(kPan, 0); });
  actions_->on("pan-up", [this] { map_->panBy(0, -kPan); });
  actions_->on("pan-down", [this] { map_->panBy(0, kPan); });
  actions_->on("go-token", [this] { topBar_->commandField()->start(QStringLiteral("token ")); });
  actions_->on("back", [this] { session_->goBack(); });
  actions_->on("forward", [this] { session_->goForward(); });
  actions_->on("unpin", [this] { session_->pin(std::nullopt); });
  QAction* period = (*actions_)["period-lines"];
  period->setChecked(map_->periodLinesShown());
  connect(period, &QAction::toggled, map_, &AttentionMapView::setPeriodLinesShown);
  connect((*actions_)["performance"], &QAction::toggled, map_, &AttentionMapView::setPerformanceShown);
}

void MainWindow::toggleTheme() {
  const bool dark = theme().kind == ThemeKind::Dark;
  Appearance::instance().apply(dark ? ThemeKind::Light : ThemeKind::Dark);
  QSettings().setValue(QLatin1String(kThemeKey), dark ? QStringLiteral("light") : QStringLiteral("dark"));
  (*actions_)["theme-system"]->setChecked(false);
}

void MainWindow::connectViewActions() {
  actions_->on("theme", [this] { toggleTheme(); });
  QAction* system = (*actions_)["theme-system"];
  system->setChecked(!QSettings().contains(QLatin1String(kThemeKey)));
  connect(system, &QAction::triggered, this, [](bool on) {
    if (on) {
      QSettings().remove(QLatin1String(kThemeKey));
      Appearance::instance().apply(Appearance::systemTheme());
    }
  });
  actions_->on("command", [this] { topBar_->commandField()->start(); });
  actions_->on("strip-side", [this] {
    text_->setSide(text_->side() == TokenStrip::Side::Row ? TokenStrip::Side::Column : TokenStrip::Side::Row);
  });
  connect((*actions_)["full-screen"], &QAction::toggled, this,
          [this](bool on) { on ? showFullScreen() : showNormal(); });
  actions_->on("reset-layout", [this] { resetLayout(); });
  actions_->on("help", [this] { openHelp(QStringLiteral("window"), {}); });
  actions_->on("keys", [this] { openHelp(QStringLiteral("keys"), {}); });
  actions_->on("definitions", [this] { openHelp(QStringLiteral("scores"), {}); });
  actions_->on("about", [this] { openHelp(QStringLiteral("about"), {}); });
}

void MainWindow::connectSession() {
  connect(session_, &Session::captureChanged, this, [this] {
    showCentre();
    text_->setContinuation({});
    if (session_->model() == nullptr && session_->capture() != nullptr) {
      topBar_->chip()->setCapture(*session_->capture());
    }
  });
  connect(session_, &Session::modelChanged, this, [this] {
    if (session_->model() != nullptr) {
      topBar_->chip()->setModel(*session_->model(), workspace_->device(), workspace_->arithmetic());
    }
    showTitle();
  });
  connect(session_, &Session::flagsChanged, this, &MainWindow::showRemarks);
  connect(session_, &Session::historyChanged, this, [this] {
    (*actions_)["back"]->setEnabled(session_->canGoBack());
    (*actions_)["forward"]->setEnabled(session_->canGoForward());
  });
  connect(session_, &Session::reportChanged, this, [this] {
    head_->setScores(heads_->scores());
    flags_->setScores(heads_->scores());
  });
}

void MainWindow::connectWorkspace() {
  connect(workspace_, &Workspace::message, this, &MainWindow::showMessage);
  connect(workspace_, &Workspace::settled, this, [this](Workspace::Zone zone) { barOf(zone)->dismiss(); });
  connect(workspace_, &Workspace::said, status_, &StatusStrip::say);
  connect(workspace_, &Workspace::openingChanged, this, [this](const QString& name) {
    start_->setBusy(name.isEmpty() ? QString() : tr("Opening %1").arg(name));
    start_->setRecent(recentFiles());
    if (!name.isEmpty()) {
      topBar_->chip()->setBusy(name);
    } else if (session_->model() != nullptr) {
      topBar_->chip()->setModel(*session_->model(), workspace_->device(), workspace_->arithmetic());
    } else if (session_->capture() != nullptr) {
      topBar_->chip()->setCapture(*session_->capture());
    } else {
      topBar_->chip()->setNone();
    }
    status_->setDevice(workspace_->device());
    showTitle();
  });
  connect(workspace_, &Workspace::runningChanged, topBar_->runButton(), &RunButton::setRunning);
  connect(workspace_, &Workspace::progressed, this, [this](double fraction, const QString& words) {
    topBar_->runButton()->setProgress(fraction, words);
    start_->setBusy(workspace_->running() ? words : QString(), fraction);
  });
  connect(workspace_, &Workspace::textContinued, text_, &TokenStrip::setContinuation);
  connect(workspace_, &Workspace::retrievalScored, this,
          [this] { heads_->setColorBy(metricOf(Extra::NeedleRetrieval)); });
  connect(workspace_, &Workspace::sessionPathChanged, this, &MainWindow::showTitle);
  connect(workspace_, &Workspace::openAsked, this, &MainWindow::askOpenFile);
  connect(workspace_, &Workspace::promptAsked, topBar_->prompt(), &PromptField::edit);
}

void MainWindow::connectParts() {
  connect(topBar_->runButton(), &RunButton::runAsked, (*actions_)["run"], &QAction::trigger);
  connect(topBar_->runButton(), &RunButton::stopAsked, workspace_, &Workspace::stop);
  connect(topBar_->prompt(), &PromptField::runAsked, (*actions_)["run"], &QAction::trigger);
  connect(topBar_->prompt(), &PromptField::loadAsked, (*actions_)["load-prompt"], &QAction::trigger);
  connect(topBar_->prompt(), &PromptField::loadFileAsked, workspace_, &Workspace::loadPrompt);
  connect(topBar_->prompt(), &PromptField::left, this, [this] { map_->setFocus(); });
  topBar_->commandField()->setSource([this](const QString& typed) { return commandsFor(typed); });
  connect(topBar_->commandField(), &CommandField::left, this, [this] { map_->setFocus(); });

  connect(head_, &HeadPanel::constructedAsked, this, [this] { workspace_->openGallery(Case::PeriodicSequential); });
  connect(start_, &StartPage::galleryAsked, (*actions_)["open-gallery"], &QAction::trigger);
  connect(start_, &StartPage::demoAsked, workspace_, &Workspace::openDemo);
  connect(start_, &StartPage::fileAsked, this, &MainWindow::askOpenFile);
  connect(start_, &StartPage::folderAsked, (*actions_)["open-folder"], &QAction::trigger);
  connect(start_, &StartPage::pathAsked, workspace_, &Workspace::open);
  connect(start_, &StartPage::sampleAsked, workspace_, &Workspace::loadAndRun);
  connect(start_, &StartPage::promptAsked, topBar_->prompt(), &PromptField::edit);
  start_->setRecent(recentFiles());

  connect(heads_, &HeadsPanel::helpAsked, this, &MainWindow::openHelp);
  connect(head_, &HeadPanel::helpAsked, this, &MainWindow::openHelp);
  connect(heads_, &HeadsPanel::countChanged, this, &MainWindow::showRemarks);
  connect(flags_, &FlagsTable::exportAsked, this, &MainWindow::exportMask);
  connect(flags_, &FlagsTable::importAsked, (*actions_)["import-mask"], &QAction::trigger);
  connect(text_, &TokenStrip::remarkChanged, this, &MainWindow::showRemarks);
  connect(text_, &TokenStrip::cellChosen, map_, &AttentionMapView::goTo);
  connect(tabs_, &QTabWidget::currentChanged, this, &MainWindow::showRemarks);
  connect(jobs_, &JobsList::activeChanged, this,
          [this](int count) { tabs_->setTabText(2, count == 0 ? tr("Jobs") : tr("Jobs %1").arg(count)); });
  connect(map_, &AttentionMapView::imageSaved, this,
          [this](const QString& path) { status_->say(tr("saved %1").arg(path)); });
  connect(map_, &AttentionMapView::failed, this, [this](const QString& text) {
    showMessage(Workspace::Zone::Map, {text, {}, {}, {}, true});
  });
}

std::vector<Command> MainWindow::commandsFor(const QString& typed) {
  std::vector<Command> commands;
  for (QAction* action : actions_->all()) {
    if (action->isEnabled()) {
      commands.push_back({Actions::textOf(action), action->property("menu").toString(), Actions::keysOf(action),
                          [action] { action->trigger(); }, 0});
    }
  }
  for (const QString& path : recentFiles()) {
    commands.push_back({tr("Open %1").arg(path), tr("recent"), {}, [this, path] { workspace_->open(path); }, 0});
  }
  addHeadCommands(typed, commands);
  addTokenCommands(typed, commands);
  return commands;
}

// "L3H2", "3.2", "3 2"
void MainWindow::addHeadCommands(const QString& typed, std::vector<Command>& commands) {
  const auto capture = session_->capture();
  static const QRegularExpression pattern(QStringLiteral("^\\s*[lL]?(\\d+)[ .·,]*[hH]?\\s*(\\d+)\\s*$"));
  const QRegularExpressionMatch match = pattern.match(typed);
  if (capture == nullptr || !match.hasMatch()) {
    return;
  }
  const HeadId head{match.captured(1).toInt(), match.captured(2).toInt()};
  const CaptureHeader& header = capture->header();
  if (head.layer < header.layers && head.head < header.heads) {
    commands.push_back({typed,
                        tr("head L%1 · H%2").arg(head.layer).arg(head.head),
                        {},
                        [this, head] { session_->select(head); },
                        100});
  }
}

// "token 120" or "token river": the number, or the first tokens whose text holds the word.
void MainWindow::addTokenCommands(const QString& typed, std::vector<Command>& commands) {
  const auto capture = session_->capture();
  const QString word = typed.startsWith(QLatin1String("token ")) ? typed.mid(6) : QString();
  if (capture == nullptr || word.isEmpty()) {
    return;
  }
  constexpr int kMost = 8;
  const auto add = [&](std::int64_t token, const QString& text) {
    commands.push_back({typed,
                        tr("token %1 %2").arg(token).arg(text),
                        {},
                        [this, token] {
                          session_->pin(Cursor{token, token});
                          map_->goTo({token, token});
                          text_->showToken(token);
                        },
                        100 - static_cast<int>(commands.size() % 50)});
  };
  bool isNumber = false;
  const qlonglong number = word.trimmed().toLongLong(&isNumber);
  const std::vector<std::string>& tokens = capture->header().tokens;
  if (isNumber && number >= 0 && number < capture->tokens()) {
    add(number, {});
  }
  int found = 0;
  for (std::size_t i = 0; i < tokens.size() && found < kMost; ++i) {
    const QString text = QString::fromStdString(tokens[i]);
    if (text.contains(word.trimmed(), Qt::CaseInsensitive)) {
      add(static_cast<std::int64_t>(i), text);
      ++found;
    }
  }
}

}  // namespace headscope::ui
