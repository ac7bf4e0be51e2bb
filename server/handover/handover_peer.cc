#include "server/handover/handover_peer.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve::server {

absl::StatusOr<HandoverPeer> HandoverPeer::Open(pid_t pid) {
  // It has CLOEXEC.  The functions of glibc 2.36 are of no use in C++: their
  // header has them as if they were C++ themselves.
  Descriptor pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.is_open()) {
    return ErrnoError(errno, "pidfd_open", absl::StrCat("process ", pid));
  }
  return HandoverPeer(pid, std::move(pidfd));
}

absl::Status HandoverPeer::Kill() {
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0 ||
      errno == ESRCH) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, "kill", absl::StrCat("process ", pid_));
}

void HandoverPeer::Signal(int number) {
  (void)syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

bool HandoverPeer::AwaitDeath(HandoverClock& clock, TimePoint deadline) {
  std::array<pollfd, 1> fds = {{{pidfd_.get(), POLLIN, 0}}};
  if (!clock.Poll(fds, deadline)) return false;
  siginfo_t info{};
  // Whose child it is not is told so, and that is all.
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info,
                WEXITED | WNOHANG) != 0) {
    if (errno != EINTR) return true;
  }
  end_ = info;
  return true;
}

std::string HandoverPeer::EndText() const {
  switch (end_.si_code) {
    case CLD_EXITED:
      return absl::StrCat("exit status ", end_.si_status);
    case CLD_KILLED:
    case CLD_DUMPED: {
      // That one is how this process ends it.
      if (end_.si_status == SIGKILL) return "";
      const char* const name = sigabbrev_np(end_.si_status);
      return name != nullptr ? absl::StrCat("SIG", name)
                             : absl::StrCat("signal ", end_.si_status);
    }
    default:
      return "";
  }
}

}  // namespace portreeve::server
