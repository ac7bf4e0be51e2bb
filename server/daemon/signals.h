// Signals: those that an operator commands the daemon with.
#ifndef PORTREEVE_SERVER_DAEMON_SIGNALS_H_
#define PORTREEVE_SERVER_DAEMON_SIGNALS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"

namespace portreeve::server {

// From Take() to the end of the process SIGTERM, SIGINT and SIGHUP do nothing
// but to make Next() return; none is lost, also before its first call, but of
// the same signal while one waits.  SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ (a file
// of the log has reached the limit of its size) and SIGTTOU (a terminal that
// takes no lines of those in the background) do nothing at all.
class Signals {
 public:
  // Once, while there is no other thread; later ones inherit it.
  // Errors: no descriptor is left.
  static absl::StatusOr<Signals> Take();

  // Waits for the next signal, or for Wake(): nothing then.
  // Threads: one at a time.
  std::optional<int> Next();

  // Lets one Next() return.  Threads: any.
  void Wake();

 private:
  Signals(Descriptor signals, Descriptor wake);

  Descriptor signals_;  // A signalfd.
  Descriptor wake_;     // An eventfd.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_SIGNALS_H_
