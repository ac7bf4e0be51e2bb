#include "server/handover/handover_step.h"

#include <google/protobuf/descriptor.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace portreeve::server {

absl::string_view StepName(HandoverStep step) {
  switch (step) {
    case HandoverStep::kHello:
      return "hello";
    case HandoverStep::kFreeze:
      return "freeze";
    case HandoverStep::kContents:
      return "contents";
    case HandoverStep::kReady:
      return "ready";
    case HandoverStep::kCommit:
      return "commit";
    case HandoverStep::kServing:
      return "serving";
  }
  return "";
}

std::string Difference(const HandoverCounts& a, const HandoverCounts& b) {
  const auto* const type = HandoverCounts::descriptor();
  const auto* const get = HandoverCounts::GetReflection();
  for (int i = 0; i < type->field_count(); ++i) {
    const auto* const field = type->field(i);
    const int64_t in_a = get->GetInt64(a, field);
    const int64_t in_b = get->GetInt64(b, field);
    if (in_a != in_b) {
      return absl::StrCat(field->name(), ": ", in_a, ", not ", in_b);
    }
  }
  return "";
}

absl::string_view KindName(const internal::v1::Handover& message) {
  const auto* const field =
      internal::v1::Handover::descriptor()->FindFieldByNumber(
          static_cast<int>(message.kind_case()));
  return field == nullptr ? absl::string_view("unknown")
                          : absl::string_view(field->name());
}

}  // namespace portreeve::server
