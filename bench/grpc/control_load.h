// The modes of unary calls: `control`, `sockets` and `unary`.
#ifndef PORTREEVE_BENCH_GRPC_CONTROL_LOAD_H_
#define PORTREEVE_BENCH_GRPC_CONTROL_LOAD_H_

#include <string>

#include "bench/grpc/options.h"

namespace portreeve::bench {

// Creates and closes listeners of portreeved, and gives the line to print.  A
// unit is a pair of the two calls; the latency is that of a pair.
//
// The daemon chooses the ids and forgets the oldest closed listeners by
// itself: with a warm-up of more than 1000 pairs each pair makes it forget one,
// as in a daemon that has been running for long.
std::string RunControl(const Target& target, const ControlOptions& options);

// Opens and closes listening sockets of grpc_peer: the calls are the same, and
// nothing is done but what the kernel has to.
std::string RunSockets(const Target& target, const ControlOptions& options);

// Moves the same number of bytes by calls of grpc_peer.  A unit is a call.
std::string RunUnary(const Target& target, const UnaryOptions& options);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_CONTROL_LOAD_H_
