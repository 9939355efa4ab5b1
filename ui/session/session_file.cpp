#include "ui/session/session_file.h"

#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QJsonValue>
#include <QSaveFile>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/base/error.h"

namespace headscope::ui {
namespace {

constexpr int kVersion = 1;
constexpr qint64 kLargestFile = 64 << 20;
constexpr int kMostLayers = 100'000;
const QString kKind = QStringLiteral("headscope-session");

const std::array<std::pair<MapValue, QString>, 2> kValues{
    {{MapValue::Probability, QStringLiteral("probability")}, {MapValue::Logit, QStringLiteral("logit")}}};
const std::array<std::pair<Pool, QString>, 3> kPools{
    {{Pool::Max, QStringLiteral("max")}, {Pool::Mean, QStringLiteral("mean")}, {Pool::Mass, QStringLiteral("mass")}}};
const std::array<std::pair<Bos, QString>, 3> kBosRules{
    {{Bos::Auto, QStringLiteral("auto")}, {Bos::On, QStringLiteral("on")}, {Bos::Off, QStringLiteral("off")}}};
const std::array<std::pair<ColorScale, QString>, 2> kScales{
    {{ColorScale::Log, QStringLiteral("log")}, {ColorScale::Linear, QStringLiteral("linear")}}};

template <typename Table, typename Value>
QString nameIn(const Table& table, Value value) {
  for (const auto& [entry, name] : table) {
    if (entry == value) {
      return name;
    }
  }
  return {};
}

template <typename Value, std::size_t Count>
std::optional<Value> valueIn(const std::array<std::pair<Value, QString>, Count>& table, const QString& name) {
  for (const auto& [entry, known] : table) {
    if (known == name) {
      return entry;
    }
  }
  return std::nullopt;
}

/// Reads members of one JSON object and says in which file and under which key something is wrong.
class Reader {
 public:
  Reader(QString path, QJsonObject object, QString place = {})
      : path_(std::move(path)), object_(std::move(object)), place_(std::move(place)) {}

  [[noreturn]] void fail(const QString& key, const QString& problem) const {
    const QString at = place_.isEmpty() ? key : place_ + QLatin1Char('.') + key;
    throw Error(path_.toStdString(), (QStringLiteral("\"%1\" %2").arg(at, problem)).toStdString());
  }
  bool has(const QString& key) const {
    const QJsonValue value = object_.value(key);
    return !value.isUndefined() && !value.isNull();
  }
  QString text(const QString& key) const {
    const QJsonValue value = object_.value(key);
    if (has(key) && !value.isString()) {
      fail(key, QStringLiteral("is not text"));
    }
    return value.toString();
  }
  bool flag(const QString& key) const {
    if (has(key) && !object_.value(key).isBool()) {
      fail(key, QStringLiteral("is neither true nor false"));
    }
    return object_.value(key).toBool();
  }
  int whole(const QString& key, int limit = kMostLayers) const { return wholeValue(object_.value(key), key, limit); }
  int wholeValue(const QJsonValue& value, const QString& key, int limit) const {
    const double number = value.toDouble(-1);
    if (!value.isDouble() || number != std::floor(number) || number < 0 || number > limit) {
      fail(key, QStringLiteral("is not a whole number from 0 to %1").arg(limit));
    }
    return static_cast<int>(number);
  }
  double real(const QString& key) const {
    if (!object_.value(key).isDouble()) {
      fail(key, QStringLiteral("is not a number"));
    }
    return object_.value(key).toDouble();
  }
  QJsonArray list(const QString& key) const {
    if (has(key) && !object_.value(key).isArray()) {
      fail(key, QStringLiteral("is not a list"));
    }
    return object_.value(key).toArray();
  }
  Reader object(const QString& key) const { return objectFrom(object_.value(key), key); }
  Reader objectFrom(const QJsonValue& value, const QString& key) const {
    if (!value.isObject()) {
      fail(key, QStringLiteral("is not an object"));
    }
    return {path_, value.toObject(), place_.isEmpty() ? key : place_ + QLatin1Char('.') + key};
  }
  template <typename Table>
  auto choice(const QString& key, const Table& table) const {
    const auto found = valueIn(table, text(key));
    if (!found) {
      fail(key, QStringLiteral("has the unknown value \"%1\"").arg(text(key)));
    }
    return *found;
  }

 private:
  QString path_;
  QJsonObject object_;
  QString place_;
};

QJsonObject headJson(HeadId head) {
  return {{QStringLiteral("layer"), head.layer}, {QStringLiteral("head"), head.head}};
}

HeadId readHead(const Reader& reader) {
  return {reader.whole(QStringLiteral("layer")), reader.whole(QStringLiteral("head"))};
}

QJsonObject interventionsJson(const Interventions& interventions) {
  QJsonObject object;
  if (interventions.ropeBase) {
    object[QStringLiteral("rope_base")] = *interventions.ropeBase;
  }
  if (!interventions.dropChannels.empty()) {
    QJsonArray drop;
    for (const int channel : interventions.dropChannels) {
      drop.append(channel);
    }
    object[QStringLiteral("drop_channels")] = drop;
  }
  if (!interventions.moveChannels.empty()) {
    QJsonArray moves;
    for (const auto& [from, to] : interventions.moveChannels) {
      moves.append(QJsonArray{from, to});
    }
    object[QStringLiteral("move_channels")] = moves;
  }
  if (interventions.noRope) {
    object[QStringLiteral("no_rope")] = true;
  }
  return object;
}

Interventions readInterventions(const Reader& reader) {
  Interventions result;
  const QString base = QStringLiteral("rope_base");
  if (reader.has(base)) {
    result.ropeBase = reader.real(base);
    if (!(*result.ropeBase > 1)) {
      reader.fail(base, QStringLiteral("is not greater than 1"));
    }
  }
  const QString drop = QStringLiteral("drop_channels");
  for (const auto& value : reader.list(drop)) {
    result.dropChannels.push_back(reader.wholeValue(value, drop, kMostLayers));
  }
  const QString move = QStringLiteral("move_channels");
  for (const auto& value : reader.list(move)) {
    const QJsonArray pair = value.toArray();
    if (pair.size() != 2) {
      reader.fail(move, QStringLiteral("holds something other than pairs"));
    }
    result.moveChannels.emplace_back(reader.wholeValue(pair[0], move, kMostLayers),
                                     reader.wholeValue(pair[1], move, kMostLayers));
  }
  result.noRope = reader.flag(QStringLiteral("no_rope"));
  return result;
}

void readShape(const Reader& reader, SessionState& state) {
  state.layers = reader.whole(QStringLiteral("layers"));
  state.heads = reader.whole(QStringLiteral("heads"));
  state.kvHeads = reader.whole(QStringLiteral("kv_heads"));
}

void readStyle(const Reader& reader, MapStyle& style) {
  style.value = reader.choice(QStringLiteral("value"), kValues);
  style.pool = reader.choice(QStringLiteral("pool"), kPools);
  style.scale = reader.choice(QStringLiteral("scale"), kScales);
  style.colorMap = reader.text(QStringLiteral("color_map"));
  if (!isColorMapName(style.colorMap)) {
    reader.fail(QStringLiteral("color_map"), QStringLiteral("has the unknown value \"%1\"").arg(style.colorMap));
  }
}

void readFlags(const Reader& reader, SessionState& state) {
  const QString key = QStringLiteral("flags");
  for (const auto& value : reader.list(key)) {
    const Reader entry = reader.objectFrom(value, key);
    const HeadId head = readHead(entry);
    if (head.layer >= state.layers || head.head >= state.heads) {
      entry.fail(QStringLiteral("head"), QStringLiteral("L%1·H%2 is outside %3 layers × %4 heads")
                                             .arg(head.layer)
                                             .arg(head.head)
                                             .arg(state.layers)
                                             .arg(state.heads));
    }
    state.flags[head] = entry.text(QStringLiteral("note"));
  }
}

// A session folder that moved together with its model still finds it by the path relative to the session file.
QString existingPath(const QString& absolute, const QString& relative, const QString& sessionFile) {
  if (absolute.isEmpty() || QFileInfo::exists(absolute) || relative.isEmpty()) {
    return absolute;
  }
  const QString beside = QFileInfo(sessionFile).absoluteDir().absoluteFilePath(relative);
  return QFileInfo::exists(beside) ? QDir::cleanPath(beside) : absolute;
}

QByteArray readWhole(const QString& path) {
  QFile file(path);
  if (!file.open(QIODevice::ReadOnly)) {
    throw Error(path.toStdString(), "can't be read: " + file.errorString().toStdString());
  }
  if (file.size() > kLargestFile) {
    throw Error(path.toStdString(), "is too large for a session file");
  }
  return file.readAll();
}

QJsonObject sessionObject(const SessionState& state) {
  QJsonArray flags;
  for (const auto& [head, note] : state.flags) {
    QJsonObject entry = headJson(head);
    entry[QStringLiteral("note")] = note;
    flags.append(entry);
  }
  QJsonObject object{{QStringLiteral("kind"), kKind},
                     {QStringLiteral("version"), kVersion},
                     {QStringLiteral("program"), QStringLiteral("Headscope " HEADSCOPE_VERSION)},
                     {QStringLiteral("model"), state.modelPath},
                     {QStringLiteral("capture"), state.capturePath},
                     {QStringLiteral("model_name"), state.modelName},
                     {QStringLiteral("shape"), QJsonObject{{QStringLiteral("layers"), state.layers},
                                                           {QStringLiteral("heads"), state.heads},
                                                           {QStringLiteral("kv_heads"), state.kvHeads}}},
                     {QStringLiteral("prompt"), state.prompt},
                     {QStringLiteral("bos"), nameIn(kBosRules, state.bos)},
                     {QStringLiteral("ran"), state.ran},
                     {QStringLiteral("selected"), headJson(state.selected)},
                     {QStringLiteral("style"), QJsonObject{{QStringLiteral("value"), valueName(state.style.value)},
                                                           {QStringLiteral("pool"), poolName(state.style.pool)},
                                                           {QStringLiteral("color_map"), state.style.colorMap},
                                                           {QStringLiteral("scale"), scaleName(state.style.scale)}}},
                     {QStringLiteral("axis"), QStringLiteral("query")},
                     {QStringLiteral("direction"), QStringLiteral("drop")},
                     {QStringLiteral("flags"), flags}};
  if (state.interventions.any()) {
    object[QStringLiteral("interventions")] = interventionsJson(state.interventions);
  }
  return object;
}

}  // namespace

QString valueName(MapValue value) {
  return nameIn(kValues, value);
}
QString poolName(Pool pool) {
  return nameIn(kPools, pool);
}
QString scaleName(ColorScale scale) {
  return nameIn(kScales, scale);
}
std::optional<MapValue> valueFromName(const QString& name) {
  return valueIn(kValues, name);
}
std::optional<Pool> poolFromName(const QString& name) {
  return valueIn(kPools, name);
}
std::optional<ColorScale> scaleFromName(const QString& name) {
  return valueIn(kScales, name);
}

bool isColorMapName(const QString& name) {
  return name == QLatin1String("viridis") || name == QLatin1String("magma") || name == QLatin1String("cividis") ||
         name == QLatin1String("greys");
}

SessionState sessionState(const Session& session) {
  SessionState state;
  if (session.model()) {
    state.modelPath = QString::fromStdString(session.model()->path.string());
    state.modelName = QString::fromStdString(session.model()->name);
  } else if (session.capture()) {
    state.capturePath = QString::fromStdString(session.capture()->path().string());
    state.modelName = QString::fromStdString(session.capture()->header().model);
  }
  state.layers = session.layers();
  state.heads = session.heads();
  state.kvHeads = session.kvHeads();
  state.prompt = session.prompt();
  state.bos = session.bos();
  state.ran = session.capture() != nullptr;
  state.selected = session.selected();
  state.style = session.style();
  state.interventions = session.interventions();
  state.flags = session.flags();
  return state;
}

QByteArray sessionJson(const SessionState& state) {
  return QJsonDocument(sessionObject(state)).toJson();
}

SessionState readSessionFile(const QString& path) {
  QJsonParseError problem;
  const QJsonDocument document = QJsonDocument::fromJson(readWhole(path), &problem);
  if (problem.error != QJsonParseError::NoError) {
    throw Error(path.toStdString(),
                concat("is damaged: ", problem.errorString().toStdString(), " at byte ", problem.offset));
  }
  if (!document.isObject() || document.object().value(QStringLiteral("kind")).toString() != kKind) {
    throw Error(path.toStdString(), "is not a Headscope session");
  }
  const Reader reader(path, document.object());
  const int version = reader.whole(QStringLiteral("version"), std::numeric_limits<int>::max());
  if (version > kVersion || version < 1) {
    throw Error(path.toStdString(), concat("has session version ", version, "; this program knows up to ", kVersion),
                ErrorKind::Unsupported);
  }
  SessionState state;
  state.modelPath =
      existingPath(reader.text(QStringLiteral("model")), reader.text(QStringLiteral("model_relative")), path);
  state.capturePath =
      existingPath(reader.text(QStringLiteral("capture")), reader.text(QStringLiteral("capture_relative")), path);
  state.modelName = reader.text(QStringLiteral("model_name"));
  readShape(reader.object(QStringLiteral("shape")), state);
  state.prompt = reader.text(QStringLiteral("prompt"));
  if (reader.has(QStringLiteral("bos"))) {
    state.bos = reader.choice(QStringLiteral("bos"), kBosRules);
  }
  state.ran = reader.flag(QStringLiteral("ran"));
  state.selected = readHead(reader.object(QStringLiteral("selected")));
  readStyle(reader.object(QStringLiteral("style")), state.style);
  if (reader.has(QStringLiteral("interventions"))) {
    state.interventions = readInterventions(reader.object(QStringLiteral("interventions")));
  }
  readFlags(reader, state);
  return state;
}

void writeSessionFile(const QString& path, const SessionState& state) {
  QJsonObject object = sessionObject(state);
  const QDir folder = QFileInfo(path).absoluteDir();
  if (!state.modelPath.isEmpty()) {
    object[QStringLiteral("model_relative")] = folder.relativeFilePath(state.modelPath);
  }
  if (!state.capturePath.isEmpty()) {
    object[QStringLiteral("capture_relative")] = folder.relativeFilePath(state.capturePath);
  }
  const QByteArray json = QJsonDocument(object).toJson();
  QSaveFile file(path);
  if (!file.open(QIODevice::WriteOnly) || file.write(json) != json.size() || !file.commit()) {
    throw Error(path.toStdString(), "can't be written: " + file.errorString().toStdString());
  }
}

}  // namespace headscope::ui
