#include "bench/grpc/steps.h"

#include <atomic>

#include "absl/synchronization/blocking_counter.h"

namespace portreeve::bench {

void RunSteps(int64_t steps, int in_flight, const Step& step) {
  std::atomic<int64_t> begun = 0;
  absl::BlockingCounter lanes(in_flight);
  std::function<void()> next;
  next = [&begun, &lanes, &next, &step, steps] {
    const int64_t number = begun.fetch_add(1);
    if (number < steps) {
      step(number, [&next] { next(); });
    } else {
      lanes.DecrementCount();
    }
  };
  for (int lane = 0; lane < in_flight; ++lane) next();
  lanes.Wait();
}

}  // namespace portreeve::bench
