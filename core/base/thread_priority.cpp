#include "core/base/thread_priority.h"

#ifdef __linux__
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace headscope {

void giveWay() noexcept {
#ifdef __linux__
  // On Linux the nice value belongs to a thread, and a new thread takes over that of its creator. 5 is a third of the
  // normal share: enough for frames in time, and not so little that another program's work stops ours.
  constexpr int kNice = 5;
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
#endif
}

}  // namespace headscope
