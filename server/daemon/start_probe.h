// Whether there is enough for a start: descriptors, threads, address space.
#ifndef PORTREEVE_SERVER_DAEMON_START_PROBE_H_
#define PORTREEVE_SERVER_DAEMON_START_PROBE_H_

#include <cstddef>

#include "absl/status/status.h"

namespace portreeve::server {

// What a start takes beside what the process has already.
struct StartNeeds {
  int descriptors = 0;
  int threads = 0;
  size_t address_space = 0;  // Bytes, without the threads' stacks.
};

// `num_addresses` are those of --control and --listen; `num_cpus` those of the
// machine, by which gRPC chooses the number of its threads.
StartNeeds NeedsOfStart(int num_loops, size_t num_addresses, long num_cpus);
// The same for this machine.
StartNeeds NeedsOfStart(int num_loops, size_t num_addresses);

// Takes all of `needs` at once, and gives it back: gRPC, which is to take it
// next, ends the process by a signal where one of it is missing.  Another
// process may be faster; what is taken while the daemon runs is not in it.
//
// Errors: RESOURCE_EXHAUSTED, one line that names the limit; UNAVAILABLE where
// a system call is refused that cannot be done without. Threads: none but the
// caller's exists yet.
absl::Status ProbeStart(const StartNeeds& needs);

// Where the address space has a limit, keeps malloc(3) from taking most of it
// in advance for the heaps of threads.  Before the first thread.
void SpareAddressSpace();

// From now on a failing `new` ends the process, by one line and exit status 1,
// until KeepRunningWithoutMemory().
void ExitWithoutMemory();
void KeepRunningWithoutMemory();

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_START_PROBE_H_
