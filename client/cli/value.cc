#include "client/cli/value.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/descriptor.h"

namespace portreeve::cli {
namespace {

// The most that google.protobuf.Duration takes.
constexpr absl::Duration kMaxDuration = absl::Seconds(315'576'000'000);

absl::Status Wrong(const std::string& text, const std::string& expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "': expected ", expected));
}

// "WAIT_FOR_" of WaitFor: by the style guide of protobuf every value has it.
std::string Prefix(const google::protobuf::EnumDescriptor& type) {
  const std::string& zero = type.FindValueByNumber(0)->name();
  return zero.substr(0, zero.size() - std::string("UNSPECIFIED").size());
}

std::string FlagText(const std::string& value_name, const std::string& prefix) {
  return absl::StrReplaceAll(
      absl::AsciiStrToLower(value_name.substr(prefix.size())), {{"_", "-"}});
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) ||
      absl::AbsDuration(duration) > kMaxDuration) {
    return Wrong(text, "a duration with its unit, like 10s, 500ms or 1h30m");
  }
  return duration;
}

absl::StatusOr<google::protobuf::Duration> ParseProtoDuration(
    const std::string& text) {
  absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  if (!duration.ok()) return duration.status();
  google::protobuf::Duration result;
  result.set_seconds(
      absl::IDivDuration(*duration, absl::Seconds(1), &*duration));
  result.set_nanos(static_cast<int32_t>(
      absl::IDivDuration(*duration, absl::Nanoseconds(1), &*duration)));
  return result;
}

absl::StatusOr<v1::BufferAgeLimit> ParseBufferAgeLimit(
    const std::string& text) {
  v1::BufferAgeLimit limit;
  if (text == "unlimited") {
    limit.mutable_unlimited();
    return limit;
  }
  absl::StatusOr<google::protobuf::Duration> at_most = ParseProtoDuration(text);
  if (!at_most.ok()) {
    return Wrong(text, "'unlimited' or a duration with its unit, like 10s");
  }
  *limit.mutable_at_most() = *at_most;
  return limit;
}

absl::StatusOr<int32_t> ParseInt32(const std::string& text) {
  int32_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return Wrong(text, "a whole number of at most 2147483647");
  }
  return value;
}

absl::StatusOr<int64_t> ParseInt64(const std::string& text) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return Wrong(text, "a whole number of at most 9223372036854775807");
  }
  return value;
}

absl::StatusOr<int32_t> ParseMode(const std::string& text) {
  const bool octal = !text.empty() && text.size() <= 9 &&
                     text.find_first_not_of("01234567") == std::string::npos;
  if (!octal) return Wrong(text, "permission bits in octal, like 0660");
  return static_cast<int32_t>(std::stol(text, nullptr, 8));
}

absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(
    const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Wrong(text, "KEY=VALUE");
  }
  return std::make_pair(text.substr(0, equals), text.substr(equals + 1));
}

absl::StatusOr<int> ParseEnum(const google::protobuf::EnumDescriptor& type,
                              const std::string& text) {
  const std::string prefix = Prefix(type);
  const std::string wanted =
      absl::StrReplaceAll(absl::AsciiStrToLower(text), {{"_", "-"}});
  for (int i = 0; i < type.value_count(); ++i) {
    const google::protobuf::EnumValueDescriptor& value = *type.value(i);
    if (value.number() == 0) continue;
    if (FlagText(value.name(), prefix) == wanted) return value.number();
  }
  return Wrong(text,
               absl::StrCat("one of ", absl::StrJoin(EnumTexts(type), ", ")));
}

std::vector<std::string> EnumTexts(
    const google::protobuf::EnumDescriptor& type) {
  std::vector<std::string> texts;
  for (int i = 0; i < type.value_count(); ++i) {
    const google::protobuf::EnumValueDescriptor& value = *type.value(i);
    if (value.number() == 0) continue;
    texts.push_back(FlagText(value.name(), Prefix(type)));
  }
  return texts;
}

}  // namespace portreeve::cli
