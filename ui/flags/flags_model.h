#pragma once

// Flagged heads as a table: where, KV group, case, key scores, note (editable).

#include <QAbstractTableModel>
#include <vector>

#include "ui/heads/metrics.h"
#include "ui/session/session.h"

namespace headscope::ui {

class FlagsModel : public QAbstractTableModel {
  Q_OBJECT
 public:
  enum Column { Layer, Head, KvGroup, CaseName, FirstScore };
  static constexpr int kMetrics[] = {metricOf(Score::QSimilarityConsecutive),
                                     metricOf(Score::SinkMass),
                                     metricOf(Score::PreviousToken),
                                     metricOf(Score::Induction),
                                     metricOf(Score::Entropy),
                                     metricOf(Extra::NeedleRetrieval),
                                     metricOf(Extra::Theorem51)};
  static constexpr int kScoreColumns = 7;
  static constexpr int kNote = FirstScore + kScoreColumns;
  static constexpr int SortRole = Qt::UserRole;

  explicit FlagsModel(Session* session, QObject* parent = nullptr);

  void setScores(const ScoreTable& scores);
  HeadId headAt(int row) const { return heads_[static_cast<std::size_t>(row)]; }
  int rowOf(HeadId head) const;  ///< −1 if not flagged

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
  Qt::ItemFlags flags(const QModelIndex& index) const override;
  bool setData(const QModelIndex& index, const QVariant& value, int role) override;

 private:
  void refresh();
  QVariant shown(HeadId head, int column) const;
  QVariant sorted(HeadId head, int column) const;

  Session* session_;
  ScoreTable scores_;
  std::vector<HeadId> heads_;
};

}  // namespace headscope::ui
