// The mode `watch`.
#ifndef PORTREEVE_BENCH_GRPC_WATCH_LOAD_H_
#define PORTREEVE_BENCH_GRPC_WATCH_LOAD_H_

#include <string>

#include "bench/grpc/options.h"

namespace portreeve::bench {

// Starts watches of everything, each on a channel of its own, prints "ready"
// once all of them count, and reads events until stdin has a line or ends, and
// no event has come for 100 ms.  Gives the line to print.
//
// A unit is an event received by one watcher; "messages" is how many messages
// carried them, "gaps" how many gaps there were.  A revision that is missing or
// comes twice is an error.  With `lone_events` it makes as many events first,
// one at a time, and the latency is from an event's stamp until it is received.
std::string RunWatch(const Target& target, const WatchOptions& options);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_WATCH_LOAD_H_
