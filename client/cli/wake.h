// Wake: ends a poll() that waits for something else.
#ifndef PORTREEVE_CLIENT_CLI_WAKE_H_
#define PORTREEVE_CLIENT_CLI_WAKE_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "client/cli/descriptor.h"

namespace portreeve::cli {

// Threads: any may set it, and so may a signal handler; it stays set.
class Wake {
 public:
  // Gives a descriptor that is readable once this is set; -1, which poll()
  // ignores, where none was free.
  int descriptor() const { return event_.get(); }

  void Set() const {
    constexpr uint64_t kOne = 1;
    // This fails only where it is set already, 2^64 times.
    [[maybe_unused]] const ssize_t written =
        write(event_.get(), &kOne, sizeof(kOne));
  }

 private:
  const Descriptor event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_WAKE_H_
