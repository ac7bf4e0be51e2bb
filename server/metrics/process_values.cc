#include "server/metrics/process_values.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace portreeve::server {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Gives when the machine was started, in seconds since 1970.
double BootTime() {
  for (absl::string_view line : absl::StrSplit(ReadFile("/proc/stat"), '\n')) {
    double time = 0;
    if (absl::ConsumePrefix(&line, "btime ") && absl::SimpleAtod(line, &time)) {
      return time;
    }
  }
  return 0;
}

int64_t CountOpenFds() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int64_t count = 0;
  while (const dirent* const entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  (void)closedir(directory);
  return count - 1;  // That of the directory itself.
}

int64_t MaxFds() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace

std::optional<ProcessStat> ParseProcessStat(absl::string_view text) {
  // The places of the fields in proc(5), less those of the first two.
  constexpr size_t kUserTicks = 11;
  constexpr size_t kKernelTicks = 12;
  constexpr size_t kStartTicks = 19;
  constexpr size_t kResidentPages = 21;
  const size_t name_end = text.rfind(')');
  if (name_end == absl::string_view::npos) return std::nullopt;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text.substr(name_end + 1), ' ', absl::SkipWhitespace());
  if (fields.size() <= kResidentPages) return std::nullopt;
  ProcessStat stat;
  int64_t kernel_ticks = 0;
  if (!absl::SimpleAtoi(fields[kUserTicks], &stat.cpu_ticks) ||
      !absl::SimpleAtoi(fields[kKernelTicks], &kernel_ticks) ||
      !absl::SimpleAtoi(fields[kStartTicks], &stat.start_ticks) ||
      !absl::SimpleAtoi(fields[kResidentPages], &stat.resident_pages)) {
    return std::nullopt;
  }
  stat.cpu_ticks += kernel_ticks;
  return stat;
}

ProcessValues ReadProcessValues() {
  ProcessValues values;
  const auto stat = ParseProcessStat(ReadFile("/proc/self/stat"));
  if (stat) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    values.cpu_seconds = static_cast<double>(stat->cpu_ticks) / ticks;
    // /proc/stat is long, and what is wanted of it stays.
    static const double boot_time = BootTime();
    values.start_time =
        boot_time + static_cast<double>(stat->start_ticks) / ticks;
    values.resident_bytes = stat->resident_pages * sysconf(_SC_PAGESIZE);
  }
  values.open_fds = CountOpenFds();
  values.max_fds = MaxFds();
  return values;
}

}  // namespace portreeve::server
