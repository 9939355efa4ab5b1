#pragma once

// The little maps of the wall: values as the engine delivers them, coloured when they are first painted.

#include <QColor>
#include <QImage>
#include <map>

#include "ui/engine/engine.h"
#include "ui/session/session.h"

namespace headscope::ui {

class HeadThumbnails {
 public:
  void clear() { entries_.clear(); }
  void recolor();  ///< style or theme changed
  void put(const Thumbnail& thumbnail);
  /// Null if there is none yet. `tokens` sets the floor of the log scale.
  const QImage* image(HeadId head, const MapStyle& style, std::int64_t tokens, QRgb noValue);
  bool exact(HeadId head, int size) const;

 private:
  struct Entry {
    Thumbnail values;
    QImage image;
  };
  std::map<HeadId, Entry> entries_;
};

}  // namespace headscope::ui
