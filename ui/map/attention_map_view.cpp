#include "ui/map/attention_map_view.h"

#include <qcustomplot.h>

#include <QEvent>
#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
#include <QTimer>
#include <QToolButton>
#include <QVBoxLayout>
#include <cmath>
#include <utility>

#include "ui/map/color_bar.h"
#include "ui/map/detail_curves.h"
#include "ui/map/map_captions.h"
#include "ui/map/map_colors.h"
#include "ui/map/map_header.h"
#include "ui/map/map_layout.h"
#include "ui/map/map_overlay.h"
#include "ui/map/tile_plottable.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {

AttentionMapView::AttentionMapView(Engine* engine, Session* session, QWidget* parent, int pane)
    : QWidget(parent), engine_(engine), session_(session), pane_(pane) {
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(tr("Attention map"));
  setAccessibleDescription(tr("Queries down, keys across. Shift and arrow keys pan, plus and minus zoom, 0 fits."));

  header_ = new MapHeader(session_, this);
  errorBar_ = new QFrame(this);
  setLook(errorBar_, "errorBar");
  errorText_ = new QLabel(errorBar_);
  errorText_->setWordWrap(true);
  auto* close = new QToolButton(errorBar_);
  close->setText(QStringLiteral("✕"));
  close->setToolTip(tr("Hide this message"));
  close->setFocusPolicy(Qt::NoFocus);
  connect(close, &QToolButton::clicked, errorBar_, &QWidget::hide);
  auto* bar = new QHBoxLayout(errorBar_);
  bar->setContentsMargins(2 * kSpacing, kSpacing, kSpacing, kSpacing);
  bar->addWidget(errorText_, 1);
  bar->addWidget(close);
  errorBar_->hide();

  plot_ = new QCustomPlot(this);
  buildPlot();

  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(3 * kSpacing, 2 * kSpacing, 3 * kSpacing, 2 * kSpacing);
  column->setSpacing(kSpacing);
  column->addWidget(header_);
  column->addWidget(errorBar_);
  column->addWidget(plot_, 1);

  connectSession();
  connectEngine();
  restyle();
  captureChanged();
}

AttentionMapView::~AttentionMapView() {
  engine_->clearView(pane_);
}

void AttentionMapView::buildPlot() {
  plot_->setFocusProxy(this);
  plot_->setFocusPolicy(Qt::NoFocus);
  plot_->setMinimumSize(240, 200);
  plot_->plotLayout()->clear();
  plot_->addLayer(QStringLiteral("marks"), plot_->layer(QStringLiteral("main")), QCustomPlot::limAbove);
  layout_ = new MapLayout;

  mapRect_ = new QCPAxisRect(plot_);
  mapRect_->setLayer(QStringLiteral("background"));
  mapRect_->setAutoMargins(QCP::msNone);
  mapRect_->setMargins(QMargins(0, 0, 0, 0));
  mapRect_->setMinimumMargins(QMargins(0, 0, 0, 0));
  for (QCPAxis* axis : mapRect_->axes()) {
    axis->setTicks(false);
    axis->setTickLabels(false);
    axis->grid()->setVisible(false);
  }
  mapRect_->axis(QCPAxis::atLeft)->setRangeReversed(true);
  tiles_ = new TilePlottable(mapRect_->axis(QCPAxis::atBottom), mapRect_->axis(QCPAxis::atLeft),
                             [this](const TileKey& key) { return engine_->bestTile(key); });
  periodLines_ = new PeriodLines(plot_, QStringLiteral("marks"));
  labels_ = new TokenLabels(plot_, &texts_);
  captions_ = new MapCaptions(plot_);
  curves_ = new DetailCurves(plot_);
  colorBar_ = new ColorBar(plot_);
  layout_->setElement(MapLayout::Map, mapRect_);
  layout_->setElement(MapLayout::QueryFirst, curves_->qSimilarity().rect);
  layout_->setElement(MapLayout::QuerySecond, curves_->entropy().rect);
  layout_->setElement(MapLayout::KeyFirst, curves_->kSimilarity().rect);
  layout_->setElement(MapLayout::KeySecond, curves_->received().rect);
  layout_->setElement(MapLayout::Colors, colorBar_);
  plot_->plotLayout()->addElement(0, 0, layout_);
  overlay_ = new MapOverlay(plot_, labels_, {curves_->alongQueries(), curves_->alongKeys()});

  connect(plot_, &QCustomPlot::beforeReplot, this, [this] { frameTimer_.start(); });
  connect(plot_, &QCustomPlot::afterLayout, this, &AttentionMapView::layoutDone);
  connect(plot_, &QCustomPlot::afterReplot, this, &AttentionMapView::frameDone);
  connect(plot_, &QCustomPlot::mousePress, this, &AttentionMapView::mousePressed);
  connect(plot_, &QCustomPlot::mouseMove, this, &AttentionMapView::mouseMoved);
  connect(plot_, &QCustomPlot::mouseRelease, this, &AttentionMapView::mouseReleased);
  connect(plot_, &QCustomPlot::mouseWheel, this, &AttentionMapView::wheelTurned);
  plot_->installEventFilter(this);
}

void AttentionMapView::connectSession() {
  const auto replot = [this] { plot_->replot(QCustomPlot::rpQueuedReplot); };
  connect(session_, &Session::captureChanged, this, &AttentionMapView::captureChanged);
  connect(session_, &Session::selectionChanged, this, &AttentionMapView::mapChanged);
  connect(session_, &Session::interventionsChanged, this, &AttentionMapView::mapChanged);
  connect(session_, &Session::styleChanged, this, [this, replot] {
    tiles_->setStyle(session_->style());
    replot();
  });
  connect(session_, &Session::viewportChanged, this, [this, replot] {
    viewport_ = soundViewport(session_->viewport(), session_->tokens());
    replot();
  });
  connect(session_, &Session::cursorChanged, this, [this] {
    overlay_->setCursor(session_->cursor());
    overlayChanged();
    Q_EMIT readoutChanged();
  });
  connect(session_, &Session::pinChanged, this, [this] {
    overlay_->setPinned(session_->pinned());
    overlayChanged();
    Q_EMIT readoutChanged();
  });
  connect(header_, &MapHeader::fitAsked, this, &AttentionMapView::fit);
  connect(header_, &MapHeader::oneToOneAsked, this, &AttentionMapView::oneToOne);
  connect(&Appearance::instance(), &Appearance::changed, this, &AttentionMapView::restyle);
}

void AttentionMapView::connectEngine() {
  connect(engine_, &Engine::tileReady, this, [this](const std::shared_ptr<const Tile>& tile) {
    if (tile->key.view == view_) {
      plot_->replot(QCustomPlot::rpQueuedReplot);
    }
  });
  connect(engine_, &Engine::viewStatus, this, [this](int pane, const ViewStatus& status) {
    if (pane == pane_ && status.view == view_) {
      showStatus(status);
    }
  });
  connect(engine_, &Engine::viewReady, this, [this](quint64 view, const std::shared_ptr<const HeadView>& head) {
    if (view == view_) {
      headView_ = head;
      Q_EMIT readoutChanged();
    }
  });
  connect(engine_, &Engine::layerReady, this, [this](int layer) {
    if (layer == session_->selected().layer) {
      mapChanged();
    }
  });
  connect(engine_, &Engine::detailReady, this, [this](const std::shared_ptr<const HeadDetail>& detail) {
    const HeadId head{detail->layer, detail->head};
    if (head != session_->selected() || detail->interventions != session_->interventions()) {
      return;
    }
    curves_->set(*detail);
    header_->setDetail(detail);
    period_ = detail->lens.spectrum.predictedPeriod;
    plot_->replot(QCustomPlot::rpQueuedReplot);
  });
  connect(engine_, &Engine::failed, this, [this](const QString& what, const QString& text) {
    if (what == QLatin1String("map")) {
      showProblem(text);
    }
  });
}

void AttentionMapView::restyle() {
  stylePlot(plot_);
  curves_->restyle();
  mapRect_->setBackground(QBrush(theme().noValue));
  labels_->clearCache();
  const QSize room = labels_->room(session_->tokens());
  layout_->setLabelRoom(room.width(), room.height());
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

void AttentionMapView::captureChanged() {
  texts_.setCapture(session_->capture());
  const QSize room = labels_->room(session_->tokens());
  layout_->setLabelRoom(room.width(), room.height());
  viewport_ = soundViewport(session_->viewport(), session_->tokens());
  tiles_->setStyle(session_->style());
  pendingImage_.reset();
  mapChanged();
}

bool AttentionMapView::layerThere() const {
  const auto capture = session_->capture();
  return capture && session_->selected().layer < capture->header().layers && capture->ready(session_->selected().layer);
}

void AttentionMapView::mapChanged() {
  errorBar_->hide();
  curves_->clear();
  header_->setDetail(nullptr);
  period_.reset();
  requested_.reset();
  status_ = {};
  headView_.reset();
  view_ = 0;
  std::int64_t window = 0;
  if (layerThere()) {
    view_ = engine_->viewId(session_->capture(), session_->selected(), session_->interventions());
    headView_ = engine_->headView(view_);
    window = session_->capture()->attention(session_->selected().layer).window.value_or(0);
  } else {
    engine_->clearView(pane_);
  }
  tiles_->setMap(view_, session_->tokens(), window);
  overlay_->setMessage(message());
  Q_EMIT pictureChanged(pictureWords(), exact());
  Q_EMIT readoutChanged();
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

QString AttentionMapView::message() const {
  return session_->capture() && !layerThere() ? tr("Layer %1 is being computed").arg(session_->selected().layer)
                                              : QString();
}

// After the layout of every full replot, before anything is drawn.
void AttentionMapView::layoutDone() {
  frame_ = {mapRect_->rect(), viewport_, session_->tokens()};
  mapRect_->axis(QCPAxis::atBottom)->setRange(viewport_.keyLow, viewport_.keyHigh);
  mapRect_->axis(QCPAxis::atLeft)->setRange(viewport_.queryLow, viewport_.queryHigh);
  curves_->setViewport(viewport_);
  tiles_->setViewport(viewport_);
  labels_->setFrame(frame_);
  const double deviceWidth = std::round(frame_.rect.width() * plot_->bufferDevicePixelRatio());
  const int level = frame_.valid() ? levelFor(span(viewport_) / deviceWidth, frame_.tokens) : 0;
  overlay_->setFrame(frame_, level);
  periodLines_->set(frame_, periodLinesShown_ ? period_ : std::nullopt);
  colorBar_->set(ColorMap::named(session_->style().colorMap), tiles_->colorRange(),
                 headscope::ui::colorWords(session_->style(), level));
  placeCaptions();
  requestTiles();
}

void AttentionMapView::placeCaptions() {
  const Theme& t = theme();
  const QRect map = frame_.rect;
  const int line = MapLayout::kTop - 4;
  QVector<MapCaptions::Caption> captions;
  captions.append({QRect(map.left(), map.top() - line - 2, map.width() / 2, line), Qt::AlignLeft | Qt::AlignVCenter,
                   tr("query ↓   key →"), t.muted});
  if (periodLines_->shown()) {
    captions.append({QRect(map.left() + map.width() / 2, map.top() - line - 2, map.width() / 2, line),
                     Qt::AlignRight | Qt::AlignVCenter, tr("┄ period %1 tokens").arg(formatValue(*period_)), t.muted});
  }
  const QRect first = curves_->qSimilarity().rect->rect(), second = curves_->entropy().rect->rect();
  captions.append({QRect(first.left(), first.top() - line - 2, first.width() + 6, line),
                   Qt::AlignLeft | Qt::AlignVCenter, tr("q-similarity"), t.query});
  captions.append({QRect(second.left(), second.top() - line - 2, second.width() + 6, line),
                   Qt::AlignLeft | Qt::AlignVCenter, tr("entropy, nats"), t.text});
  for (const DetailCurves::Rect* curve : {&curves_->qSimilarity(), &curves_->entropy()}) {
    const QRect rect = curve->rect->rect();
    const QRect ends(rect.left(), rect.bottom() + 3, rect.width(), MapLayout::kAxisRoom - 3);
    captions.append({ends, Qt::AlignLeft | Qt::AlignVCenter, DetailCurves::lowText(*curve), t.muted});
    captions.append({ends, Qt::AlignRight | Qt::AlignVCenter, DetailCurves::highText(*curve), t.muted});
  }
  const auto beside = [&](const DetailCurves::Rect& curve, const QString& name, const QColor& color) {
    const QRect rect = curve.rect->rect();
    const QRect words(rect.right() + 13, rect.center().y() - line / 2, second.right() - rect.right() - 12, line);
    const QString range = QStringLiteral("%1 – %2").arg(DetailCurves::lowText(curve), DetailCurves::highText(curve));
    const int rangeWidth = QFontMetrics(smallFont()).horizontalAdvance(range) + 2 * kSpacing;
    captions.append({words.adjusted(0, 0, -rangeWidth, 0), Qt::AlignLeft | Qt::AlignVCenter, name, color});
    captions.append({words, Qt::AlignRight | Qt::AlignVCenter, range, t.muted});
  };
  beside(curves_->kSimilarity(), tr("k-similarity"), t.key);
  beside(curves_->received(), tr("received mass, log"), t.text);
  captions_->set(captions);
}

void AttentionMapView::requestTiles() {
  if (!frame_.valid() || !layerThere()) {
    return;
  }
  ViewRequest request;
  const HeadId head = session_->selected();
  request.source = {session_->capture(), head.layer, head.head, session_->interventions()};
  request.level =
      levelFor(span(viewport_) / std::round(frame_.rect.width() * plot_->bufferDevicePixelRatio()), frame_.tokens);
  request.rowBegin = viewport_.queryLow + 0.5;
  request.rowEnd = viewport_.queryHigh + 0.5;
  request.colBegin = viewport_.keyLow + 0.5;
  request.colEnd = viewport_.keyHigh + 0.5;
  if (requested_ && requested_->level == request.level && requested_->rowBegin == request.rowBegin &&
      requested_->rowEnd == request.rowEnd && requested_->colBegin == request.colBegin &&
      requested_->colEnd == request.colEnd) {
    return;
  }
  requested_ = request;
  engine_->showView(pane_, request);
}

void AttentionMapView::frameDone() {
  const double milliseconds = static_cast<double>(frameTimer_.nsecsElapsed()) * 1e-6;
  meter_.add(milliseconds);
  Q_EMIT frameDrawn(milliseconds);
  // Ranges that follow the values are known only after the tiles were looked at.
  if (colorBar_->range() != tiles_->colorRange()) {
    plot_->replot(QCustomPlot::rpQueuedReplot);
  }
  if (performanceShown_) {
    overlay_->setReadout(
        meter_.words() +
        tr(" · tiles %1 MB · images %2 MB").arg(engine_->mapBytes() >> 20).arg(tiles_->images().bytes() >> 20));
    overlayChanged();
  }
}

void AttentionMapView::overlayChanged() {
  if (overlayDue_) {
    return;
  }
  overlayDue_ = true;
  QTimer::singleShot(0, this, [this] {
    overlayDue_ = false;
    plot_->layer(QStringLiteral("overlay"))->replot();
  });
}

void AttentionMapView::showStatus(const ViewStatus& status) {
  status_ = status;
  Q_EMIT pictureChanged(pictureWords(), exact());
  if (exact()) {
    savePending();
  }
}

void AttentionMapView::showProblem(const QString& text) {
  errorText_->setText(tr("This map can't be drawn: %1").arg(text));
  errorBar_->show();
}

bool AttentionMapView::exact() const {
  return view_ != 0 && status_.view == view_ && status_.exact == status_.wanted;
}

QString AttentionMapView::pictureWords() const {
  if (view_ == 0) {
    return message();
  }
  if (exact()) {
    return tr("exact");
  }
  if (status_.view == view_ && status_.preview > 0) {
    return tr("preview: %1 of %2 rows").arg(status_.rowsPerCell).arg(std::int64_t{1} << status_.level);
  }
  return status_.wanted > 0 ? tr("refining, %1 of %2 tiles").arg(status_.exact).arg(status_.wanted)
                            : tr("preparing the head");
}

int AttentionMapView::level() const {
  return tiles_->level();
}

QString AttentionMapView::colorWords() const {
  return colorBar_->words();
}

std::optional<CellReadout> AttentionMapView::readout() const {
  const auto cell = session_->cursor() ? session_->cursor() : session_->pinned();
  if (!cell || !session_->capture()) {
    return std::nullopt;
  }
  CellReadout result;
  result.cell = *cell;
  result.queryToken = texts_.label(cell->query);
  result.keyToken = texts_.label(cell->key);
  result.distance = cell->query - cell->key;
  result.level = level();
  result.visible = cell->key <= cell->query;
  if (headView_ && cell->query < headView_->tokens && cell->key < headView_->tokens) {
    result.visible = result.visible && cell->key >= headView_->firstKey(cell->query);
    if (result.visible) {
      result.probability = headView_->probability(cell->query, cell->key);
      result.logit = headView_->logit(cell->query, cell->key);
    }
  }
  return result;
}

void AttentionMapView::setPerformanceShown(bool shown) {
  performanceShown_ = shown;
  overlay_->setReadout(shown ? meter_.words() : QString());
  overlayChanged();
}

void AttentionMapView::setPeriodLinesShown(bool shown) {
  periodLinesShown_ = shown;
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

void AttentionMapView::changeEvent(QEvent* event) {
  if (event->type() == QEvent::FontChange) {
    restyle();
  }
  QWidget::changeEvent(event);
}

}  // namespace headscope::ui
