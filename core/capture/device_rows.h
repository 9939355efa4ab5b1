#pragma once

// A layer's queries and keys once more, in a GPU's memory, where a run left them: what is computed there next need not
// bring them back. Only ever beside the capture's own rows, and gone as soon as that memory is needed.

#include <memory>

namespace headscope {

struct DeviceRows {
  int gpu = 0;
  const void* q = nullptr;             ///< [heads, tokens, dim] before RoPE, in the type of the capture's rows
  const void* k = nullptr;             ///< [KV heads, tokens, dim]
  std::shared_ptr<const void> memory;  ///< of both
};

}  // namespace headscope
