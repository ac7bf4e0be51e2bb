// LoadRun: what one run of the load generator has to do, and what it prints.
#ifndef PORTREEVE_BENCH_LOAD_RUN_H_
#define PORTREEVE_BENCH_LOAD_RUN_H_

#include <netinet/in.h>

#include <cstdint>
#include <string>

#include "bench/event_loop.h"
#include "bench/histogram.h"
#include "bench/net.h"

namespace portreeve::bench {

struct LoadOptions {
  std::string mode;
  sockaddr_in to{};
  // How many connections there are at a time.
  uint64_t connections = 1;
  // The bytes of a message.
  uint64_t size = 64;
  // How much work there is: messages, connections or MiB.
  uint64_t units = 1000;
  // In `short`: whether the client ends by a reset instead of a FIN.
  bool reset = false;
  // In `flood`: how many clients there are beside it that behave well.
  uint64_t clients = 8;
  // In `flood`: the microseconds between two bursts of `connections`.
  uint64_t period = 2000;
  // In `bulk`: how many bytes of a connection may be on their way, there and
  // back.
  uint64_t window = 1 << 20;
  // After that many seconds the run counts as failed.
  double timeout = 60;
  // Whether to wait for a line of stdin before the work, and for another one
  // (or the end) before the connections are closed.  "ready" is printed when
  // all that comes before the work is done.
  bool gate = false;
};

class LoadRun {
 public:
  explicit LoadRun(const LoadOptions& options) : options(options) {}

  // Counts a failure; the first one is printed.  `code` is an errno or 0.
  void Fail(const std::string& what, int code = 0);

  // The work begins: prints "ready" and waits, if there is a gate, and starts
  // the clock.
  void Begin();
  // The work is done: prints one JSON object, and waits, if there is a gate.
  void End();

  // Runs the loop until `done`; after options.timeout that is a failure.
  void RunUntil(const std::function<bool()>& done) {
    if (!loop.RunUntil(done, options.timeout)) Fail("timeout");
  }

  uint64_t errors() const { return errors_; }

  const LoadOptions options;
  EventLoop loop;
  SourceAddresses sources;
  Histogram latencies;
  // Units that were done and found right.
  uint64_t units = 0;
  // In `flood`: connections that were opened and reset.
  uint64_t aborted = 0;
  // In `flood`: connections that were not opened, since others still waited to
  // be accepted.
  uint64_t late = 0;

 private:
  uint64_t errors_ = 0;
  std::string first_error_;
  uint64_t begin_ = 0;
  uint64_t begin_cpu_ = 0;
};

// The modes.  Each returns when its work is done, after End().
void RunShort(LoadRun& run);
void RunRequestResponse(LoadRun& run);
void RunBulk(LoadRun& run);
void RunIdle(LoadRun& run);
void RunFlood(LoadRun& run);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_LOAD_RUN_H_
