#pragma once

// The bottom line: what is under the cursor in fixed columns, so that numbers never jump, what the picture is, memory
// and device.

#include <QTimer>
#include <QWidget>

#include "ui/engine/engine.h"
#include "ui/map/attention_map_view.h"
#include "ui/session/session.h"

class QLabel;

namespace headscope::ui {

class StatusStrip : public QWidget {
  Q_OBJECT
 public:
  StatusStrip(Engine* engine, Session* session, AttentionMapView* map, QWidget* parent = nullptr);

  void setDevice(const QString& device);
  /// Words that go away by themselves: "saved mask.json".
  void say(const QString& text);
  QString cellWords() const;  ///< "query 63 ␣key  key 55 ␣opens  p 0.744 …"

 private:
  QLabel* column(const QString& name, int characters, const char* look);
  void showCell();
  void showPicture();
  void showMemory();

  Engine* engine_;
  Session* session_;
  AttentionMapView* map_;
  QLabel* query_;
  QLabel* key_;
  QLabel* probability_;
  QLabel* logit_;
  QLabel* distance_;
  QLabel* words_;
  QLabel* picture_;
  QLabel* frame_;
  QLabel* memory_;
  QLabel* device_;
  QTimer saying_, memoryTimer_;
};

/// "8.2 MB"
QString byteWords(double bytes);

}  // namespace headscope::ui
