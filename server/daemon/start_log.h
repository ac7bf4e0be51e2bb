// What is printed and logged when the daemon has started.
#ifndef PORTREEVE_SERVER_DAEMON_START_LOG_H_
#define PORTREEVE_SERVER_DAEMON_START_LOG_H_

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/net/address.h"
#include "server/access/policy.h"
#include "server/daemon/flags.h"

namespace portreeve::server {

// Prints "portreeved: LINE", which whoever has started the daemon reads at
// once.
void PrintLine(std::FILE* out, const std::string& line);
// Prints it where that need not wait for whoever reads: whoever has started the
// first process may long have stopped to.
void PrintLineIfTaken(std::FILE* out, const std::string& line);

// Gives "1 loop", or "2 loops".
std::string CountText(size_t count, absl::string_view what);

// The addresses of --control and --http, with their ports.
struct OwnPlaces {
  std::vector<AnyAddress> control;
  std::vector<AnyAddress> http;
};

// Logs that it has started, and what of it serves; `num_listeners` counts those
// that are not closed.
void LogStarted(const Flags& flags, const OwnPlaces& own, size_t num_listeners);

// Warns of what is allowed, and seldom meant.
void WarnOfWhatIsOpen(const Flags& flags, const OwnPlaces& own,
                      const Policy& policy);

// Warns of each address by which every user of the machine may command the
// daemon, or read what it tells: WarnOfWhatIsOpen() does, and so does a policy
// that is read again.
void WarnOfUnknownUsers(bool has_tls, const OwnPlaces& own,
                        const Policy& policy);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_START_LOG_H_
