#pragma once

namespace headscope {

/// The calling thread, and those that it starts from now on, give way to the program's other threads: a window stays
/// fluid while all cores compute. On an idle machine they are as fast as ever. No-op where the system can't.
void giveWay() noexcept;

}  // namespace headscope
