// FullUnixListener: a unix socket that takes no client for the time being.
#ifndef PORTREEVE_TESTS_TESTING_FULL_UNIX_LISTENER_H_
#define PORTREEVE_TESTS_TESTING_FULL_UNIX_LISTENER_H_

#include <sys/socket.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/net/address.h"

namespace portreeve::testing {

// Listens at a path, with a backlog that is full.
class FullUnixListener {
 public:
  explicit FullUnixListener(const std::string& path) : path_(path) {
    listening_ = NewSocket();
    if (bind(listening_.get(), address_.data(),
             static_cast<socklen_t>(address_.size())) != 0 ||
        listen(listening_.get(), 0) != 0) {
      std::abort();
    }
    // They connect until the kernel takes no more.
    do {
      fillers_.push_back(NewSocket());
    } while (connect(fillers_.back().get(), address_.data(),
                     static_cast<socklen_t>(address_.size())) == 0);
    fillers_.pop_back();
  }

  // Accepts the oldest client that waits.
  Descriptor Accept() {
    return Descriptor(accept4(listening_.get(), nullptr, nullptr,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  size_t num_fillers() const { return fillers_.size(); }
  void Close() { listening_ = Descriptor(); }

 private:
  static Descriptor NewSocket() {
    return Descriptor(
        socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  const std::string path_;
  Unix::Address address_{path_};
  Descriptor listening_;
  std::vector<Descriptor> fillers_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_FULL_UNIX_LISTENER_H_
