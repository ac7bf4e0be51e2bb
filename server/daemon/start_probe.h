// Finds out whether there is enough for a start: descriptors, threads, address
// space.
#ifndef PORTREEVE_SERVER_DAEMON_START_PROBE_H_
#define PORTREEVE_SERVER_DAEMON_START_PROBE_H_

#include <cstddef>

#include "absl/status/status.h"

namespace portreeve::server {

// What a start takes in addition to what the process has already.
struct StartNeeds {
  int descriptors = 0;
  int threads = 0;
  size_t address_space = 0;  // Bytes, without the threads' stacks.
};

// Gives the needs.  `num_loops` counts that of --http, too, `num_addresses`
// those of --control, --http, --listen and --listeners; `num_cpus` is the
// machine's number, by which gRPC chooses that of its threads.
StartNeeds NeedsOfStart(int num_loops, size_t num_addresses, long num_cpus);
// Gives the same for this machine.
StartNeeds NeedsOfStart(int num_loops, size_t num_addresses);

// Takes all of `needs` at once, and gives it back.  It is for gRPC, which takes
// its part next, and ends the process by a signal where something is missing.
// Another process may be faster; what the daemon takes while it runs is not
// part of it.
//
// Errors: RESOURCE_EXHAUSTED, one line that names the limit; UNAVAILABLE where
// a system call is refused that the daemon cannot do without.
// Threads: it must be called while the caller's is the only one.
absl::Status ProbeStart(const StartNeeds& needs);

// Where the address space has a limit, keeps malloc(3) from taking most of it
// in advance for the heaps of threads.  It must be called before the first
// thread starts.
void SpareAddressSpace();

// Until KeepRunningWithoutMemory() is called, a failing `new` ends the process
// with one line and exit status 1.
void ExitWithoutMemory();
void KeepRunningWithoutMemory();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_START_PROBE_H_
