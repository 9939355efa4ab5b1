#pragma once

// Between the session's flags and mask files: what is written, what a file's mask means as flags.

#include <QString>
#include <map>
#include <optional>
#include <vector>

#include "core/masks/mask_conversion.h"
#include "core/masks/mask_document.h"
#include "ui/heads/metrics.h"
#include "ui/session/session.h"

namespace headscope::ui {

/// A file format as the export window offers it.
struct MaskFormat {
  MaskKind kind;
  QString name;     ///< "Hugging Face pruned_heads (JSON)"
  QString ending;   ///< "json"
  QString meaning;  ///< axis and direction in words
  bool anyAxis;     ///< KV heads can be chosen, too
};
const std::vector<MaskFormat>& maskFormats();

struct MaskExport {
  MaskKind kind = MaskKind::Headscope;
  MaskAxis axis = MaskAxis::Query;
  GroupRule rule = GroupRule::Any;  ///< query → KV heads: a KV head stays if any / all / half of its query heads stay
};

/// Flags with notes and key scores, model name and shape.
MaskDocument flagDocument(const Session& session, const ScoreTable& scores);

/// Throws Error naming `path` or what can't be.
void exportFlags(const Session& session, const ScoreTable& scores, const MaskExport& wanted, const QString& path);

struct ImportedFlags {
  std::map<HeadId, QString> flags;
  QString words;  ///< "query heads, drop: 12 heads of 5 layers"
  QStringList warnings;
};

/// Throws Error naming `path`: damaged, of another shape, or scores without a cut.
ImportedFlags importFlags(const Session& session, const QString& path);

/// Which KV groups the flags free: "kv 1 of L17 can go", or what the nearest one still needs.
QString kvGroupWords(const Session& session);

}  // namespace headscope::ui
