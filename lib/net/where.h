// WhereToConnect and WhereToListen: what to reach, and where to listen
// (docs/CONFORMANCE.md, C1 and S1).  They are plain values; nothing is
// resolved, opened or checked before they are used.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_WHERE_H_
#define PORTREEVE_LIB_NET_WHERE_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "lib/net/address.h"

namespace portreeve {

// WhereToConnect<Inet> leads to a Socket<Inet>, WhereToConnect<Unix> to a
// Socket<Unix>; there is no conversion between the two.
template <AddressKind A>
struct WhereToConnect;

template <>
struct WhereToConnect<Inet> {
  // A name, resolved each time that a connection is made, or an IP literal.
  std::string host;
  // 1-65535.
  int port = 0;
  // The address and port that the connection comes from; default: the OS's
  // choice.  A bind_to_port is 1-65535.
  std::optional<asio::ip::address> bind_to_address;
  std::optional<int> bind_to_port;

  static WhereToConnect OfHostAndPort(std::string host, int port);
  static WhereToConnect OfInetAddress(const Inet::Address& address);
};

template <>
struct WhereToConnect<Unix> {
  // The path of the socket's file, 1-107 bytes; or, if it begins with a NUL
  // byte, an abstract name: 1-106 bytes after that, without another NUL.
  std::string path;

  static WhereToConnect OfFile(std::string path);
  static WhereToConnect OfUnixAddress(const Unix::Address& address);
};

template <AddressKind A>
struct WhereToListen;

template <>
struct WhereToListen<Inet> {
  // Default: every IPv4 address.  :: is every IPv6 address.
  asio::ip::address address = asio::ip::address_v4::any();
  // IPV6_V6ONLY: :: is not every IPv4 address, too.  Without it, clients of
  // IPv4 are told by their IPv4 addresses.
  bool ipv6_only = true;
  // 0-65535; 0: chosen by the OS.
  int port = 0;
  // SO_REUSEADDR: a port whose old connections live on can be bound again.
  bool reuse_address = true;
  // SO_REUSEPORT: several listeners share the port.
  bool reuse_port = false;
  // SO_BINDTODEVICE: only what comes in through this interface; "" for all.
  // At most 15 bytes.
  std::string bind_to_interface;

  friend bool operator==(const WhereToListen&, const WhereToListen&) = default;

  static WhereToListen OfPort(int port);
  static WhereToListen OfPortChosenByOs();
  static WhereToListen OfLocalhost(int port);  // 127.0.0.1
  static WhereToListen OfAddress(const asio::ip::address& address, int port);
};

template <>
struct WhereToListen<Unix> {
  // Where the socket's file will be, 1-107 bytes; or an abstract name, as of
  // WhereToConnect: there is no file then, and whoever is on the machine (in
  // its network namespace) may connect.
  std::string path;
  // Permissions of the file, 0-0777, in force before the first client can
  // connect.  Of no effect for an abstract name.
  int mode = 0660;
  // The group of the file, in force as early; default: the one that every new
  // file gets there.  This process must be of it, or root.
  std::optional<gid_t> group;

  friend bool operator==(const WhereToListen&, const WhereToListen&) = default;

  static WhereToListen OfFile(std::string path);
};

// Whether it is every address of both IPv6 and IPv4.
bool IsDualStack(const WhereToListen<Inet>& where);

// Gives INVALID_FIELD, which names the field ("port", "path"), where a value is
// outside of what is written above, else OK.
absl::Status Validate(const WhereToConnect<Inet>& where);
absl::Status Validate(const WhereToConnect<Unix>& where);
absl::Status Validate(const WhereToListen<Inet>& where);
absl::Status Validate(const WhereToListen<Unix>& where);

// Gives them as the CLI writes them: "tcp:example.org:80", "tcp:[::1]:80",
// "unix:/path", "unix:@abstract".
std::string ToString(const WhereToConnect<Inet>& where);
std::string ToString(const WhereToConnect<Unix>& where);
std::string ToString(const WhereToListen<Inet>& where);
std::string ToString(const WhereToListen<Unix>& where);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_WHERE_H_
