#pragma once

// All heads at a glance: layers down, heads across, each a little map or one score as a colour. Custom-painted, only
// what is in view; asks the engine for visible thumbnails first. Click or arrow keys select, Space flags.

#include <QAbstractScrollArea>
#include <QTimer>
#include <optional>
#include <vector>

#include "ui/engine/engine.h"
#include "ui/heads/head_filter.h"
#include "ui/heads/head_thumbnails.h"
#include "ui/heads/metrics.h"
#include "ui/heads/wall_layout.h"
#include "ui/session/session.h"

namespace headscope::ui {

class HeadCard;

class HeadsWall : public QAbstractScrollArea {
  Q_OBJECT
 public:
  HeadsWall(Engine* engine, Session* session, QWidget* parent = nullptr);

  void setScores(const ScoreTable& scores);
  void setColorBy(std::optional<int> metric);  ///< none: the maps themselves
  void setSortBy(std::optional<int> metric);   ///< none: by layer
  void setFilter(const HeadFilter& filter);
  void setCellSide(int side);  ///< 0: as large as the width allows

  std::optional<int> colorBy() const { return colorBy_; }
  std::optional<int> sortBy() const { return sortBy_; }
  int shownHeads() const { return shown_; }  ///< that match the filter
  const WallLayout& layout() const { return layout_; }
  QRect cellOnScreen(HeadId head) const;  ///< in viewport coordinates
  /// "Layer 12, head 5, sink mass 0.66, flagged"
  QString describe(HeadId head) const;
  void walk(int right, int down);

 Q_SIGNALS:
  void shownHeadsChanged(int count);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void contextMenuEvent(QContextMenuEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  bool viewportEvent(QEvent* event) override;
  void scrollContentsBy(int dx, int dy) override;
  void changeEvent(QEvent* event) override;

 private:
  static constexpr int kMargin = 8;

  void connectSession();
  void relayout();
  void filterHeads();
  std::vector<HeadId> ranking() const;
  bool matches(HeadId head) const;
  QPoint offset() const;  ///< of the content in the viewport
  int headerHeight() const;
  int gutterWidth() const;
  QRect visibleContent() const;
  int thumbnailSize() const;
  void requestThumbnails();
  void showSelected();
  void hover(std::optional<HeadId> head);
  void announce();

  void paintHeader(QPainter& painter) const;
  void paintLayerNames(QPainter& painter) const;
  void paintCell(QPainter& painter, std::size_t index);
  void paintGround(QPainter& painter, HeadId head, const QRect& rect);

  Engine* engine_;
  Session* session_;
  ScoreTable scores_;
  HeadFilter filter_;
  std::optional<int> colorBy_, sortBy_;
  std::pair<double, double> colorRange_{0, 1};
  WallLayout layout_;
  HeadThumbnails thumbnails_;
  std::vector<char> matching_;  ///< [layers · heads] of the filter
  int shown_ = 0;
  int side_ = 0;
  std::optional<HeadId> hovered_;
  HeadCard* card_;
  QTimer cardTimer_, requestTimer_;
};

}  // namespace headscope::ui
