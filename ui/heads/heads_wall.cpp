#include "ui/heads/heads_wall.h"

#include <QAccessible>
#include <QContextMenuEvent>
#include <QFontMetrics>
#include <QHoverEvent>
#include <QKeyEvent>
#include <QMenu>
#include <QPainter>
#include <QScrollBar>
#include <algorithm>
#include <cmath>
#include <set>

#include "ui/heads/head_card.h"
#include "ui/style/color_map.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kRankedSide = 44;
constexpr int kCardDelayMs = 220;
constexpr int kRequestDelayMs = 40;
constexpr int kThumbnailSizes[] = {16, 24, 32, 48, 64, 96, 128};

}  // namespace

HeadsWall::HeadsWall(Engine* engine, Session* session, QWidget* parent)
    : QAbstractScrollArea(parent), engine_(engine), session_(session), card_(new HeadCard(this)) {
  setFrameShape(QFrame::NoFrame);
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(tr("Wall of heads"));
  setObjectName(QStringLiteral("headsWall"));
  viewport()->setMouseTracking(true);
  viewport()->setAutoFillBackground(false);
  viewport()->setAttribute(Qt::WA_Hover);
  setMinimumSize(120, 80);
  verticalScrollBar()->setSingleStep(24);
  horizontalScrollBar()->setSingleStep(24);
  cardTimer_.setSingleShot(true);
  cardTimer_.setInterval(kCardDelayMs);
  connect(&cardTimer_, &QTimer::timeout, this, [this] {
    if (hovered_ && isVisible()) {
      const QRect cell = cellOnScreen(*hovered_);
      card_->show(*session_, scores_, *hovered_, colorBy_ ? colorBy_ : sortBy_,
                  QRect(viewport()->mapToGlobal(cell.topLeft()), cell.size()));
    }
  });
  requestTimer_.setSingleShot(true);
  requestTimer_.setInterval(kRequestDelayMs);
  connect(&requestTimer_, &QTimer::timeout, this, &HeadsWall::requestThumbnails);
  connect(engine_, &Engine::thumbnailReady, this, [this](const Thumbnail& thumbnail) {
    if (session_->capture() && thumbnail.capture == session_->capture()->id()) {
      thumbnails_.put(thumbnail);
      viewport()->update(cellOnScreen(thumbnail.head));
    }
  });
  connect(&Appearance::instance(), &Appearance::changed, this, [this] {
    thumbnails_.recolor();
    relayout();
  });
  connectSession();
}

void HeadsWall::connectSession() {
  connect(session_, &Session::captureChanged, this, [this] {
    thumbnails_.clear();
    relayout();
  });
  connect(session_, &Session::modelChanged, this, &HeadsWall::relayout);
  connect(session_, &Session::layerReady, this, [this] { requestTimer_.start(); });
  connect(session_, &Session::selectionChanged, this, &HeadsWall::showSelected);
  connect(session_, &Session::flagsChanged, this, [this] {
    if (!filter_.empty()) {
      relayout();
    }
    announce();
    viewport()->update();
  });
  connect(session_, &Session::styleChanged, this, [this] {
    thumbnails_.recolor();
    requestTimer_.start();
    viewport()->update();
  });
}

void HeadsWall::setScores(const ScoreTable& scores) {
  scores_ = scores;
  if (colorBy_) {
    colorRange_ = scores_.range(*colorBy_);
  }
  if (sortBy_ || !filter_.empty()) {
    relayout();
  }
  viewport()->update();
}

void HeadsWall::setColorBy(std::optional<int> metric) {
  colorBy_ = metric;
  if (metric) {
    colorRange_ = scores_.range(*metric);
  }
  requestTimer_.start();
  viewport()->update();
}

void HeadsWall::setSortBy(std::optional<int> metric) {
  sortBy_ = metric;
  relayout();
  verticalScrollBar()->setValue(0);
}

void HeadsWall::setFilter(const HeadFilter& filter) {
  filter_ = filter;
  relayout();
}

void HeadsWall::setCellSide(int side) {
  side_ = side == 0 ? 0 : std::clamp(side, WallLayout::kSmallest, WallLayout::kLargest);
  relayout();
}

bool HeadsWall::matches(HeadId head) const {
  const auto index = static_cast<std::size_t>(head.layer) * static_cast<std::size_t>(session_->heads()) +
                     static_cast<std::size_t>(head.head);
  return index < matching_.size() && matching_[index] != 0;
}

void HeadsWall::filterHeads() {
  const FilterContext context{*session_, scores_};
  matching_.assign(static_cast<std::size_t>(session_->layers()) * static_cast<std::size_t>(session_->heads()), 0);
  shown_ = 0;
  std::size_t index = 0;
  for (int layer = 0; layer < session_->layers(); ++layer) {
    for (int head = 0; head < session_->heads(); ++head, ++index) {
      matching_[index] = filter_.matches({layer, head}, context) ? 1 : 0;
      shown_ += matching_[index];
    }
  }
}

std::vector<HeadId> HeadsWall::ranking() const {
  std::vector<HeadId> heads;
  for (int layer = 0; layer < session_->layers(); ++layer) {
    for (int head = 0; head < session_->heads(); ++head) {
      if (matches({layer, head})) {
        heads.push_back({layer, head});
      }
    }
  }
  std::stable_sort(heads.begin(), heads.end(), [this](HeadId a, HeadId b) {
    const double x = scores_.value(a, *sortBy_), y = scores_.value(b, *sortBy_);
    return std::isnan(x) || std::isnan(y) ? std::isnan(y) && !std::isnan(x) : x > y;
  });
  return heads;
}

void HeadsWall::relayout() {
  const int before = shown_;
  filterHeads();
  const int width = viewport()->width() - 2 * kMargin;
  if (sortBy_) {
    layout_.setRanked(ranking(), width, side_ > 0 ? side_ : kRankedSide, 2 * QFontMetrics(smallFont()).height());
  } else {
    std::vector<int> layers;
    for (int layer = 0; layer < session_->layers(); ++layer) {
      bool any = filter_.empty();
      for (int head = 0; head < session_->heads() && !any; ++head) {
        any = matches({layer, head});
      }
      if (any) {
        layers.push_back(layer);
      }
    }
    layout_.setGrid(layers, session_->heads(), session_->kvHeads(), width, gutterWidth(), side_);
  }
  const QSize room(width, viewport()->height() - headerHeight() - kMargin);
  verticalScrollBar()->setRange(0, std::max(0, layout_.size().height() - room.height()));
  verticalScrollBar()->setPageStep(room.height());
  horizontalScrollBar()->setRange(0, std::max(0, layout_.size().width() - room.width()));
  horizontalScrollBar()->setPageStep(room.width());
  requestTimer_.start();
  viewport()->update();
  if (shown_ != before) {
    Q_EMIT shownHeadsChanged(shown_);
  }
}

QPoint HeadsWall::offset() const {
  return {kMargin - horizontalScrollBar()->value(), headerHeight() - verticalScrollBar()->value()};
}

int HeadsWall::headerHeight() const {
  const int line = QFontMetrics(smallFont()).height();
  return layout_.ranked() ? kSpacing : (session_->kvHeads() > 0 ? 2 * line + 2 * kSpacing : line + kSpacing);
}

int HeadsWall::gutterWidth() const {
  return QFontMetrics(smallFont()).horizontalAdvance(QStringLiteral("L%1").arg(std::max(10, session_->layers()))) +
         2 * kSpacing;
}

QRect HeadsWall::visibleContent() const {
  return viewport()->rect().adjusted(0, headerHeight(), 0, 0).translated(-offset());
}

QRect HeadsWall::cellOnScreen(HeadId head) const {
  const auto cell = layout_.cell(head);
  return cell ? cell->translated(offset()) : QRect();
}

int HeadsWall::thumbnailSize() const {
  const double pixels = layout_.side() * devicePixelRatioF();
  int size = kThumbnailSizes[0];
  for (const int candidate : kThumbnailSizes) {
    if (candidate <= pixels) {
      size = candidate;
    }
  }
  return static_cast<int>(std::min<std::int64_t>(size, std::max<std::int64_t>(session_->tokens(), 1)));
}

// Visible heads first, then the rest, so that scrolling finds them there.
void HeadsWall::requestThumbnails() {
  const auto capture = session_->capture();
  if (!capture || colorBy_ || !isVisible()) {
    return;
  }
  const int size = thumbnailSize();
  QVector<HeadId> wanted;
  std::set<HeadId> taken;
  const auto want = [&](HeadId head) {
    if (head.layer < capture->header().layers && capture->ready(head.layer) && !thumbnails_.exact(head, size) &&
        taken.insert(head).second) {
      wanted.append(head);
    }
  };
  want(session_->selected());
  for (const std::size_t index : layout_.within(visibleContent())) {
    want(layout_.order()[index]);
  }
  for (const HeadId head : layout_.order()) {
    want(head);
  }
  if (!wanted.isEmpty()) {
    engine_->requestThumbnails(capture, wanted, size, session_->style().pool);
  }
}

void HeadsWall::showSelected() {
  const auto cell = layout_.cell(session_->selected());
  if (cell) {
    const QRect room = visibleContent();
    if (cell->top() < room.top() || cell->bottom() > room.bottom()) {
      const int margin = layout_.side() / 2;
      verticalScrollBar()->setValue(cell->top() < room.top()
                                        ? cell->top() - margin
                                        : cell->bottom() + margin - (viewport()->height() - headerHeight() - kMargin));
    }
    if (cell->left() - gutterWidth() < horizontalScrollBar()->value()) {
      horizontalScrollBar()->setValue(cell->left() - gutterWidth());
    } else if (cell->right() > room.right()) {
      horizontalScrollBar()->setValue(cell->right() - viewport()->width() + 2 * kMargin);
    }
  }
  announce();
  viewport()->update();
}

QString HeadsWall::describe(HeadId head) const {
  QString text = tr("Layer %1, head %2").arg(head.layer).arg(head.head);
  if (const HeadReport* report = scores_.find(head)) {
    text += QStringLiteral(", ") + caseName(report->cases.label);
    const int metric = colorBy_.value_or(sortBy_.value_or(metricOf(Score::SinkMass)));
    text += QStringLiteral(", %1 %2").arg(metrics()[static_cast<std::size_t>(metric)].label,
                                          formatValue(scores_.value(head, metric)));
  }
  return session_->flagged(head) ? text + tr(", flagged") : text;
}

void HeadsWall::announce() {
  setAccessibleDescription(describe(session_->selected()));
#if QT_CONFIG(accessibility)
  QAccessibleEvent event(this, QAccessible::DescriptionChanged);
  QAccessible::updateAccessibility(&event);
#endif
}

void HeadsWall::walk(int right, int down) {
  session_->select(layout_.step(session_->selected(), right, down));
}

void HeadsWall::keyPressEvent(QKeyEvent* event) {
  const HeadId selected = session_->selected();
  const bool control = event->modifiers() & Qt::ControlModifier;
  const int page = std::max(1, visibleContent().height() / std::max(1, layout_.side() + WallLayout::kGap) - 1);
  if (layout_.order().empty() || (event->modifiers() & (Qt::AltModifier | Qt::ShiftModifier))) {
    event->ignore();
    return;
  }
  switch (event->key()) {
    case Qt::Key_Home:
      return session_->select(control ? layout_.order().front() : layout_.rowEnd(selected, false));
    case Qt::Key_End:
      return session_->select(control ? layout_.order().back() : layout_.rowEnd(selected, true));
    case Qt::Key_PageUp:
      return walk(0, -page);
    case Qt::Key_PageDown:
      return walk(0, page);
    default:
      // Arrows and Space work everywhere in the window: MainWindow has them.
      event->ignore();
  }
}

void HeadsWall::mousePressEvent(QMouseEvent* event) {
  const auto head = layout_.at(event->position().toPoint() - offset());
  if (head && event->position().y() >= headerHeight()) {
    session_->select(*head);
  }
}

void HeadsWall::contextMenuEvent(QContextMenuEvent* event) {
  const auto head = event->reason() == QContextMenuEvent::Keyboard ? std::optional(session_->selected())
                                                                   : layout_.at(event->pos() - offset());
  if (!head || !session_->contains(*head)) {
    return;
  }
  hover(std::nullopt);
  QMenu menu(this);
  menu.addAction(session_->flagged(*head) ? tr("Remove flag") : tr("Flag"), this,
                 [this, head] { session_->toggleFlag(*head); });
  menu.addAction(tr("Select"), this, [this, head] { session_->select(*head); });
  menu.exec(event->globalPos());
}

void HeadsWall::wheelEvent(QWheelEvent* event) {
  if (event->modifiers() & Qt::ControlModifier) {
    const int step = event->angleDelta().y() > 0 ? 4 : -4;
    setCellSide(layout_.side() + step);
    event->accept();
    return;
  }
  hover(std::nullopt);
  QAbstractScrollArea::wheelEvent(event);
}

bool HeadsWall::viewportEvent(QEvent* event) {
  if (event->type() == QEvent::HoverMove || event->type() == QEvent::HoverEnter) {
    const QPoint position = static_cast<QHoverEvent*>(event)->position().toPoint();
    hover(position.y() >= headerHeight() ? layout_.at(position - offset()) : std::nullopt);
  } else if (event->type() == QEvent::HoverLeave || event->type() == QEvent::Leave) {
    hover(std::nullopt);
  }
  return QAbstractScrollArea::viewportEvent(event);
}

void HeadsWall::hover(std::optional<HeadId> head) {
  if (head == hovered_) {
    return;
  }
  hovered_ = head;
  viewport()->update();
  if (!head) {
    cardTimer_.stop();
    card_->hide();
  } else if (card_->isVisible()) {
    cardTimer_.start(0);
  } else {
    cardTimer_.start(kCardDelayMs);
  }
}

void HeadsWall::scrollContentsBy(int, int) {
  requestTimer_.start();
  viewport()->update();
}

void HeadsWall::resizeEvent(QResizeEvent* event) {
  QAbstractScrollArea::resizeEvent(event);
  relayout();
}

void HeadsWall::changeEvent(QEvent* event) {
  if (event->type() == QEvent::FontChange) {
    relayout();
  }
  QAbstractScrollArea::changeEvent(event);
}

}  // namespace headscope::ui
