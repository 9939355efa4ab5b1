#pragma once

// A session on disk: which model and prompt, which head, how it is drawn, and above all the flags with their notes.
// JSON, versioned, written aside and renamed. The layout is documented in resources/help/window.md.

#include <QString>
#include <map>

#include "core/rope/interventions.h"
#include "ui/session/session.h"

namespace headscope::ui {

struct SessionState {
  QString modelPath;    ///< absolute; empty: none
  QString capturePath;  ///< absolute; a capture opened from a file instead of a model
  QString modelName;
  int layers = 0, heads = 0, kvHeads = 0;  ///< shape that the flags belong to
  QString prompt;
  Bos bos = Bos::Auto;
  bool ran = false;  ///< the prompt had been run
  HeadId selected;
  MapStyle style;
  Interventions interventions;
  std::map<HeadId, QString> flags;
  bool operator==(const SessionState&) const = default;
};

/// What `session` holds now. `capturePath` is set only where there is no model.
SessionState sessionState(const Session& session);

QByteArray sessionJson(const SessionState& state);

/// Throws Error naming `path`: not JSON, not a session, a newer version, or values that can't be.
SessionState readSessionFile(const QString& path);

/// Throws Error naming `path`; the previous file then stays as it was.
void writeSessionFile(const QString& path, const SessionState& state);

// Names of styles as they stand in files and settings.
QString valueName(MapValue value);    ///< "probability", "logit"
QString poolName(Pool pool);          ///< "max", "mean", "mass"
QString scaleName(ColorScale scale);  ///< "log", "linear"
std::optional<MapValue> valueFromName(const QString& name);
std::optional<Pool> poolFromName(const QString& name);
std::optional<ColorScale> scaleFromName(const QString& name);
bool isColorMapName(const QString& name);

}  // namespace headscope::ui
