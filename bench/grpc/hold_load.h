// The mode `hold`.
#ifndef PORTREEVE_BENCH_GRPC_HOLD_LOAD_H_
#define PORTREEVE_BENCH_GRPC_HOLD_LOAD_H_

#include <string>

#include "bench/grpc/options.h"

namespace portreeve::bench {

// Opens streams of grpc_peer, each on a channel of its own, has one message
// echoed by each, prints "ready", and does nothing until stdin has a line or
// ends.  So one can look at a server that has clients, and nothing to do.
// Gives the line to print.  A unit is a stream.
std::string RunHold(const Target& target, const HoldOptions& options);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_HOLD_LOAD_H_
