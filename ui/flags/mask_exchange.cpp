#include "ui/flags/mask_exchange.h"

#include <QCoreApplication>
#include <QStringList>
#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/masks/head_mask.h"
#include "core/masks/mask_file.h"

namespace headscope::ui {
namespace {

constexpr Score kRemarkScores[] = {Score::QSimilarityConsecutive, Score::SinkMass, Score::PreviousToken,
                                   Score::Induction, Score::Entropy};
constexpr int kMostGroupsNamed = 3;

QString tr(const char* text) {
  return QCoreApplication::translate("MaskExchange", text);
}

QString axisWords(MaskAxis axis) {
  return axis == MaskAxis::Query ? tr("query heads") : axis == MaskAxis::Kv ? tr("KV heads") : tr("layers");
}

/// Query heads of one KV group that are not flagged: "H4", "H3, H4".
QString missingHeads(const Session& session, const KvGroup& group) {
  QStringList missing;
  for (int head = group.kvHead * group.size; head < (group.kvHead + 1) * group.size; ++head) {
    if (!session.flagged({group.layer, head})) {
      missing.append(QStringLiteral("H%1").arg(head));
    }
  }
  return missing.join(QStringLiteral(", "));
}

}  // namespace

const std::vector<MaskFormat>& maskFormats() {
  static const std::vector<MaskFormat> formats{
      {MaskKind::Headscope, tr("Headscope mask (JSON): heads, notes, scores"), QStringLiteral("json"),
       tr("direction: drop. Lists the heads to remove, says its axis, keeps notes and scores."), true},
      {MaskKind::PrunedHeads, tr("Hugging Face pruned_heads (JSON)"), QStringLiteral("json"),
       tr("axis: query heads; direction: drop. {layer: [heads to remove]}, as config.pruned_heads has it."), false},
      {MaskKind::Bertology, tr("NumPy array (.npy), float32 [layers, heads]"), QStringLiteral("npy"),
       tr("axis: query heads; direction: keep. 1 = keep, 0 = prune, as head_mask expects it."), false},
      {MaskKind::Safetensors, tr("safetensors, [layers, heads]"), QStringLiteral("safetensors"),
       tr("direction: keep. 1 = keep, 0 = prune; axis and direction stand in the metadata."), true}};
  return formats;
}

MaskDocument flagDocument(const Session& session, const ScoreTable& scores) {
  MaskDocument document = maskDocument(session.mask());
  document.kind = MaskKind::Headscope;
  if (session.model()) {
    document.model = session.model()->name;
    document.family = session.model()->family;
  } else if (session.capture()) {
    document.model = session.capture()->header().model;
    document.family = session.capture()->header().family;
  }
  for (const auto& [head, note] : session.flags()) {
    MaskRemark remark{head.layer, head.head, note.toStdString(), {}};
    for (const Score score : kRemarkScores) {
      const double value = scores.value(head, metricOf(score));
      if (!std::isnan(value)) {
        remark.scores.emplace_back(std::string(definition(score).name), value);
      }
    }
    document.remarks.push_back(std::move(remark));
  }
  return document;
}

void exportFlags(const Session& session, const ScoreTable& scores, const MaskExport& wanted, const QString& path) {
  MaskDocument document = flagDocument(session, scores);
  MaskConversion conversion;
  conversion.rule = wanted.rule;
  if (wanted.axis != document.axis) {
    document = maskToAxis(document, wanted.axis, wanted.rule);
    document.remarks.clear();  // they are about query heads
  }
  writeMask(path.toStdString(), wanted.kind, convertMask(document, wanted.kind, conversion));
}

ImportedFlags importFlags(const Session& session, const QString& path) {
  MaskHints hints;
  hints.shape = {session.layers(), session.heads(), session.kvHeads()};
  const MaskDocument file = readMask(path.toStdString(), hints);
  if (file.axis == MaskAxis::Layer) {
    throw Error(path.toStdString(),
                concat("is a ", maskKindName(file.kind), " file about whole layers; flags are heads"));
  }
  if (file.keep.empty()) {
    throw Error(path.toStdString(),
                "holds scores, not a mask: headscope-cli mask convert cuts them with --threshold, "
                "--sparsity or --count");
  }
  const MaskDocument query = maskToAxis(file, MaskAxis::Query, std::nullopt);
  ImportedFlags imported;
  std::set<int> layers;
  for (const auto& [layer, head] : query.pruned()) {
    imported.flags[{layer, head}] = QString();
    layers.insert(layer);
  }
  for (const MaskRemark& remark : file.remarks) {
    const auto found = imported.flags.find({remark.layer, remark.head});
    if (file.axis == MaskAxis::Query && found != imported.flags.end()) {
      found->second = QString::fromStdString(remark.note);
    }
  }
  for (const std::string& warning : file.warnings) {
    imported.warnings.append(QString::fromStdString(warning));
  }
  imported.words = tr("%1, %2: %3 query heads in %4 layers")
                       .arg(axisWords(file.axis), QString::fromLatin1(maskDirectionName(file.direction)))
                       .arg(imported.flags.size())
                       .arg(layers.size());
  return imported;
}

QString kvGroupWords(const Session& session) {
  if (session.flags().empty() || session.kvHeads() == 0 || session.heads() % session.kvHeads() != 0) {
    return {};
  }
  const std::vector<KvGroup> groups = kvGroups(session.mask());
  QStringList free;
  const KvGroup* nearest = nullptr;
  for (const KvGroup& group : groups) {
    if (group.removable()) {
      free.append(tr("kv %1 of L%2").arg(group.kvHead).arg(group.layer));
    } else if (nearest == nullptr || group.size - group.pruned < nearest->size - nearest->pruned) {
      nearest = &group;
    }
  }
  if (!free.isEmpty()) {
    const auto more = free.size() - kMostGroupsNamed;
    const QString names = free.mid(0, kMostGroupsNamed).join(QStringLiteral(", "));
    return more > 0 ? tr("%1 and %2 more KV groups can go: all their heads are flagged").arg(names).arg(more)
                    : tr("%1 can go: all heads there are flagged").arg(names);
  }
  return nearest == nullptr ? QString()
                            : tr("no KV group is free yet: kv %1 of L%2 needs %3 too")
                                  .arg(nearest->kvHead)
                                  .arg(nearest->layer)
                                  .arg(missingHeads(session, *nearest));
}

}  // namespace headscope::ui
