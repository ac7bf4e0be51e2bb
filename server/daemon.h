// Daemon: portreeved, from its start to its end.
#ifndef PORTREEVE_SERVER_DAEMON_H_
#define PORTREEVE_SERVER_DAEMON_H_

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/asio.h"
#include "lib/time_source.h"
#include "portreeve/v1/listener.pb.h"
#include "server/audit_log.h"
#include "server/flags.h"
#include "server/gate.h"
#include "server/loop.h"
#include "server/policy.h"

namespace portreeve::server {

// Threads: one, the main thread; it never is the loop's.
class Daemon {
 public:
  // Serves the control addresses and opens the listeners of `flags`; from here
  // on SIGTERM and SIGINT are Run()'s.  On an error nothing is left behind.
  // Each thing that serves is a line on `out`, flushed, and "ready" the last.
  // Errors: one line that says what and why.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Flags& flags,
                                                       std::FILE* out);

  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();  // Ends what runs, at once.

  // Waits for the first signal; then health is NOT_SERVING, listeners stop to
  // accept, and handlers may end within `drain`, while the control plane goes
  // on; then connections are closed, streams end, and Run() returns.  With a
  // second signal all of that is at once.
  void Run(Duration drain);

 private:
  struct State;

  // After `drain`, how long what was written to connections may take to be
  // flushed.
  static constexpr std::chrono::seconds kFlush{5};
  // How long clients may take to read the last of their streams.
  static constexpr std::chrono::seconds kStreamsEnd{2};
  // How long gRPC waits for its clients to leave, which they need not do:
  // everything that they asked for is answered by then.
  static constexpr std::chrono::milliseconds kLinger{100};

  Daemon(int num_loops, const Policy& policy, Gate::Certificates certificates,
         std::unique_ptr<AuditLog> audit);

  absl::StatusOr<v1::Listener> Create(const v1::CreateListenerRequest& request);
  absl::Status Listen(const Flags::Listen& listen, std::FILE* out);
  Task<> AwaitFirstSignal();
  Task<> Drain(Duration drain);
  Task<> TearDown(Duration streams_end);
  void End(Duration streams_end);

  const std::unique_ptr<AuditLog> audit_;
  Loop loop_;  // Before what runs on it, which it outlives.
  std::unique_ptr<State> state_;
  bool ended_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_H_
