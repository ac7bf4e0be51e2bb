// How often a stream that has nothing to tell says that it lives.
#ifndef PORTREEVE_SERVER_API_PROGRESS_INTERVAL_H_
#define PORTREEVE_SERVER_API_PROGRESS_INTERVAL_H_

#include <chrono>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/duration.pb.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// More often is a load, and no proxy cuts what has been idle for a second.
inline constexpr std::chrono::seconds kMinProgressInterval{1};
// More seldom is of no use to anybody.
inline constexpr std::chrono::hours kMaxProgressInterval{1};

// Converts `progress_interval` of a request.  Errors: INVALID_FIELD for `field`
// beyond these limits.
absl::StatusOr<Duration> ProgressInterval(
    const google::protobuf::Duration& interval, absl::string_view field);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_PROGRESS_INTERVAL_H_
