#pragma once

// The table of families. A family is a function from a configuration to an Architecture; each file of this folder
// exports the model types that it covers.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/coverage.h"
#include "core/model/detail/architecture.h"
#include "core/model/detail/config.h"

namespace headscope {

struct Family {
  const char* modelType;
  Architecture (*read)(const Config& config);
};

std::span<const Family> llamaFamilies();
std::span<const Family> mistralFamilies();
std::span<const Family> qwenFamilies();
std::span<const Family> phiFamilies();
std::span<const Family> gemmaFamilies();
std::span<const Family> gptNeoxFamilies();
std::span<const Family> olmoFamilies();
std::span<const Family> graniteFamilies();
std::span<const Family> glmFamilies();
std::span<const Family> cohereFamilies();
std::span<const Family> otherFamilies();

/// The Architecture of a configuration. Throws Unsupported, with the reason, for a model_type without a family.
Architecture readArchitecture(const Config& config);

}  // namespace headscope
