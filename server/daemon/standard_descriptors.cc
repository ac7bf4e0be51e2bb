#include "server/daemon/standard_descriptors.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace portreeve::server {

// System calls themselves, and no check of a sanitizer: these come first, too,
// or they follow.
__attribute__((no_sanitize("address", "thread", "undefined")))  //
void OpenStandardDescriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (syscall(SYS_fcntl, fd, F_GETFD) >= 0) continue;
    // The lowest number that is free, which is this one.
    if (syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR) == fd) continue;
    constexpr char kLine[] = "portreeved: /dev/null cannot be opened\n";
    (void)syscall(SYS_write, STDERR_FILENO, kLine, sizeof kLine - 1);
    (void)syscall(SYS_exit_group, 1);
  }
}

}  // namespace portreeve::server
