// NewestEvents: what has happened to a listener, or a connection, of late.
#ifndef PORTREEVE_CLIENT_CLI_NEWEST_EVENTS_H_
#define PORTREEVE_CLIENT_CLI_NEWEST_EVENTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/session.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/event.pb.h"

namespace portreeve::cli {

// How many it gives at most.
inline constexpr size_t kNewestEvents = 20;

// Asks the daemon for those about the listener of this name, and its
// connections, that it has kept up to now; a `gap` is among them where it has
// kept too few.
absl::StatusOr<std::vector<v1::Event>> NewestEvents(const std::string& name,
                                                    Session& session);

// Does the same for those about one connection.
absl::StatusOr<std::vector<v1::Event>> NewestEvents(
    const v1::Connection& connection, Session& session);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_NEWEST_EVENTS_H_
