// OwnAddresses: where the daemon itself is commanded.  Nobody connects there
// through it: it would be a call without a name.
#ifndef PORTREEVE_LIB_NET_OWN_ADDRESSES_H_
#define PORTREEVE_LIB_NET_OWN_ADDRESSES_H_

#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/net/address.h"

namespace portreeve::server {

// A value.
class OwnAddresses {
 public:
  // The daemon listens at `address`, with the port that it was given.  A unix
  // socket is the file that is at its path now, by whatever name it is found
  // later.  Errors: those of stat(2).
  absl::Status Add(const AnyAddress& address);

  // Whether connect(2) to `address` would reach one of them.  A wildcard, be it
  // `0.0.0.0` or `::`, is every address of this machine; `::` is also every
  // IPv4 one.  Costs a system call only where the port is that of a wildcard.
  bool Contain(const Inet::Address& address) const;

  bool has_files() const { return !files_.empty(); }
  bool ContainFile(const struct stat& file) const;
  // The file to which `path` leads now.
  bool ContainPath(const std::string& path) const;

 private:
  std::vector<Inet::Address> inet_;
  std::vector<std::pair<dev_t, ino_t>> files_;
};

// Whether this machine has `address`, so that a connection to it stays here.
// Where that cannot be known for a shortage, it counts as one that it has.
bool IsOfThisMachine(const asio::ip::address& address);

}  // namespace portreeve::server

#endif  // PORTREEVE_LIB_NET_OWN_ADDRESSES_H_
