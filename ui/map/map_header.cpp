#include "ui/map/map_header.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

// Scores of the field's patterns from which they are worth naming.
struct Pattern {
  Score score;
  double from;
  const char* name;
};
constexpr Pattern kPatterns[] = {
    {Score::PreviousToken, 0.4, QT_TRANSLATE_NOOP("MapHeader", "previous token")},
    {Score::Induction, 0.3, QT_TRANSLATE_NOOP("MapHeader", "induction")},
    {Score::DuplicateToken, 0.3, QT_TRANSLATE_NOOP("MapHeader", "duplicate token")},
    {Score::SelfMass, 0.4, QT_TRANSLATE_NOOP("MapHeader", "itself")},
    {Score::SinkMass, 0.5, QT_TRANSLATE_NOOP("MapHeader", "sink")},
};

const HeadReport* reportOf(const Session& session) {
  const auto report = session.report();
  if (!report) {
    return nullptr;
  }
  for (const LayerReport& layer : report->layers) {
    if (layer.layer == session.selected().layer) {
      for (const HeadReport& head : layer.heads) {
        if (head.head == session.selected().head) {
          return &head;
        }
      }
    }
  }
  return nullptr;
}

QToolButton* linkButton(const QString& text, const QString& tip, QWidget* parent) {
  auto* button = new QToolButton(parent);
  button->setText(text);
  button->setToolTip(tip);
  button->setFocusPolicy(Qt::NoFocus);
  setLook(button, "link");
  return button;
}

}  // namespace

QString headWords(const CaseResult& cases, const HeadScores& scores) {
  const std::string_view label = caseLabel(cases.label);
  QString name = QString::fromUtf8(label.data(), static_cast<qsizetype>(label.size()));
  const qsizetype explanation = name.indexOf(QLatin1String(" ("));
  name.truncate(explanation < 0 ? name.size() : explanation);
  QStringList parts{name + QLatin1Char(' ') + formatValue(cases.scores[static_cast<std::size_t>(cases.label)])};
  QStringList patterns;
  for (const Pattern& pattern : kPatterns) {
    if (scores[pattern.score] >= pattern.from) {
      patterns.append(MapHeader::tr(pattern.name));
    }
  }
  if (!patterns.isEmpty()) {
    parts.append(patterns.join(QStringLiteral(", ")));
  }
  if (!std::isnan(scores[Score::QSimilarityKv])) {
    parts.append(MapHeader::tr("q-similarity %1").arg(formatValue(scores[Score::QSimilarityKv])));
  }
  return parts.join(QStringLiteral(" · "));
}

QString interventionWords(const Interventions& interventions) {
  QStringList parts;
  if (interventions.ropeBase) {
    parts.append(MapHeader::tr("RoPE base %1").arg(formatValue(*interventions.ropeBase)));
  }
  for (const auto& [from, to] : interventions.moveChannels) {
    parts.append(MapHeader::tr("channel %1 → %2").arg(from).arg(to));
  }
  for (const int channel : interventions.dropChannels) {
    parts.append(MapHeader::tr("without channel %1").arg(channel));
  }
  if (interventions.noRope) {
    parts.append(MapHeader::tr("no RoPE"));
  }
  return parts.join(QStringLiteral(", "));
}

MapHeader::MapHeader(Session* session, QWidget* parent) : QWidget(parent), session_(session) {
  title_ = new QLabel(this);
  setLook(title_, "title");
  subtitle_ = new QLabel(this);
  setLook(subtitle_, "muted");
  subtitle_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  back_ = linkButton(tr("← back"), tr("Back to the view before (Alt+←)"), this);
  forward_ = linkButton(tr("→"), tr("Forward (Alt+→)"), this);
  auto* fit = linkButton(tr("fit 0"), tr("Show the whole map (0, double click)"), this);
  auto* one = linkButton(tr("1:1 1"), tr("One cell a pixel (1)"), this);

  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(kSpacing);
  row->addWidget(title_);
  row->addSpacing(2 * kSpacing);
  row->addWidget(subtitle_, 1);
  for (QToolButton* button : {back_, forward_, fit, one}) {
    row->addWidget(button);
  }

  connect(back_, &QToolButton::clicked, session_, &Session::goBack);
  connect(forward_, &QToolButton::clicked, session_, &Session::goForward);
  connect(fit, &QToolButton::clicked, this, &MapHeader::fitAsked);
  connect(one, &QToolButton::clicked, this, &MapHeader::oneToOneAsked);
  for (const auto signal : {&Session::captureChanged, &Session::selectionChanged, &Session::reportChanged,
                            &Session::historyChanged, &Session::interventionsChanged}) {
    connect(session_, signal, this, &MapHeader::refresh);
  }
  refresh();
}

void MapHeader::setDetail(std::shared_ptr<const HeadDetail> detail) {
  detail_ = std::move(detail);
  refresh();
}

QString MapHeader::title() const {
  return session_->capture()
             ? QStringLiteral("L%1 · H%2").arg(session_->selected().layer).arg(session_->selected().head)
             : QString();
}

QString MapHeader::subtitle() const {
  if (!session_->capture()) {
    return {};
  }
  const QString what = interventionWords(session_->interventions());
  if (!what.isEmpty()) {
    return tr("what if: %1").arg(what);
  }
  if (const HeadReport* head = reportOf(*session_)) {
    return headWords(head->cases, head->scores);
  }
  return detail_ ? headWords(detail_->cases, detail_->scores) : QString();
}

void MapHeader::refresh() {
  title_->setText(title());
  subtitle_->setText(subtitle());
  subtitle_->setToolTip(subtitle());
  back_->setEnabled(session_->canGoBack());
  forward_->setEnabled(session_->canGoForward());
}

}  // namespace headscope::ui
