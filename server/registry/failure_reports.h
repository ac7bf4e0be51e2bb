// FailureReports: which failures of a listener's connections the log tells.
#ifndef PORTREEVE_SERVER_REGISTRY_FAILURE_REPORTS_H_
#define PORTREEVE_SERVER_REGISTRY_FAILURE_REPORTS_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// Each reason is told at once when it is new, and then once a minute at most,
// with how many there were.  So a reason that has changed is told at once, and
// two that alternate do not fill the log.  It has no clock.
class FailureReports {
 public:
  static constexpr std::chrono::minutes kInterval{1};

  // A connection has failed for `reason`, a text that lives for ever.  Gives 0
  // where that is not told now, and else how many have failed for that reason
  // since it was told last, this one included.
  int64_t OnFailure(absl::string_view reason, TimePoint now);

 private:
  struct Report {
    absl::string_view reason;
    TimePoint last;
    int64_t count;  // Since then.
  };
  std::vector<Report> reports_;  // One for each reason that there has been.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_FAILURE_REPORTS_H_
