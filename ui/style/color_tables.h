#pragma once

// Published colour tables: 256 colours, each six hexadecimal digits rrggbb, first the lowest.

#include <string_view>

namespace headscope::ui {

std::string_view viridisTable();
std::string_view magmaTable();
std::string_view cividisTable();

}  // namespace headscope::ui
