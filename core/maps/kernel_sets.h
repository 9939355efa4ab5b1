#pragma once

// The sets of kernels that are compiled in; inside core/maps only.

#include "core/maps/kernels.h"

namespace headscope {

#if defined(__x86_64__)
namespace avx512 {
extern const Kernels kSet;
}
namespace avx2 {
extern const Kernels kSet;
}
#endif
namespace portable {
extern const Kernels kSet;
}

}  // namespace headscope
