// Parses the values of flags.  Every parser's error is INVALID_ARGUMENT, with
// the text and what was expected.
#ifndef PORTREEVE_CLIENT_CLI_VALUE_H_
#define PORTREEVE_CLIENT_CLI_VALUE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/generated_enum_reflection.h"
#include "portreeve/v1/connection.pb.h"

namespace portreeve::cli {

// Parse "10s", "500ms", "1h30m"; also negative durations, which the daemon
// judges.  What does not fit into google.protobuf.Duration is refused.
absl::StatusOr<absl::Duration> ParseDuration(const std::string& text);
absl::StatusOr<google::protobuf::Duration> ParseProtoDuration(
    const std::string& text);

// Parses a duration, or "unlimited".
absl::StatusOr<v1::BufferAgeLimit> ParseBufferAgeLimit(const std::string& text);

// Parse decimal numbers.
absl::StatusOr<int32_t> ParseInt32(const std::string& text);
absl::StatusOr<int64_t> ParseInt64(const std::string& text);

// Parses an octal number: "0660", "660".
absl::StatusOr<int32_t> ParseMode(const std::string& text);

// Parses "KEY=VALUE"; the value may be empty and may hold "=".
absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(
    const std::string& text);

// Parses "close-finished" as WAIT_FOR_CLOSE_FINISHED; `_` and capitals are
// taken, too.  The unspecified value is not.
absl::StatusOr<int> ParseEnum(const google::protobuf::EnumDescriptor& type,
                              const std::string& text);
// Gives what is taken, without the capitals.
std::vector<std::string> EnumTexts(
    const google::protobuf::EnumDescriptor& type);
template <typename Enum>
std::vector<std::string> EnumTexts() {
  return EnumTexts(*google::protobuf::GetEnumDescriptor<Enum>());
}
template <typename Enum>
absl::StatusOr<Enum> ParseEnum(const std::string& text) {
  absl::StatusOr<int> value =
      ParseEnum(*google::protobuf::GetEnumDescriptor<Enum>(), text);
  if (!value.ok()) return value.status();
  return static_cast<Enum>(*value);
}

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_VALUE_H_
