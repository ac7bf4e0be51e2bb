// GivenSocket: a socket that the library is given, in place of one of its own
// (Async's ?socket; docs/CONFORMANCE.md, C2 and S2).
#ifndef PORTREEVE_LIB_NET_GIVEN_SOCKET_H_
#define PORTREEVE_LIB_NET_GIVEN_SOCKET_H_

#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/net/address.h"

namespace portreeve {

// One that was checked.  It may have come from anywhere: socket(2), a parent,
// systemd, another process.  Until Take() it is left as it is.
class GivenSocket {
 public:
  enum class Use { kListen, kConnect };

  // Checks that `socket` is a stream socket of kind A (TCP for Inet), that it
  // is not connected, and, for kConnect, that it does not listen.
  //
  // Errors: about the field "socket", and they name what is wrong:
  // INVALID_FIELD, or NOT_A_SOCKET for a descriptor of something else.
  // `socket` is closed then, and nothing else is done to it: those who have
  // copies of the descriptor find it as it was.
  template <AddressKind A>
  static absl::StatusOr<GivenSocket> Check(Descriptor socket, Use use);

  int family() const { return family_; }  // AF_UNIX, AF_INET or AF_INET6.
  bool is_listening() const { return is_listening_; }
  // Whether it has an address, or a port, already.
  bool is_bound() const { return is_bound_; }
  // Gives the address as the kernel has it.
  const AnyAddress& address() const { return address_; }

  // Gives INVALID_FIELD about "socket" where it is not of the family of
  // `address`.
  absl::Status CheckFamilyOf(const Inet::Address& address) const;

  // Gives the descriptor away, close-on-exec and non-blocking; the latter is so
  // for everybody who has a copy.  Errors: those of fcntl(2).
  absl::StatusOr<Descriptor> Take() &&;

 private:
  GivenSocket(Descriptor socket, int family, bool is_listening,
              AnyAddress address);

  Descriptor socket_;
  int family_;
  bool is_listening_;
  AnyAddress address_;
  bool is_bound_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_GIVEN_SOCKET_H_
