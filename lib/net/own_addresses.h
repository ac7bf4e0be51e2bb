// OwnAddresses: the addresses of the daemon's control plane.  Nobody may
// connect there through the daemon, for the call would come from the daemon and
// not from its caller.
#ifndef PORTREEVE_LIB_NET_OWN_ADDRESSES_H_
#define PORTREEVE_LIB_NET_OWN_ADDRESSES_H_

#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/net/address.h"

namespace portreeve {

// A plain value.
class OwnAddresses {
 public:
  // Adds `address`, at which the daemon listens, with the port that the OS gave
  // it.  A unix socket counts as the file that is at its path now, by whatever
  // name it is found later; an abstract one by its name.  Errors: those of
  // stat(2).
  absl::Status Add(const AnyAddress& address);

  // Whether connect(2) to `address` would reach one of them.  A wildcard, be it
  // `0.0.0.0` or `::`, is every address of this machine; `::` is also every
  // IPv4 one.  It takes a system call only where the port is that of a
  // wildcard.
  bool Contain(const Inet::Address& address) const;

  bool has_files() const { return !files_.empty(); }
  bool ContainFile(const struct stat& file) const;
  // Whether the file to which `path` leads now is one of them, or `path` itself
  // if that is an abstract name.
  bool ContainPath(const std::string& path) const;

 private:
  std::vector<Inet::Address> inet_;
  std::vector<std::pair<dev_t, ino_t>> files_;
  std::vector<std::string> abstract_names_;
};

// Whether this machine has `address`, so that a connection to it stays here.
// Where a shortage keeps that from being known, the answer is true.
bool IsOfThisMachine(const asio::ip::address& address);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_OWN_ADDRESSES_H_
