#pragma once

// Where and how models run: the device, with its memory, and the arithmetic. Takes effect at once: the open model is
// opened anew.

#include <QMenu>
#include <QVector>

#include "core/model/model.h"

class QActionGroup;

namespace headscope::ui {

class Engine;
class Workspace;

ModelOptions savedMachine();  ///< of the settings; what can't be is Auto
void saveMachine(const ModelOptions& machine);

class MachineMenu : public QMenu {
  Q_OBJECT
 public:
  MachineMenu(Engine* engine, Workspace* workspace, QWidget* parent = nullptr);

 private:
  void rebuild();
  void addDevice(const QString& name, const QString& words);
  void addArithmetic(ArithmeticType type, const QString& words);

  Engine* engine_;
  Workspace* workspace_;
  QVector<DeviceInfo> devices_;  ///< of the last look
};

}  // namespace headscope::ui
