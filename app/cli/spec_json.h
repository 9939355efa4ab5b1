#pragma once

// How layers compute their logits, as JSON: the keys of the capture file's header (../shared/reference/cli.md).

#include <vector>

#include "core/capture/capture.h"
#include "core/files/json.h"

namespace headscope::cli {

OrderedJson attentionJson(const std::vector<AttentionSpec>& layers);
OrderedJson ropesJson(const std::vector<Rope>& ropes);

}  // namespace headscope::cli
