#include "ui/heads/head_filter.h"

#include <QCoreApplication>
#include <QRegularExpression>
#include <cmath>
#include <optional>
#include <utility>

namespace headscope::ui {
namespace {

using Condition = std::function<bool(HeadId, const FilterContext&)>;

QRegularExpressionMatch matchWhole(const char16_t* pattern, const QString& word) {
  return QRegularExpression(QRegularExpression::anchoredPattern(QStringView(pattern)),
                            QRegularExpression::CaseInsensitiveOption)
      .match(word);
}

std::optional<std::pair<int, int>> rangeIn(const QRegularExpressionMatch& match, int first) {
  if (match.captured(first).isEmpty()) {
    return std::nullopt;
  }
  const int low = match.captured(first).toInt();
  return std::pair{low, match.captured(first + 1).isEmpty() ? low : match.captured(first + 1).toInt()};
}

bool inside(const std::optional<std::pair<int, int>>& range, int value) {
  return !range || (value >= range->first && value <= range->second);
}

Condition place(const QString& word) {
  const auto match = matchWhole(u"(?:L(\\d{1,6})(?:-(\\d{1,6}))?)?[·.]?(?:H(\\d{1,6})(?:-(\\d{1,6}))?)?", word);
  if (!match.hasMatch() || word.isEmpty()) {
    return {};
  }
  const auto layers = rangeIn(match, 1);
  const auto heads = rangeIn(match, 3);
  if (!layers && !heads) {
    return {};
  }
  return [layers, heads](HeadId head, const FilterContext&) {
    return inside(layers, head.layer) && inside(heads, head.head);
  };
}

Condition kvGroup(const QString& word) {
  const auto match = matchWhole(u"kv(\\d{1,6})(?:-(\\d{1,6}))?", word);
  const auto groups = match.hasMatch() ? rangeIn(match, 1) : std::nullopt;
  if (!groups) {
    return {};
  }
  return [groups](HeadId head, const FilterContext& context) {
    const Session& session = context.session;
    return session.kvHeads() > 0 && inside(groups, head.head / std::max(1, session.heads() / session.kvHeads()));
  };
}

bool compare(double value, const QString& sign, double limit) {
  if (sign == QLatin1String(">")) {
    return value > limit;
  }
  if (sign == QLatin1String(">=")) {
    return value >= limit;
  }
  if (sign == QLatin1String("<")) {
    return value < limit;
  }
  if (sign == QLatin1String("<=")) {
    return value <= limit;
  }
  return std::abs(value - limit) < 0.0005;  // as displayed
}

Condition score(const QString& word) {
  const auto match = matchWhole(u"([a-z_.·-]+)(>=|<=|>|<|=)(-?\\d*\\.?\\d+)", word);
  const auto metric = match.hasMatch() ? findMetric(match.captured(1)) : std::nullopt;
  if (!metric) {
    return {};
  }
  return [metric = *metric, sign = match.captured(2), limit = match.captured(3).toDouble()](
             HeadId head, const FilterContext& context) {
    const double value = context.scores.value(head, metric);
    return !std::isnan(value) && compare(value, sign, limit);
  };
}

Condition flags(const QString& word) {
  if (word.compare(QLatin1String("flagged"), Qt::CaseInsensitive) == 0) {
    return [](HeadId head, const FilterContext& context) { return context.session.flagged(head); };
  }
  const QString prefix = QStringLiteral("note:");
  if (word.startsWith(prefix, Qt::CaseInsensitive) && word.size() > prefix.size()) {
    return [wanted = word.mid(prefix.size())](HeadId head, const FilterContext& context) {
      return context.session.note(head).contains(wanted, Qt::CaseInsensitive);
    };
  }
  return {};
}

Condition headCase(const QString& word) {
  const auto metric = findMetric(word);
  if (!metric || *metric < metricOf(Case{}) || *metric >= metricOf(Extra{})) {
    return {};
  }
  return
      [wanted = static_cast<Case>(*metric - static_cast<int>(kScoreCount))](HeadId head, const FilterContext& context) {
        const HeadReport* report = context.scores.find(head);
        return report != nullptr && report->cases.label == wanted;
      };
}

}  // namespace

HeadFilter::Term HeadFilter::parseTerm(const QString& word) {
  for (const auto kind : {place, kvGroup, score, flags, headCase}) {
    if (Term term = kind(word)) {
      return term;
    }
  }
  return {};
}

HeadFilter HeadFilter::parse(const QString& text) {
  HeadFilter filter;
  QString spaced = text;
  spaced.replace(QRegularExpression(QStringLiteral("\\s*(>=|<=|>|<|=)\\s*")), QStringLiteral("\\1"));
  for (QString word : spaced.split(QRegularExpression(QStringLiteral("\\s+")), Qt::SkipEmptyParts)) {
    const bool negated = word.size() > 1 && (word.startsWith(QLatin1Char('-')) || word.startsWith(QLatin1Char('!')));
    const QString positive = negated ? word.mid(1) : word;
    Term term = parseTerm(positive);
    if (!term) {
      filter.problem_ =
          QCoreApplication::translate("HeadFilter", "“%1” is no condition. Try sink>0.5, L3, flagged").arg(word);
      continue;
    }
    if (negated) {
      term = [inner = std::move(term)](HeadId head, const FilterContext& context) { return !inner(head, context); };
    }
    filter.terms_.push_back(std::move(term));
  }
  return filter;
}

bool HeadFilter::matches(HeadId head, const FilterContext& context) const {
  for (const Term& term : terms_) {
    if (!term(head, context)) {
      return false;
    }
  }
  return true;
}

}  // namespace headscope::ui
