#pragma once

#include <cstdint>

namespace headscope {

/// Resident memory of this process at its peak (VmHWM); 0 if the system doesn't tell.
std::uint64_t peakResidentBytes();
/// Memory that can be had without swapping (MemAvailable); 0 if the system doesn't tell.
std::uint64_t availableBytes();
std::uint64_t totalBytes();

}  // namespace headscope
