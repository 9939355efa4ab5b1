#pragma once

// The attention map of the selected head: queries down, keys across, curves along both axes. Drag pans, the wheel
// zooms at the cursor, double click fits, Alt+drag zooms into a rectangle, a click pins a cell. Reads the session and
// writes its viewport, cursor and pinned cell; asks the engine for tiles. Curves come from the engine's detailReady,
// which somebody else (the Head panel) asks for.

#include <QElapsedTimer>
#include <QPoint>
#include <QWidget>
#include <memory>
#include <optional>

#include "ui/engine/engine.h"
#include "ui/map/frame_meter.h"
#include "ui/map/map_geometry.h"
#include "ui/map/token_labels.h"
#include "ui/session/session.h"

class QCPAxisRect;
class QCustomPlot;
class QFrame;
class QLabel;

namespace headscope::ui {

class ColorBar;
class DetailCurves;
class MapCaptions;
class MapHeader;
class MapLayout;
class MapOverlay;
class MapPlot;
class PeriodLines;
class TilePlottable;

/// What is under the cursor (or pinned, while the mouse is elsewhere).
struct CellReadout {
  Cursor cell;
  QString queryToken, keyToken;              ///< with ␣ and ⏎
  bool visible = false;                      ///< the key is visible to the query
  std::optional<double> probability, logit;  ///< exact; none until the head is loaded
  std::int64_t distance = 0;                 ///< query − key
  int level = 0;  ///< above 0 the pixel holds 2^level × 2^level cells; the strongest one is read
};

class AttentionMapView : public QWidget {
  Q_OBJECT
 public:
  AttentionMapView(Engine* engine, Session* session, QWidget* parent = nullptr, int pane = 0);
  ~AttentionMapView() override;

  MapFrame frame() const { return frame_; }  ///< logical pixels of plot()
  int level() const;
  QCustomPlot* plot() const;
  const TilePlottable& tiles() const { return *tiles_; }
  QString colorWords() const;
  std::optional<CellReadout> readout() const;
  QString pictureWords() const;  ///< "exact", "preview: 1 of 8 rows", "refining, 3 of 12 tiles"
  bool exact() const;
  const FrameMeter& frames() const { return meter_; }

  bool performanceShown() const { return performanceShown_; }
  bool periodLinesShown() const { return periodLinesShown_; }

  /// The whole view with axes, curves and colour bar, `scale` image pixels to a logical one. As drawn now.
  QImage image(double scale);
  /// As PNG, written aside and renamed, as soon as the picture is exact: then imageSaved() or failed().
  void saveImage(const QString& path, double scale = 1);

 public Q_SLOTS:
  void fit();
  void oneToOne();  ///< one cell a device pixel
  void zoomIn();
  void zoomOut();
  void panBy(double sharesRight, double sharesDown);  ///< of what is in view
  void zoomTo(const headscope::ui::MapViewport& viewport);
  void goTo(headscope::ui::Cursor cell);  ///< moves it into view
  void setPerformanceShown(bool shown);
  void setPeriodLinesShown(bool shown);

 Q_SIGNALS:
  void pictureChanged(QString words, bool exact);
  void readoutChanged();
  void frameDrawn(double milliseconds);
  void imageSaved(QString path);
  void failed(QString message);

 protected:
  void keyPressEvent(QKeyEvent* event) override;
  void changeEvent(QEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void buildPlot();
  void connectSession();
  void connectEngine();
  void restyle();
  void captureChanged();
  void mapChanged();  ///< another head or other interventions
  void layoutDone();
  void placeCaptions();
  void requestTiles();
  void frameDone();
  void showStatus(const ViewStatus& status);
  void showProblem(const QString& text);
  void savePending();
  QString message() const;
  bool layerThere() const;

  void mousePressed(QMouseEvent* event);
  void mouseMoved(QMouseEvent* event);
  void mouseReleased(QMouseEvent* event);
  void wheelTurned(QWheelEvent* event);
  void hover(const QPointF& position);
  Cursor strongest(const Cursor& cell) const;
  Cursor zoomCenter() const;
  void setViewport(const MapViewport& viewport);

  Engine* engine_;
  Session* session_;
  int pane_;

  MapHeader* header_;
  QFrame* errorBar_;
  QLabel* errorText_;
  MapPlot* plot_;
  MapLayout* layout_;
  QCPAxisRect* mapRect_;
  TilePlottable* tiles_;
  TokenTexts texts_;
  TokenLabels* labels_;
  MapCaptions* captions_;
  PeriodLines* periodLines_;
  DetailCurves* curves_;
  ColorBar* colorBar_;
  MapOverlay* overlay_;

  MapViewport viewport_;  ///< the session's, made sound
  MapFrame frame_;
  quint64 view_ = 0;
  std::optional<ViewRequest> requested_;
  ViewStatus status_;
  std::shared_ptr<const HeadView> headView_;
  std::optional<double> period_;

  enum class Drag { None, Pressed, Pan, Band };
  Drag drag_ = Drag::None;
  QPoint dragStart_;
  MapViewport dragViewport_;
  std::optional<Cursor> pinnedBefore_;

  bool performanceShown_ = false;
  bool periodLinesShown_ = true;
  QElapsedTimer frameTimer_;
  FrameMeter meter_;

  struct PendingImage {
    QString path;
    double scale = 1;
  };
  std::optional<PendingImage> pendingImage_;
};

}  // namespace headscope::ui
