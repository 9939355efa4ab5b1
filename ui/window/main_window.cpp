#include "ui/window/main_window.h"

#include <QApplication>
#include <QBuffer>
#include <QCloseEvent>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QMenuBar>
#include <QMimeData>
#include <QPushButton>
#include <QSaveFile>
#include <QScrollArea>
#include <QSettings>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>
#include <QToolBar>
#include <QVBoxLayout>

#include "core/base/error.h"
#include "ui/flags/export_window.h"
#include "ui/flags/flags_table.h"
#include "ui/head/head_panel.h"
#include "ui/heads/heads_panel.h"
#include "ui/help/help_pane.h"
#include "ui/jobs/jobs_list.h"
#include "ui/map/attention_map_view.h"
#include "ui/style/theme.h"
#include "ui/text/token_strip.h"
#include "ui/window/actions.h"
#include "ui/window/bos_menu.h"
#include "ui/window/dock.h"
#include "ui/window/machine_menu.h"
#include "ui/window/message_bar.h"
#include "ui/window/model_chip.h"
#include "ui/window/start_page.h"
#include "ui/window/status_strip.h"
#include "ui/window/top_bar.h"

namespace headscope::ui {
namespace {

constexpr int kLayoutVersion = 1;  // raise when docks are added or renamed
const char* const kGeometryKey = "window/geometry";
const char* const kLayoutKey = "window/layout";

}  // namespace

MainWindow::MainWindow(const QString& journalFolder, QWidget* parent)
    : MainWindow(journalFolder, EngineParts::real(), parent) {}

MainWindow::MainWindow(const QString& journalFolder, const EngineParts& parts, QWidget* parent)
    : QMainWindow(parent),
      engine_(new Engine(parts, this)),
      session_(new Session(this)),
      workspace_(new Workspace(engine_, session_, journalFolder, this)),
      actions_(new Actions(this)) {
  setAcceptDrops(true);
  setDockNestingEnabled(true);
  setCorner(Qt::BottomLeftCorner, Qt::BottomDockWidgetArea);
  setCorner(Qt::BottomRightCorner, Qt::BottomDockWidgetArea);
  setContextMenuPolicy(Qt::NoContextMenu);
  buildCentre();
  buildTopBar();
  buildDocks();
  buildMenus();
  connectFileActions();
  connectFlagActions();
  connectHeadActions();
  connectMapActions();
  connectViewActions();
  connectSession();
  connectWorkspace();
  connectParts();
  showCentre();
  showTitle();
  restoreLayout();
}

// The parts use engine, workspace and session until they are gone; as children these would go first.
MainWindow::~MainWindow() {
  delete export_;
  delete topBar_;
  delete status_;
  for (Dock* dock : {headsDock_, headDock_, bottomDock_, helpDock_}) {
    delete dock;
  }
  delete takeCentralWidget();
  delete workspace_;
  delete engine_;
}

void MainWindow::buildCentre() {
  map_ = new AttentionMapView(engine_, session_);
  start_ = new StartPage(session_);
  messages_ = new MessageBar;
  centre_ = new QStackedWidget;
  centre_->addWidget(start_);
  centre_->addWidget(map_);
  auto* panel = new QWidget;
  setLook(panel, "panel");
  auto* column = new QVBoxLayout(panel);
  column->setContentsMargins(kSpacing, kSpacing, kSpacing, kSpacing);
  column->setSpacing(0);
  column->addWidget(messages_);
  column->addWidget(centre_, 1);
  auto* holder = new QWidget;  // the gap between panels
  auto* gap = new QVBoxLayout(holder);
  gap->setContentsMargins(kSpacing, kSpacing, kSpacing, kSpacing);
  gap->addWidget(panel);
  setCentralWidget(holder);
}

void MainWindow::buildTopBar() {
  topBar_ = new TopBar(session_);
  auto* bar = new QToolBar(tr("Top bar"));
  bar->setObjectName(QStringLiteral("topBar"));
  bar->setMovable(false);
  bar->setFloatable(false);
  bar->toggleViewAction()->setEnabled(false);
  bar->addWidget(topBar_);
  addToolBar(Qt::TopToolBarArea, bar);
  status_ = new StatusStrip(engine_, session_, map_);
  statusBar()->setSizeGripEnabled(false);
  statusBar()->addWidget(status_, 1);
}

void MainWindow::buildDocks() {
  heads_ = new HeadsPanel(engine_, session_);
  headsDock_ = new Dock(QStringLiteral("heads"), tr("Heads"), heads_, this);
  addDockWidget(Qt::LeftDockWidgetArea, headsDock_);

  head_ = new HeadPanel(engine_, session_);
  headDock_ = new Dock(QStringLiteral("head"), tr("Head"), head_, this);
  addDockWidget(Qt::RightDockWidgetArea, headDock_);

  help_ = new HelpPane;
  helpDock_ = new Dock(QStringLiteral("help"), tr("Help"), help_, this);
  addDockWidget(Qt::RightDockWidgetArea, helpDock_);
  tabifyDockWidget(headDock_, helpDock_);
  helpDock_->hide();

  bottomDock_ = new Dock(QStringLiteral("bottom"), tr("Text, flags, jobs"), buildBottom(), this);
  addDockWidget(Qt::BottomDockWidgetArea, bottomDock_);
  resizeDocks({headsDock_, headDock_}, {330, 384}, Qt::Horizontal);
  resizeDocks({bottomDock_}, {190}, Qt::Vertical);
}

QWidget* MainWindow::buildBottom() {
  text_ = new TokenStrip(engine_, session_);
  flags_ = new FlagsTable(session_);
  jobs_ = new JobsList(engine_);
  tabs_ = new QTabWidget;
  tabs_->setDocumentMode(true);
  tabs_->addTab(text_, tr("Text"));
  tabs_->addTab(flags_, tr("Flags"));
  tabs_->addTab(jobs_, tr("Jobs"));
  auto* summary = new FlagsSummary(session_);
  summary->setFixedWidth(330);
  connect(summary, &FlagsSummary::exportAsked, this, &MainWindow::exportMask);
  auto* content = new QWidget;
  auto* row = new QHBoxLayout(content);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(2 * kSpacing);
  row->addWidget(tabs_, 1);
  row->addWidget(summary);
  return content;
}

void MainWindow::buildMenus() {
  for (const QString& name : actions_->menus()) {
    QMenu* menu = menuBar()->addMenu(QLatin1Char('&') + name);
    menu->addActions(actions_->ofMenu(name));
    if (name == QLatin1String("View")) {
      menu->addSeparator();
      for (Dock* dock : {headsDock_, headDock_, bottomDock_, helpDock_}) {
        menu->addAction(dock->toggleViewAction());
      }
    }
    if (name == QLatin1String("Run")) {
      menu->addSeparator();
      menu->addMenu(new BosMenu(engine_, session_, menu));
      menu->addMenu(new MachineMenu(engine_, workspace_, menu));
    }
    if (name == QLatin1String("File")) {
      topBar_->chip()->setMenu(menu);
    }
  }
}

void MainWindow::restoreLayout() {
  firstLayout_ = saveState(kLayoutVersion);
  const QSettings settings;
  if (!restoreGeometry(settings.value(QLatin1String(kGeometryKey)).toByteArray())) {
    resize(1600, 1000);
  }
  restoreState(settings.value(QLatin1String(kLayoutKey)).toByteArray(), kLayoutVersion);
}

void MainWindow::resetLayout() {
  for (Dock* dock : {headsDock_, headDock_, bottomDock_, helpDock_}) {
    dock->setFloating(false);
  }
  restoreState(firstLayout_, kLayoutVersion);
  helpDock_->hide();
  for (Dock* dock : {headsDock_, headDock_, bottomDock_}) {
    dock->show();
  }
  resizeDocks({headsDock_, headDock_}, {330, 384}, Qt::Horizontal);
  resizeDocks({bottomDock_}, {190}, Qt::Vertical);
}

bool MainWindow::settled() const {
  return session_->capture() != nullptr && !workspace_->running() && !workspace_->opening() &&
         workspace_->scoresComplete() && map_->exact() && head_->detail() != nullptr && !engine_->busy();
}

void MainWindow::saveWindowImage(const QString& path) {
  QByteArray png;
  QBuffer buffer(&png);
  buffer.open(QIODevice::WriteOnly);
  grab().save(&buffer, "PNG");
  QSaveFile file(path);
  if (!file.open(QIODevice::WriteOnly) || file.write(png) != png.size() || !file.commit()) {
    throw Error(path.toStdString(), concat("can't be written: ", file.errorString().toStdString()));
  }
}

void MainWindow::showCentre() {
  const bool map = session_->capture() != nullptr;
  centre_->setCurrentWidget(map ? static_cast<QWidget*>(map_) : start_);
}

void MainWindow::showTitle() {
  QString name = tr("Headscope");
  if (const auto model = session_->model()) {
    name = QString::fromStdString(model->name) + QStringLiteral(" — ") + name;
  }
  if (!workspace_->sessionPath().isEmpty()) {
    name = QFileInfo(workspace_->sessionPath()).fileName() + QStringLiteral("[*] — ") + name;
  } else {
    name = QStringLiteral("[*]") + name;
  }
  setWindowTitle(name);
  setWindowModified(!session_->undoStack()->isClean());
}

void MainWindow::showRemarks() {
  headsDock_->setRemark(heads_->countWords());
  const int flagged = static_cast<int>(session_->flags().size());
  tabs_->setTabText(1, flagged == 0 ? tr("Flags") : tr("Flags %1").arg(flagged));
  bottomDock_->setRemark(tabs_->currentIndex() == 0 ? text_->remark() : QString());
}

MessageBar* MainWindow::barOf(Workspace::Zone zone) const {
  switch (zone) {
    case Workspace::Zone::Head:
      return head_->messages();
    case Workspace::Zone::Flags:
      return flags_->messages();
    default:
      return messages_;
  }
}

void MainWindow::showMessage(Workspace::Zone zone, const BarMessage& message) {
  if (zone == Workspace::Zone::Flags) {
    bottomDock_->show();
    tabs_->setCurrentWidget(flags_);
  }
  barOf(zone)->show(message);
}

void MainWindow::openHelp(const QString& page, const QString& topic) {
  helpDock_->show();
  helpDock_->raise();
  help_->open(page, topic);
}

void MainWindow::closeEvent(QCloseEvent* event) {
  QSettings settings;
  settings.setValue(QLatin1String(kGeometryKey), saveGeometry());
  settings.setValue(QLatin1String(kLayoutKey), saveState(kLayoutVersion));
  workspace_->flush();
  event->accept();
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls()) {
    event->acceptProposedAction();
    start_->setDropping(true);
  }
}

void MainWindow::dragLeaveEvent(QDragLeaveEvent*) {
  start_->setDropping(false);
}

void MainWindow::dropEvent(QDropEvent* event) {
  start_->setDropping(false);
  const QList<QUrl> urls = event->mimeData()->urls();
  if (!urls.isEmpty() && urls.first().isLocalFile()) {
    workspace_->open(urls.first().toLocalFile());
  }
}

// Keys that a focused field did not use: arrows walk the wall wherever the keyboard is.
void MainWindow::keyPressEvent(QKeyEvent* event) {
  const bool shift = event->modifiers().testFlag(Qt::ShiftModifier);
  constexpr double kPan = 0.2;
  switch (event->key()) {
    case Qt::Key_Left:
    case Qt::Key_Right: {
      const int step = event->key() == Qt::Key_Right ? 1 : -1;
      shift ? map_->panBy(kPan * step, 0) : heads_->wall()->walk(step, 0);
      return;
    }
    case Qt::Key_Up:
    case Qt::Key_Down: {
      const int step = event->key() == Qt::Key_Down ? 1 : -1;
      shift ? map_->panBy(0, kPan * step) : heads_->wall()->walk(0, step);
      return;
    }
    case Qt::Key_Space:
      session_->toggleFlag(session_->selected());
      return;
    case Qt::Key_Escape:
      session_->pin(std::nullopt);
      return;
    default:
      QMainWindow::keyPressEvent(event);
  }
}

}  // namespace headscope::ui
