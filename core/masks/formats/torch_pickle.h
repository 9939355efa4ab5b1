#pragma once

// Tensors saved by torch.save, without Python: the ZIP form, a dict of tensors. A pickle is a program; the few
// instructions that a dict of tensors needs are carried out, and one that asks for anything else is refused by name.

#include <map>
#include <string>
#include <string_view>

#include "core/masks/formats/torch_storage.h"

namespace headscope::masks {

/// Name → tensor. `bytes` is the archive, or a bare pickle (then only refusals are possible: it has no tensors inside).
/// Throws Error naming `where`.
std::map<std::string, SavedTensor> readTorchTensors(std::string_view bytes, const std::string& where);

}  // namespace headscope::masks
