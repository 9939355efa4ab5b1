#include "core/base/thread_priority.h"

#ifdef __linux__
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace headscope {

void giveWay(Patience patience) noexcept {
#ifdef __linux__
  // On Linux the nice value belongs to a thread, and a new thread takes over that of its creator. 4 is two fifths of
  // the normal share: enough for frames in time, and not so little that another program's work stops ours.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), patience == Patience::Shown ? 4 : 10);
#else
  static_cast<void>(patience);
#endif
}

}  // namespace headscope
