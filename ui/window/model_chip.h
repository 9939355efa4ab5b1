#pragma once

// Which model is open: name, family, layers × heads, arithmetic, device, and a dot that says whether anything about it
// needs care. A click opens the menu of models.

#include <QAbstractButton>
#include <QStringList>

#include "core/capture/capture.h"
#include "core/model/model_info.h"

class QMenu;

namespace headscope::ui {

class ModelChip : public QAbstractButton {
  Q_OBJECT
 public:
  explicit ModelChip(QWidget* parent = nullptr);

  void setModel(const ModelInfo& model, const QString& device, const QString& arithmetic);
  void setCapture(const Capture& capture);  ///< opened without a model
  void setNone();
  void setBusy(const QString& name);  ///< being opened
  void setMenu(QMenu* menu);
  QString name() const { return name_; }
  QString details() const { return details_; }
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void show(const QString& name, const QString& details, const QStringList& tip, const QStringList& notes);

  enum class Sign { None, Fine, Notes, Busy };
  QString name_, details_;
  Sign sign_ = Sign::None;
};

}  // namespace headscope::ui
