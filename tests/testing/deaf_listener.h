// DeafListener: a TCP socket that answers no client.
#ifndef PORTREEVE_TESTS_TESTING_DEAF_LISTENER_H_
#define PORTREEVE_TESTS_TESTING_DEAF_LISTENER_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/net/address.h"

namespace portreeve::testing {

// Listens, and has a full backlog: whoever connects gets no answer.
class DeafListener {
 public:
  DeafListener() : listening_(NewSocket()) {
    auto size = static_cast<socklen_t>(address_.capacity());
    const Inet::Address any(asio::ip::address_v4::loopback(), 0);
    if (bind(listening_.get(), any.data(), size) != 0 ||
        listen(listening_.get(), 0) != 0 ||
        getsockname(listening_.get(), address_.data(), &size) != 0) {
      std::abort();
    }
    // Linux takes one more than the backlog.
    for (int i = 0; i < 2; ++i) {
      fillers_.push_back(NewSocket());
      (void)connect(fillers_.back().get(), address_.data(), size);
    }
  }

  const Inet::Address& address() const { return address_; }

 private:
  static Descriptor NewSocket() {
    return Descriptor(
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  const Descriptor listening_;
  Inet::Address address_;
  std::vector<Descriptor> fillers_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_DEAF_LISTENER_H_
