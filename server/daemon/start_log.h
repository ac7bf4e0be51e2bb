// What the log says when the daemon has started.
#ifndef PORTREEVE_SERVER_DAEMON_START_LOG_H_
#define PORTREEVE_SERVER_DAEMON_START_LOG_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/net/address.h"
#include "server/access/policy.h"
#include "server/daemon/flags.h"

namespace portreeve::server {

// Gives "1 loop", or "2 loops".
std::string CountText(size_t count, absl::string_view what);

// Logs that it has started, and what of it serves; `control` has the addresses
// with their ports, `num_listeners` counts those that are not closed.
void LogStarted(const Flags& flags, const std::vector<AnyAddress>& control,
                size_t num_listeners);

// Warns of what is allowed, and seldom meant; `control` as of LogStarted().
void WarnOfWhatIsOpen(const Flags& flags,
                      const std::vector<AnyAddress>& control,
                      const Policy& policy);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_START_LOG_H_
