// The mode `first_byte`.
#ifndef PORTREEVE_BENCH_GRPC_FIRST_BYTE_LOAD_H_
#define PORTREEVE_BENCH_GRPC_FIRST_BYTE_LOAD_H_

#include <string>

#include "bench/grpc/options.h"

namespace portreeve::bench {

// Measures, while `listeners_open` echo listeners are open, how long it takes
// from the call that creates one more until a byte has come back through it,
// and gives the line to print.  A unit is one such listener; closing it is not
// in its latency.  "create_us" is the part that the call takes in the median
// round.
std::string RunFirstByte(const Target& target, const FirstByteOptions& options);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_FIRST_BYTE_LOAD_H_
