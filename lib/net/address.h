// Socket addresses, one type for each kind, and how they are written.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_ADDRESS_H_
#define PORTREEVE_LIB_NET_ADDRESS_H_

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"

namespace portreeve {

namespace asio = boost::asio;

// The two kinds of address.  They are never mixed: everything that depends on
// the kind is a template over one of these two tags.
struct Inet {
  using Address = asio::ip::tcp::endpoint;  // IPv4 or IPv6, and a port.
  using Protocol = asio::ip::tcp;
};
struct Unix {
  // A path; "" where there is none.  One that begins with a NUL byte is an
  // abstract name, which is no file's (unix(7)).
  using Address = asio::local::stream_protocol::endpoint;
  using Protocol = asio::local::stream_protocol;
};

template <typename A>
concept AddressKind = std::is_same_v<A, Inet> || std::is_same_v<A, Unix>;

// An address of either kind, for code that serves both.
using AnyAddress = std::variant<Inet::Address, Unix::Address>;

// Gives an address as the CLI writes and reads it: "tcp:127.0.0.1:80",
// "tcp:[::1]:80", "unix:/run/x.sock", "unix:@abstract".  An unnamed unix socket
// is "unix:".  Control characters in a path are written as "\xHH", for peers
// choose theirs.
std::string ToString(const Inet::Address& address);
std::string ToString(const Unix::Address& address);
std::string ToString(const AnyAddress& address);

// Converts an address that the kernel gave, as a peer may have chosen it: a
// unix one may have no name, or a path of 108 bytes, one more than can be asked
// for here.  An IPv4-mapped address, as IPv4 peers of a dual-stack listener
// have, is the IPv4 one.  What is neither inet, inet6 nor unix becomes
// 0.0.0.0:0.
AnyAddress FromEndpoint(
    const asio::generic::stream_protocol::endpoint& endpoint);

// Gives the IPv4 address for which an IPv4-mapped IPv6 address stands, and any
// other address unchanged.
asio::ip::address Unmapped(const asio::ip::address& address);

// Gives what connect(2) makes of an address, so that whoever admits addresses
// cannot be misled: an IPv4-mapped one is IPv4, and an unspecified one is this
// machine.
asio::ip::address Effective(const asio::ip::address& address);

// Whether a unix socket's path is an abstract name.
bool IsAbstract(std::string_view path);

// Gives a unix socket's path as people write it, control characters as they
// are: "unix:/run/x", "unix:@name" for an abstract name, and "unix:./@name" for
// the relative path of a file that looks like one.
std::string UnixPathText(std::string_view path);

// The longest path of a unix socket, in bytes (Linux: 107), an abstract name's
// NUL included.
inline constexpr size_t kMaxUnixPathBytes = 107;

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_ADDRESS_H_
