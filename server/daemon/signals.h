// Signals: takes the signals by which an operator commands the daemon.
#ifndef PORTREEVE_SERVER_DAEMON_SIGNALS_H_
#define PORTREEVE_SERVER_DAEMON_SIGNALS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// From Take() to the end of the process SIGTERM, SIGINT, SIGHUP and SIGUSR2 do
// nothing but make Next() return.  None is lost, also before the first call of
// Next(), unless the same signal waits already.  SIGPIPE, SIGUSR1, SIGXFSZ (a
// file of the log has reached the limit of its size) and SIGTTOU (a terminal
// that takes no lines of those in the background) do nothing at all.
class Signals {
 public:
  // Takes the signals.  It must be called once, while there is no other thread;
  // later ones inherit what it does.
  // Errors: no descriptor is left.
  static absl::StatusOr<Signals> Take();

  // What Next() gives after Ask(); no signal has it.
  static constexpr int kAsked = 0;

  // Waits for the next signal and gives its number, or kAsked, or nothing after
  // Wake().
  // Threads: any, one at a time.
  std::optional<int> Next();

  // Waits until `fd` can be read, or for `deadline`, and gives true; false once
  // a SIGTERM or SIGINT waits for Next().
  // Threads: any, but not while one is in Next().
  bool AwaitUnlessStopped(int fd, TimePoint deadline);

  // Takes a SIGTERM, SIGINT or SIGHUP that Next() has not given yet; nothing
  // where there is none.
  // Threads: any, but not while one is in Next().
  std::optional<int> TakePending();

  // Lets one Next() return.
  // Threads: any.
  void Wake();

  // Has Next() give kAsked, once for all calls until then.
  // Threads: any.
  void Ask();

 private:
  Signals(Descriptor signals, Descriptor wake);

  Descriptor signals_;  // A signalfd.
  Descriptor wake_;     // An eventfd, of Wake() and Ask() alike.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_SIGNALS_H_
