// UnixListener: a unix socket that clients can connect to, and nothing more.
#ifndef PORTREEVE_TESTS_TESTING_UNIX_LISTENER_H_
#define PORTREEVE_TESTS_TESTING_UNIX_LISTENER_H_

#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <string>

#include "lib/base/descriptor.h"
#include "lib/net/address.h"

namespace portreeve::testing {

// Listens at a path from its creation to its end; the file stays.
class UnixListener {
 public:
  explicit UnixListener(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    const Unix::Address address(path);
    if (bind(fd_.get(), address.data(),
             static_cast<socklen_t>(address.size())) != 0 ||
        listen(fd_.get(), 16) != 0) {
      std::abort();
    }
  }

  // Waits for a client, which is accepted and closed; gives false after
  // kDeadlineMs.
  bool AwaitClient() const {
    pollfd state{fd_.get(), POLLIN, 0};
    constexpr int kDeadlineMs = 20'000;
    return poll(&state, 1, kDeadlineMs) == 1 && TakeClient();
  }
  // Gives whether a client waits, which is then accepted and closed.
  bool TakeClient() const {
    return Descriptor(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC))
        .is_open();
  }

 private:
  Descriptor fd_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_UNIX_LISTENER_H_
