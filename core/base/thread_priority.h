#pragma once

namespace headscope {

/// How far a thread gives way to the program's other ones.
enum class Patience {
  Shown,       ///< somebody waits for what it makes, but the window itself comes first
  Background,  ///< nobody looks at it yet
};

/// The calling thread, and those that it starts from now on, give way to the program's other threads: a window stays
/// fluid while all cores compute. On an idle machine they are as fast as ever. No-op where the system can't.
void giveWay(Patience patience) noexcept;

}  // namespace headscope
