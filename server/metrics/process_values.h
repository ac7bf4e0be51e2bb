// ProcessValues: what the kernel knows of this process.
#ifndef PORTREEVE_SERVER_METRICS_PROCESS_VALUES_H_
#define PORTREEVE_SERVER_METRICS_PROCESS_VALUES_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace portreeve::server {

struct ProcessValues {
  double cpu_seconds = 0;  // Of all threads, in user mode and in the kernel.
  int64_t resident_bytes = 0;
  int64_t open_fds = 0;
  int64_t max_fds = 0;
  double start_time = 0;  // Seconds since 1970.
};

// Asks /proc, which takes a system call for some of the descriptors that are
// open.  What cannot be read is 0.
// Threads: any.
ProcessValues ReadProcessValues();

// What /proc/PID/stat says, in the units of the kernel.
struct ProcessStat {
  int64_t cpu_ticks = 0;
  int64_t start_ticks = 0;  // Since the machine's start.
  int64_t resident_pages = 0;
};
// Gives nothing if `text` is not such a file.  (The name of the program, in
// it, may contain anything.)
std::optional<ProcessStat> ParseProcessStat(absl::string_view text);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_PROCESS_VALUES_H_
