// The choice of device and arithmetic, with devices of the test's own.

#include <QAction>
#include <QSettings>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QtTest>

#include "tests/support/own_settings.h"
#include "ui/engine/engine.h"
#include "ui/session/session_file.h"
#include "ui/window/bos_menu.h"
#include "ui/window/machine_menu.h"
#include "ui/window/workspace.h"

using namespace headscope;
using namespace headscope::ui;

class TstMachine : public QObject {
  Q_OBJECT

 private slots:
  void initTestCase();
  void init();
  void cleanup();

  void showsDevicesWithTheirMemory();
  void keepsTheChoice();
  void saysWhyAGpuCannotComputeMaps();
  void isSilentWithoutAGpu();
  void runsAgainInTheChosenArithmetic();
  void showsAndSwitchesTheBosRule();

 private:
  QAction* actionWith(const QString& words) const;

  QTemporaryDir folder_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Workspace> workspace_;
  std::unique_ptr<MachineMenu> menu_;
  std::vector<int> opened_;  ///< numbers of the GPUs that maps were asked of
};

void TstMachine::initTestCase() {
  test::keepSettingsIn(folder_.path());
}

void TstMachine::init() {
  QSettings().clear();
  opened_.clear();
  EngineParts parts = EngineParts::real();
  const bool withGpu = qstrcmp(QTest::currentTestFunction(), "isSilentWithoutAGpu") != 0;
  parts.listDevices = [withGpu] {
    std::vector<DeviceInfo> devices{{"cpu", "Test processor", 8ULL << 30, 2ULL << 30}};
    if (withGpu) {
      devices.push_back({"cuda:0", "Test GPU", 80ULL << 30, 70ULL << 30});
    }
    return devices;
  };
  parts.openGpuMaps = [this](int index, std::string& reason) {
    opened_.push_back(index);
    reason = "no compiler is there";
    return std::shared_ptr<GpuMaps>();
  };
  engine_ = std::make_unique<Engine>(parts);
  session_ = std::make_unique<Session>();
  workspace_ = std::make_unique<Workspace>(engine_.get(), session_.get(), folder_.filePath(QStringLiteral("journal")));
  menu_ = std::make_unique<MachineMenu>(engine_.get(), workspace_.get());
}

void TstMachine::cleanup() {
  menu_.reset();
  workspace_.reset();
  engine_.reset();
  session_.reset();
}

QAction* TstMachine::actionWith(const QString& words) const {
  for (QAction* action : menu_->actions()) {
    if (action->text().contains(words)) {
      return action;
    }
  }
  return nullptr;
}

void TstMachine::showsDevicesWithTheirMemory() {
  QVERIFY(actionWith(QStringLiteral("Automatic"))->isChecked());
  QVERIFY(actionWith(QStringLiteral("cuda:0")) == nullptr);
  QSignalSpy listed(engine_.get(), &Engine::devicesListed);
  menu_->popup({});
  QVERIFY(listed.wait());
  menu_->hide();
  QVERIFY(actionWith(QStringLiteral("cpu — Test processor, 2.15 GB of 8.59 GB free")) != nullptr);
  QVERIFY(actionWith(QStringLiteral("cuda:0 — Test GPU")) != nullptr);
}

void TstMachine::keepsTheChoice() {
  QSignalSpy listed(engine_.get(), &Engine::devicesListed);
  engine_->requestDevices();
  QVERIFY(listed.wait());
  actionWith(QStringLiteral("cpu —"))->trigger();
  actionWith(QStringLiteral("bf16"))->trigger();
  QTRY_VERIFY(actionWith(QStringLiteral("cpu —"))->isChecked());
  QVERIFY(actionWith(QStringLiteral("bf16"))->isChecked());
  QCOMPARE(savedMachine().device, std::string("cpu"));
  QCOMPARE(savedMachine().arithmetic, ArithmeticType::BF16);
  QSettings().setValue(QStringLiteral("machine/device"), QStringLiteral("toaster"));
  QCOMPARE(savedMachine().device, std::string("auto"));
}

void TstMachine::saysWhyAGpuCannotComputeMaps() {
  QSignalSpy noted(engine_.get(), &Engine::noted);
  engine_->setMapDevice(QStringLiteral("cuda:3"));
  QVERIFY(noted.wait());
  while (!noted.last().first().toString().contains(QStringLiteral("cuda:3"))) {
    QVERIFY(noted.wait());
  }
  QVERIFY(noted.last().first().toString().contains(QStringLiteral("no compiler is there")));
  QCOMPARE(opened_.back(), 3);
}

void TstMachine::isSilentWithoutAGpu() {
  QSignalSpy noted(engine_.get(), &Engine::noted);
  QSignalSpy changed(engine_.get(), &Engine::mapDeviceChanged);
  QTRY_COMPARE(changed.size(), 1);  // what the workspace asked for when it was made
  QVERIFY(changed.first().first().toString().isEmpty());
  QVERIFY(noted.isEmpty());
  QVERIFY(opened_.empty());
}

void TstMachine::runsAgainInTheChosenArithmetic() {
  QSignalSpy ready(engine_.get(), &Engine::captureReady);
  actionWith(QStringLiteral("f32"))->trigger();  // no GPU is really there
  ModelOptions machine = workspace_->machine();
  machine.device = "cpu";
  workspace_->setMachine(machine);
  workspace_->openDemo();
  QVERIFY(ready.wait(60000));
  QCOMPARE(workspace_->arithmetic(), QStringLiteral("f32"));
  session_->select({3, 2});
  session_->setFlag({1, 4}, true);
  actionWith(QStringLiteral("bf16"))->trigger();
  QVERIFY(ready.wait(60000));
  QCOMPARE(workspace_->arithmetic(), QStringLiteral("bf16"));
  QCOMPARE(session_->selected(), (HeadId{3, 2}));
  QVERIFY(session_->flags().contains({1, 4}));
  QVERIFY(session_->capture()->layer(0).lse.empty());  // of arithmetic in 16 bits
}

void TstMachine::showsAndSwitchesTheBosRule() {
  const BosMenu menu(engine_.get(), session_.get());
  QSignalSpy ready(engine_.get(), &Engine::captureReady);
  workspace_->openDemo();
  QVERIFY(ready.wait(60000));
  QTRY_VERIFY(menu.actions().first()->text().contains(QStringLiteral("<|begin|>")));
  QVERIFY(menu.actions().first()->isChecked());
  const std::int64_t tokens = session_->tokens();
  menu.actions().last()->trigger();  // never
  QTRY_VERIFY(menu.actions().last()->isChecked());
  workspace_->run();
  QVERIFY(ready.wait(60000));
  QCOMPARE(session_->tokens(), tokens - 1);
  QCOMPARE(sessionState(*session_).bos, Bos::Off);
  const QString file = folder_.filePath(QStringLiteral("bos.json"));
  writeSessionFile(file, sessionState(*session_));
  QCOMPARE(readSessionFile(file).bos, Bos::Off);
}

QTEST_MAIN(TstMachine)
#include "tst_machine.moc"
