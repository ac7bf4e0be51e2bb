// What the flags ask of a start, once the system was asked for its part.
#ifndef PORTREEVE_SERVER_DAEMON_START_PLAN_H_
#define PORTREEVE_SERVER_DAEMON_START_PLAN_H_

#include <vector>

#include "absl/status/statusor.h"
#include "lib/net/address.h"
#include "lib/net/own_addresses.h"
#include "server/access/gate.h"
#include "server/access/policy.h"
#include "server/control/control_acceptor.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/flags.h"
#include "server/daemon/inherited.h"
#include "server/http/http_server.h"

namespace portreeve::server {

// How many clients of the HTTP port are served at a time, and how many more are
// told that these are too many.
inline constexpr int kMostHttpServed = 256;
inline constexpr int kMostHttpRefused = 16;

// Shares out the descriptors that the process may have now.
DescriptorShares SharesOf(const Flags& flags);

// Gives how many clients may be without a call: so few of all that those who
// never make one cannot keep the others out.
int HandshakesOf(int max_control_connections);

// Reads the file of --policy, if there is one; errors name the flag.
absl::StatusOr<Policy> PolicyOf(const Flags& flags);

Gate::Certificates CertificatesOf(const Flags& flags);

// Gives where clients connect, with the groups looked up of sockets that are
// not `given`.  It may block.  Errors: the group is not there, or UNAVAILABLE.
absl::StatusOr<std::vector<ControlPlace>> PlacesOf(const Flags& flags,
                                                   const ControlSockets& given);
// The same of the HTTP port.
absl::StatusOr<std::vector<HttpPlace>> HttpPlacesOf(const Flags& flags);

// Gives what nobody may dial or forward to.
// Errors: the addresses of this machine cannot be told.
absl::StatusOr<OwnAddresses> OwnAddressesOf(
    const std::vector<AnyAddress>& control,
    const std::vector<AnyAddress>& http);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_START_PLAN_H_
