#include "ui/flags/flags_model.h"

#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {

FlagsModel::FlagsModel(Session* session, QObject* parent) : QAbstractTableModel(parent), session_(session) {
  connect(session_, &Session::flagsChanged, this, &FlagsModel::refresh);
  refresh();
}

void FlagsModel::setScores(const ScoreTable& scores) {
  scores_ = scores;
  if (!heads_.empty()) {
    Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
  }
}

// The same heads with other notes must not reset the view: somebody may be typing in it.
void FlagsModel::refresh() {
  std::vector<HeadId> heads;
  for (const auto& [head, note] : session_->flags()) {
    heads.push_back(head);
  }
  if (heads == heads_ && !heads_.empty()) {
    Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
    return;
  }
  beginResetModel();
  heads_ = std::move(heads);
  endResetModel();
}

int FlagsModel::rowOf(HeadId head) const {
  const auto found = std::find(heads_.begin(), heads_.end(), head);
  return found == heads_.end() ? -1 : static_cast<int>(found - heads_.begin());
}

int FlagsModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(heads_.size());
}

int FlagsModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : kNote + 1;
}

QVariant FlagsModel::shown(HeadId head, int column) const {
  const int groupSize = session_->kvHeads() > 0 ? std::max(1, session_->heads() / session_->kvHeads()) : 1;
  switch (column) {
    case Layer:
      return QStringLiteral("L%1").arg(head.layer);
    case Head:
      return QStringLiteral("H%1").arg(head.head);
    case KvGroup: {
      const int group = head.head / groupSize;
      int flagged = 0;
      for (int other = group * groupSize; other < (group + 1) * groupSize; ++other) {
        flagged += session_->flagged({head.layer, other}) ? 1 : 0;
      }
      return flagged == groupSize ? tr("kv %1 · can go").arg(group)
                                  : tr("kv %1 · %2 of %3").arg(group).arg(flagged).arg(groupSize);
    }
    case CaseName: {
      const HeadReport* report = scores_.find(head);
      return report != nullptr ? caseName(report->cases.label) : QStringLiteral("–");
    }
    case kNote:
      return session_->note(head);
    default:
      return formatValue(scores_.value(head, kMetrics[column - FirstScore]));
  }
}

QVariant FlagsModel::sorted(HeadId head, int column) const {
  switch (column) {
    case Layer:
      return head.layer * 100'000 + head.head;
    case Head:
      return head.head;
    case KvGroup:
    case CaseName:
    case kNote:
      return shown(head, column);
    default: {
      const double value = scores_.value(head, kMetrics[column - FirstScore]);
      return std::isnan(value) ? -1e300 : value;
    }
  }
}

QVariant FlagsModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) {
    return {};
  }
  const HeadId head = headAt(index.row());
  const int column = index.column();
  const bool score = column >= FirstScore && column < kNote;
  switch (role) {
    case Qt::DisplayRole:
    case Qt::EditRole:
      return shown(head, column);
    case SortRole:
      return sorted(head, column);
    case Qt::TextAlignmentRole:
      return QVariant::fromValue(Qt::Alignment((score ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
    case Qt::FontRole:
      return score ? QVariant(monoFont()) : QVariant();
    case Qt::ForegroundRole:
      return column == Layer || column == Head ? QVariant(theme().flag) : QVariant();
    case Qt::ToolTipRole:
      return column == kNote ? QVariant(session_->note(head)) : QVariant();
    default:
      return {};
  }
}

QVariant FlagsModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal) {
    return {};
  }
  const bool score = section >= FirstScore && section < kNote;
  if (role == Qt::TextAlignmentRole) {
    return QVariant::fromValue(Qt::Alignment((score ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
  }
  if (role == Qt::ToolTipRole && score) {
    return metrics()[static_cast<std::size_t>(kMetrics[section - FirstScore])].text;
  }
  if (role != Qt::DisplayRole) {
    return {};
  }
  switch (section) {
    case Layer:
      return tr("Layer");
    case Head:
      return tr("Head");
    case KvGroup:
      return tr("KV group, flagged");
    case CaseName:
      return tr("Case");
    case kNote:
      return tr("Note");
    default: {
      const Metric& known = metrics()[static_cast<std::size_t>(kMetrics[section - FirstScore])];
      return known.unit == QLatin1String("nats") ? known.label + QStringLiteral(", nats")
                                                 : known.label.section(QLatin1Char(','), 0, 0);
    }
  }
}

Qt::ItemFlags FlagsModel::flags(const QModelIndex& index) const {
  const Qt::ItemFlags plain = QAbstractTableModel::flags(index);
  return index.column() == kNote ? plain | Qt::ItemIsEditable : plain;
}

bool FlagsModel::setData(const QModelIndex& index, const QVariant& value, int role) {
  if (role != Qt::EditRole || index.column() != kNote) {
    return false;
  }
  session_->setNote(headAt(index.row()), value.toString());
  return true;
}

}  // namespace headscope::ui
