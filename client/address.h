// How people write addresses: "tcp:HOST:PORT", "HOST:PORT", ":PORT",
// "tcp:*:0", "tcp:[::1]:80", "unix:/path", and "unix:@name" for an abstract
// socket ("unix:./@name" is a file).  Brackets may stand around any host, and
// must stand around IPv6.  tests/texts/addresses.json has what each of them is.
#ifndef PORTREEVE_CLIENT_ADDRESS_H_
#define PORTREEVE_CLIENT_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::client {

// Parses where to listen.  A host that is empty or `*` is every IPv4 address;
// port 0 leaves the choice to the daemon's OS.  Only the writing is checked,
// not whether such an address exists.  A relative unix path counts from
// `directory`, which is absolute.
//
// Errors: INVALID_ARGUMENT, with what is wrong and what was expected.
absl::StatusOr<v1::WhereToListen> ParseWhereToListen(
    const std::string& text, const std::string& directory);

// Parses where to connect: a host is needed, and a port of 1-65535.  Otherwise
// it does what ParseWhereToListen does.
absl::StatusOr<v1::WhereToConnect> ParseWhereToConnect(
    const std::string& text, const std::string& directory);

// The address of a daemon's control plane.
struct ServerAddress {
  // The complete form in which people write it: "tcp:127.0.0.1:50051",
  // "unix:/run/p.sock", "unix:@p".
  std::string text;
  // The form that gRPC takes.
  std::string target;
};

// The control address of a daemon that was started without one.
inline constexpr char kDefaultServer[] = "tcp:127.0.0.1:50051";

// Does what ParseWhereToConnect does.
absl::StatusOr<ServerAddress> ParseServerAddress(const std::string& text,
                                                 const std::string& directory);

// Give the text that the parsers take; "" where nothing is set.  A unix socket
// without a name is "unix:".
std::string ToText(const v1::Address& address);
std::string ToText(const v1::WhereToListen& where);
std::string ToText(const v1::WhereToConnect& where);

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_ADDRESS_H_
