#include "bench/load_run.h"

#include <cstdio>
#include <cstring>
#include <ctime>

namespace portreeve::bench {
namespace {

uint64_t CpuNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

void AwaitLine() {
  int c;
  while ((c = std::getchar()) != EOF && c != '\n') {
  }
}

double Seconds(uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e9;
}

double Microseconds(uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e3;
}

}  // namespace

void LoadRun::Fail(const std::string& what, int code) {
  if (errors_++ > 0) return;
  first_error_ = what;
  if (code != 0) first_error_ += std::string(": ") + std::strerror(code);
}

void LoadRun::Begin() {
  if (options.gate) {
    std::puts("ready");
    std::fflush(stdout);
    AwaitLine();
  }
  begin_cpu_ = CpuNanoseconds();
  begin_ = NowNanoseconds();
}

void LoadRun::End() {
  const uint64_t end = NowNanoseconds();
  std::printf(
      "{\"mode\": \"%s\", \"units\": %llu, \"seconds\": %.6f, "
      "\"latency_us\": {\"count\": %llu, \"p50\": %.1f, \"p99\": %.1f, "
      "\"p999\": %.1f, \"max\": %.1f}, \"aborted\": %llu, \"late\": %llu, "
      "\"errors\": %llu, "
      "\"first_error\": \"%s\", \"cpu_seconds\": %.6f}\n",
      options.mode.c_str(), static_cast<unsigned long long>(units),
      Seconds(end - begin_), static_cast<unsigned long long>(latencies.count()),
      Microseconds(latencies.Quantile(0.5)),
      Microseconds(latencies.Quantile(0.99)),
      Microseconds(latencies.Quantile(0.999)), Microseconds(latencies.max()),
      static_cast<unsigned long long>(aborted),
      static_cast<unsigned long long>(late),
      static_cast<unsigned long long>(errors_), first_error_.c_str(),
      Seconds(CpuNanoseconds() - begin_cpu_));
  std::fflush(stdout);
  if (options.gate) AwaitLine();
}

}  // namespace portreeve::bench
