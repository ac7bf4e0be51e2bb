// What ends a poll() that waits for something else.
#ifndef PORTREEVE_CLIENT_CLI_WAKE_H_
#define PORTREEVE_CLIENT_CLI_WAKE_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "client/cli/descriptor.h"

namespace portreeve::cli {

// Any thread, a signal handler included, may set it; it stays set.
class Wake {
 public:
  // Readable once set; -1, which poll() ignores, without a free descriptor.
  int descriptor() const { return event_.get(); }

  void Set() const {
    constexpr uint64_t kOne = 1;
    // It fails only where it is set already, 2^64 times.
    [[maybe_unused]] const ssize_t written =
        write(event_.get(), &kOne, sizeof(kOne));
  }

 private:
  const Descriptor event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_WAKE_H_
