// What a mode of grpc_load measures, and how it prints that.
#ifndef PORTREEVE_BENCH_GRPC_MEASUREMENT_H_
#define PORTREEVE_BENCH_GRPC_MEASUREMENT_H_

#include <grpcpp/support/status.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace portreeve::bench {

using Clock = std::chrono::steady_clock;

// One run of a mode.
struct Result {
  int64_t units = 0;  // Units of work; each mode says what one is.
  int64_t errors = 0;
  std::string first_error;
  std::vector<Clock::duration> latencies;
  std::map<std::string, double> more;  // Figures of the mode, by name.
};

// Collects what several threads measure.
// Threads: any.
class Tally {
 public:
  // Counts `status`, unless it is OK.
  void Count(const grpc::Status& status);
  void CountError(const std::string& message);
  void AddLatency(Clock::duration latency);

  // It is called after a warm-up, whose errors stay.
  void ForgetLatencies();

  // Gives what was collected.  It may be called once.
  Result Take(int64_t units);

 private:
  absl::Mutex mutex_;
  Result result_ ABSL_GUARDED_BY(mutex_);
};

// Measures the time on the clock, and that of a server's CPUs, from its
// construction on.
class Stopwatch {
 public:
  // `server` is a process; without one, only the clock is read.  All of its
  // threads are counted, also those that end meanwhile.
  explicit Stopwatch(std::optional<pid_t> server);

  // Gives one line of JSON: {"units":..,"seconds":..,"errors":..,
  // "latency_us":{"p50":..,"p99":..,"p999":..},"server_cpu_ns":..,..}.  What
  // was not measured is left out, and so is "first_error" without errors.
  std::string ToJson(const Result& result) const;

 private:
  std::optional<int64_t> ServerCpu() const;  // Nanoseconds.

  const std::optional<pid_t> server_;
  const std::optional<int64_t> cpu_;
  const Clock::time_point begin_;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_MEASUREMENT_H_
