// The modes that move bulk over streams: `remote` and `bidi`.
#ifndef PORTREEVE_BENCH_GRPC_BULK_LOAD_H_
#define PORTREEVE_BENCH_GRPC_BULK_LOAD_H_

#include <string>

#include "bench/grpc/options.h"

namespace portreeve::bench {

// In both modes a unit is a byte that has come back; the latency is a
// message's, from the moment when its sending begins until all of it is back.
// Every byte is compared.  A connection, or a stream, keeps `in_flight`
// messages on their way.  Each has had one message echoed before it is
// measured.

// Makes a listener of portreeved, and sends through it by TCP.  Its handler is
// a worker in this process, which sends back each frame before it reads the
// next; "frames" is how many the worker got.
std::string RunRemote(const Target& target, const BulkOptions& options);

// Sends the same over streams of grpc_peer, which are all on one channel, as
// the worker's are.
std::string RunBidi(const Target& target, const BulkOptions& options);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_BULK_LOAD_H_
