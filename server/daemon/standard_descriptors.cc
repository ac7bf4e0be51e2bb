#include "server/daemon/standard_descriptors.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace portreeve::server {

// It makes system calls itself, and has no checks of a sanitizer, which may be
// initialized only after this.
__attribute__((no_sanitize("address", "thread", "undefined")))  //
void OpenStandardDescriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (syscall(SYS_fcntl, fd, F_GETFD) >= 0) continue;
    // open(2) gives the lowest number that is free, which is this one.
    if (syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR) == fd) continue;
    constexpr char kLine[] = "portreeved: /dev/null cannot be opened\n";
    (void)syscall(SYS_write, STDERR_FILENO, kLine, sizeof kLine - 1);
    (void)syscall(SYS_exit_group, 1);
  }
}

}  // namespace portreeve::server
