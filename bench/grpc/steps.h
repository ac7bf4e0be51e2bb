// RunSteps: asynchronous steps, a fixed number of them at a time.
#ifndef PORTREEVE_BENCH_GRPC_STEPS_H_
#define PORTREEVE_BENCH_GRPC_STEPS_H_

#include <cstdint>
#include <functional>

namespace portreeve::bench {

// Begins a step, which calls `done` once, on any thread, when it is over.
// `done` begins the next one, and may call back into the same step function.
using Step = std::function<void(int64_t number, std::function<void()> done)>;

// Runs steps 0 to `steps` - 1, `in_flight` at a time, and returns when all are
// over.
void RunSteps(int64_t steps, int in_flight, const Step& step);

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_STEPS_H_
