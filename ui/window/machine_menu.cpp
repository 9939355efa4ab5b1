#include "ui/window/machine_menu.h"

#include <QActionGroup>
#include <QSettings>

#include "ui/engine/engine.h"
#include "ui/window/status_strip.h"
#include "ui/window/workspace.h"

namespace headscope::ui {
namespace {

const char* const kDeviceKey = "machine/device";
const char* const kArithmeticKey = "machine/arithmetic";

struct ArithmeticName {
  ArithmeticType type;
  const char* name;
  const char* words;
};
constexpr ArithmeticName kArithmetics[] = {
    {ArithmeticType::Auto, "auto", QT_TRANSLATE_NOOP("MachineMenu", "Automatic: f32 on the CPU, as stored on a GPU")},
    {ArithmeticType::F32, "f32", QT_TRANSLATE_NOOP("MachineMenu", "f32")},
    {ArithmeticType::BF16, "bf16", QT_TRANSLATE_NOOP("MachineMenu", "bf16: half the memory, three digits")},
    {ArithmeticType::F16, "f16", QT_TRANSLATE_NOOP("MachineMenu", "f16: half the memory, small range")},
};

bool isDeviceName(const QString& name) {
  return name == QLatin1String("auto") || name == QLatin1String("cpu") || name.startsWith(QLatin1String("cuda"));
}

}  // namespace

ModelOptions savedMachine() {
  const QSettings settings;
  ModelOptions machine;
  const QString device = settings.value(QLatin1String(kDeviceKey)).toString();
  if (isDeviceName(device)) {
    machine.device = device.toStdString();
  }
  const QString arithmetic = settings.value(QLatin1String(kArithmeticKey)).toString();
  for (const ArithmeticName& known : kArithmetics) {
    if (arithmetic == QLatin1String(known.name)) {
      machine.arithmetic = known.type;
    }
  }
  return machine;
}

void saveMachine(const ModelOptions& machine) {
  QSettings settings;
  settings.setValue(QLatin1String(kDeviceKey), QString::fromStdString(machine.device));
  for (const ArithmeticName& known : kArithmetics) {
    if (machine.arithmetic == known.type) {
      settings.setValue(QLatin1String(kArithmeticKey), QLatin1String(known.name));
    }
  }
}

MachineMenu::MachineMenu(Engine* engine, Workspace* workspace, QWidget* parent)
    : QMenu(tr("&Device and arithmetic"), parent), engine_(engine), workspace_(workspace) {
  setObjectName(QStringLiteral("machineMenu"));
  rebuild();
  connect(this, &QMenu::aboutToShow, engine_, &Engine::requestDevices);  // free memory changes
  connect(engine_, &Engine::devicesListed, this, [this](const QVector<DeviceInfo>& devices) {
    devices_ = devices;
    rebuild();
  });
}

void MachineMenu::rebuild() {
  clear();
  addDevice(QStringLiteral("auto"), tr("Automatic: a GPU where there is one"));
  const QString asked = QString::fromStdString(workspace_->machine().device);
  bool listed = asked == QLatin1String("auto");
  for (const DeviceInfo& device : devices_) {
    const QString name = QString::fromStdString(device.name);
    listed = listed || name == asked;
    addDevice(name, tr("%1 — %2, %3 of %4 free")
                        .arg(name, QString::fromStdString(device.description),
                             byteWords(static_cast<double>(device.freeBytes)),
                             byteWords(static_cast<double>(device.totalBytes))));
  }
  if (!listed) {
    addDevice(asked, devices_.isEmpty() ? asked : tr("%1 — not there").arg(asked));
  }
  addSeparator();
  for (const ArithmeticName& known : kArithmetics) {
    addArithmetic(known.type, tr(known.words));
  }
}

void MachineMenu::addDevice(const QString& name, const QString& words) {
  QAction* action = addAction(words);
  action->setObjectName(name);
  action->setCheckable(true);
  action->setChecked(workspace_->machine().device == name.toStdString());
  connect(action, &QAction::triggered, this, [this, name] {
    ModelOptions machine = workspace_->machine();
    machine.device = name.toStdString();
    workspace_->setMachine(machine);
    // Later, as it removes the action that is just being triggered.
    QMetaObject::invokeMethod(this, &MachineMenu::rebuild, Qt::QueuedConnection);
  });
}

void MachineMenu::addArithmetic(ArithmeticType type, const QString& words) {
  QAction* action = addAction(words);
  action->setCheckable(true);
  action->setChecked(workspace_->machine().arithmetic == type);
  connect(action, &QAction::triggered, this, [this, type] {
    ModelOptions machine = workspace_->machine();
    machine.arithmetic = type;
    workspace_->setMachine(machine);
    // Later, as it removes the action that is just being triggered.
    QMetaObject::invokeMethod(this, &MachineMenu::rebuild, Qt::QueuedConnection);
  });
}

}  // namespace headscope::ui
