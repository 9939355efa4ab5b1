#include "ui/session/session.h"

#include <algorithm>
#include <utility>

#include "ui/session/flag_command.h"

namespace headscope::ui {
namespace {

constexpr int kUndoLimit = 1000;
constexpr std::size_t kHistoryLimit = 200;
// Moves of one kind that follow each other faster than this (walking by arrow keys, a drag) are one step back.
constexpr qint64 kOneMoveMs = 600;

QString headName(HeadId head) {
  return QStringLiteral("L%1·H%2").arg(head.layer).arg(head.head);
}

}  // namespace

Session::Session(QObject* parent) : QObject(parent), undo_(this) {
  undo_.setUndoLimit(kUndoLimit);
}

int Session::layers() const {
  return layers_;
}

int Session::heads() const {
  return heads_;
}

int Session::kvHeads() const {
  return kvHeads_;
}

bool Session::contains(HeadId head) const {
  return head.layer >= 0 && head.layer < layers_ && head.head >= 0 && head.head < heads_;
}

MapViewport Session::wholeMap() const {
  const double end = std::max<double>(static_cast<double>(tokens()), 1.0) - 0.5;
  return {-0.5, end, -0.5, end};
}

void Session::setModel(std::shared_ptr<const ModelInfo> model) {
  model_ = std::move(model);
  const bool hadCapture = capture_ != nullptr;
  capture_.reset();
  report_.reset();
  needleScores_.reset();
  cursor_.reset();
  pinned_.reset();
  if (model_) {
    applyShape(model_->layers, model_->heads, model_->kvHeads);
  }
  Q_EMIT modelChanged();
  if (hadCapture) {
    Q_EMIT captureChanged();
    Q_EMIT reportChanged();
  }
}

void Session::setCapture(std::shared_ptr<const Capture> capture) {
  if (capture == capture_) {
    return;
  }
  const std::int64_t tokensBefore = tokens();
  capture_ = std::move(capture);
  report_.reset();
  cursor_.reset();
  pinned_.reset();
  if (capture_) {
    const CaptureHeader& header = capture_->header();
    applyShape(header.layers, header.heads, header.kvHeads);
  }
  const bool newLength = tokens() != tokensBefore;
  if (newLength) {
    viewport_ = wholeMap();
    past_.clear();
    future_.clear();
  }
  Q_EMIT captureChanged();
  Q_EMIT reportChanged();
  Q_EMIT cursorChanged();
  Q_EMIT pinChanged();
  if (newLength) {
    Q_EMIT viewportChanged();
    Q_EMIT historyChanged();
  }
}

// Flags belong to heads of one shape. Of an unknown shape (a session whose model is gone) those that fit are kept.
void Session::applyShape(int layers, int heads, int kvHeads) {
  if (layers == layers_ && heads == heads_ && kvHeads == kvHeads_) {
    return;
  }
  const bool unknown = layers_ == 0;
  layers_ = layers;
  heads_ = heads;
  kvHeads_ = kvHeads;
  past_.clear();
  future_.clear();
  interventions_ = {};
  selected_ = {std::clamp(selected_.layer, 0, std::max(layers - 1, 0)),
               std::clamp(selected_.head, 0, std::max(heads - 1, 0))};
  std::map<HeadId, QString> kept;
  for (const auto& [head, note] : flags_) {
    if (unknown && contains(head)) {
      kept.emplace(head, note);
    }
  }
  if (kept != flags_) {
    flags_ = std::move(kept);
    undo_.clear();
    Q_EMIT flagsChanged();
  }
  Q_EMIT selectionChanged();
  Q_EMIT interventionsChanged();
  Q_EMIT historyChanged();
}

void Session::setReport(std::shared_ptr<const Report> report) {
  const bool moved = caseThresholds_ != CaseThresholds{};
  if (report && (moved || needleScores_)) {
    auto own = std::make_shared<Report>(*report);
    if (moved) {
      applyThresholds(*own, caseThresholds_);
    }
    if (needleScores_) {
      headscope::setNeedleScores(*own, *needleScores_);
    }
    report = std::move(own);
  }
  report_ = std::move(report);
  Q_EMIT reportChanged();
}

void Session::setNeedleScores(std::shared_ptr<const NeedleScores> scores) {
  needleScores_ = std::move(scores);
  if (report_) {
    setReport(report_);
  }
}

void Session::setCaseThresholds(const CaseThresholds& thresholds) {
  if (thresholds == caseThresholds_) {
    return;
  }
  caseThresholds_ = thresholds;
  Q_EMIT caseThresholdsChanged();
  if (report_) {
    auto own = std::make_shared<Report>(*report_);
    applyThresholds(*own, thresholds);
    report_ = std::move(own);
    Q_EMIT reportChanged();
  }
}

void Session::setBos(Bos bos) {
  if (bos != bos_) {
    bos_ = bos;
    Q_EMIT bosChanged();
  }
}

void Session::setPrompt(const QString& prompt) {
  if (prompt != prompt_) {
    prompt_ = prompt;
    Q_EMIT promptChanged();
  }
}

void Session::select(HeadId head) {
  if (head == selected_ || !contains(head)) {
    return;
  }
  remember(Move::Selection);
  selected_ = head;
  Q_EMIT selectionChanged();
}

void Session::setStyle(const MapStyle& style) {
  if (style != style_) {
    style_ = style;
    Q_EMIT styleChanged();
  }
}

void Session::setViewport(const MapViewport& viewport) {
  if (viewport == viewport_ || viewport.keyHigh <= viewport.keyLow || viewport.queryHigh <= viewport.queryLow) {
    return;
  }
  remember(Move::Viewport);
  viewport_ = viewport;
  Q_EMIT viewportChanged();
}

void Session::setInterventions(const Interventions& interventions) {
  if (interventions != interventions_) {
    interventions_ = interventions;
    Q_EMIT interventionsChanged();
  }
}

void Session::setCursor(std::optional<Cursor> cursor) {
  if (cursor != cursor_) {
    cursor_ = cursor;
    Q_EMIT cursorChanged();
  }
}

void Session::pin(std::optional<Cursor> cursor) {
  if (cursor != pinned_) {
    pinned_ = cursor;
    Q_EMIT pinChanged();
  }
}

bool Session::canGoBack() const {
  return !past_.empty();
}

bool Session::canGoForward() const {
  return !future_.empty();
}

void Session::remember(Move move) {
  const bool sameMove = lastMove_.isValid() && lastKind_ == move && lastMove_.elapsed() < kOneMoveMs;
  lastMove_.restart();
  lastKind_ = move;
  if (sameMove && !past_.empty()) {
    return;
  }
  past_.push_back(here());
  if (past_.size() > kHistoryLimit) {
    past_.erase(past_.begin());
  }
  future_.clear();
  Q_EMIT historyChanged();
}

void Session::goTo(const Place& place) {
  const bool otherHead = place.head != selected_;
  const bool otherView = place.viewport != viewport_;
  selected_ = place.head;
  viewport_ = place.viewport;
  lastMove_.invalidate();
  if (otherHead) {
    Q_EMIT selectionChanged();
  }
  if (otherView) {
    Q_EMIT viewportChanged();
  }
  Q_EMIT historyChanged();
}

void Session::goBack() {
  if (canGoBack()) {
    future_.push_back(here());
    const Place place = past_.back();
    past_.pop_back();
    goTo(place);
  }
}

void Session::goForward() {
  if (canGoForward()) {
    past_.push_back(here());
    const Place place = future_.back();
    future_.pop_back();
    goTo(place);
  }
}

QString Session::note(HeadId head) const {
  const auto found = flags_.find(head);
  return found == flags_.end() ? QString() : found->second;
}

void Session::toggleFlag(HeadId head) {
  setFlag(head, !flagged(head));
}

void Session::setFlag(HeadId head, bool on) {
  if (on == flagged(head) || !contains(head)) {
    return;
  }
  std::map<HeadId, QString> after = flags_;
  if (on) {
    after.emplace(head, QString());
  } else {
    after.erase(head);
  }
  undo_.push(new FlagCommand(*this, std::move(after), (on ? tr("Flag %1") : tr("Unflag %1")).arg(headName(head))));
}

void Session::setNote(HeadId head, const QString& note) {
  if (!contains(head) || (flagged(head) && note == this->note(head))) {
    return;
  }
  std::map<HeadId, QString> after = flags_;
  after[head] = note;
  undo_.push(new FlagCommand(*this, std::move(after), tr("Note on %1").arg(headName(head)), head));
}

void Session::replaceFlags(const std::map<HeadId, QString>& flags, const QString& why) {
  if (flags != flags_) {
    undo_.push(new FlagCommand(*this, flags, why));
  }
}

void Session::applyFlags(const std::map<HeadId, QString>& flags) {
  flags_ = flags;
  Q_EMIT flagsChanged();
}

HeadMask Session::mask() const {
  HeadMask mask = HeadMask::keepAll(HeadAxis::Query, layers_, heads_, kvHeads_);
  for (const auto& [head, note] : flags_) {
    if (contains(head)) {
      mask.prune(head.layer, head.head);
    }
  }
  return mask;
}

}  // namespace headscope::ui
