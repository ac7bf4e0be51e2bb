#include "server/registry/failure_reports.h"

#include <utility>

namespace portreeve::server {

int64_t FailureReports::OnFailure(absl::string_view reason, TimePoint now) {
  for (Report& report : reports_) {
    if (report.reason != reason) continue;
    ++report.count;
    if (now - report.last < kInterval) return 0;
    report.last = now;
    return std::exchange(report.count, 0);
  }
  reports_.push_back(Report{reason, now, 0});
  return 1;
}

}  // namespace portreeve::server
