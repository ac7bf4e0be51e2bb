#include "server/api/progress_interval.h"

#include "lib/base/status.h"
#include "server/api/convert.h"

namespace portreeve::server {

absl::StatusOr<Duration> ProgressInterval(
    const google::protobuf::Duration& interval, absl::string_view field) {
  const auto converted = FromProto(interval, field, DurationRange::kPositive);
  if (!converted.ok()) return converted;
  if (*converted < kMinProgressInterval || *converted > kMaxProgressInterval) {
    return InvalidField(field, "must be 1 s to 1 h");
  }
  return converted;
}

}  // namespace portreeve::server
