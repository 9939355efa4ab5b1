#pragma once

#include <string>
#include <vector>

namespace headscope {

/// The model types that can be loaded, sorted.
std::vector<std::string> coveredModelTypes();

}  // namespace headscope
