#include "ui/map/attention_map_view.h"

#include <qcustomplot.h>

#include <QEvent>
#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
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
#include "ui/map/map_plot.h"
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

  plot_ = new MapPlot(this);
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
  plot_->setOverlay(overlay_);

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
    plot_->updateOverlay();
    Q_EMIT readoutChanged();
  });
  connect(session_, &Session::pinChanged, this, [this] {
    overlay_->setPinned(session_->pinned());
    plot_->updateOverlay();
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
  plot_->setGround(theme().panel);
  mapRect_->setBackground(QBrush(Qt::NoBrush));  // the tiles cover it
  curves_->restyle();
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
  if (view_ != 0 && !session_->interventions().any()) {
    tiles_->setThumbnail(engine_->thumbnail(*session_->capture(), session_->selected()));
  }
  overlay_->setMessage(message());
  Q_EMIT pictureChanged(pictureWords(), exact());
  Q_EMIT readoutChanged();
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

QString AttentionMapView::message() const {
  return session_->capture() && !layerThere() ? tr("Layer %1 is being computed").arg(session_->selected().layer)
                                              : QString();
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
  if (tiles_->hasThumbnail() && status_.exact == 0) {
    return tr("preview: the wall's picture");
  }
  return status_.wanted > 0 ? tr("refining, %1 of %2 tiles").arg(status_.exact).arg(status_.wanted)
                            : tr("preparing the head");
}

QCustomPlot* AttentionMapView::plot() const {
  return plot_;
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
  plot_->updateOverlay();
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
