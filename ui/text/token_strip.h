#pragma once

// The text itself, wrapped and readable, coloured by the attention of the row (or to the column) under the cursor. A
// click pins. Paints visible lines only.

#include <QAbstractScrollArea>
#include <QTimer>
#include <QVector>
#include <optional>

#include "ui/engine/engine.h"
#include "ui/session/session.h"
#include "ui/text/token_lines.h"

namespace headscope::ui {

class TokenStrip : public QAbstractScrollArea {
  Q_OBJECT
 public:
  enum class Side { Row, Column };

  TokenStrip(Engine* engine, Session* session, QWidget* parent = nullptr);

  void setSide(Side side);
  Side side() const { return side_; }
  void setContinuation(const QString& text);
  QString remark() const;                         ///< "coloured by query 63 ␣key, log"
  QRect tokenOnScreen(std::int64_t token) const;  ///< in viewport coordinates
  const TokenLines& lines() const { return lines_; }
  void showToken(std::int64_t token);

 Q_SIGNALS:
  void remarkChanged();
  void cellChosen(headscope::ui::Cursor cell);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  bool viewportEvent(QEvent* event) override;

 private:
  std::optional<Cursor> cell() const;  ///< under the cursor, else pinned
  void captureChanged();
  void cellChanged();
  void request();
  void setValues(Side side, HeadId head, qint64 index, const QVector<float>& values);
  void updateScrollBar();
  std::optional<std::int64_t> tokenAt(const QPoint& position) const;
  double strength(std::int64_t token) const;  ///< 0 … 1
  bool isBefore(std::int64_t token) const;    ///< of the tokens that take part in this row or column
  void paintToken(QPainter& painter, std::int64_t token, const QRect& rect) const;

  Engine* engine_;
  Session* session_;
  Side side_ = Side::Row;
  TokenLines lines_;
  QVector<float> values_;
  std::optional<qint64> shown_;  ///< row or column that values_ belong to
  std::optional<std::int64_t> hovered_;
  QTimer timer_;
  int lineHeight_ = 20;
};

}  // namespace headscope::ui
