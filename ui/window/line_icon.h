#pragma once

// Monochrome line icons of resources/icons, drawn in the colour of the text around them, sharp at any scale.

#include <QColor>
#include <QIcon>
#include <QString>

namespace headscope::ui {

/// Follows the theme. `name` as in resources/icons, without ending.
QIcon lineIcon(const QString& name);
/// In one colour.
QPixmap linePixmap(const QString& name, int size, const QColor& color, qreal devicePixelRatio);

}  // namespace headscope::ui
