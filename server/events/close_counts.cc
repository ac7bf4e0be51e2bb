#include "server/events/close_counts.h"

#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/api/connection_failure.h"

namespace portreeve::server {
namespace {

absl::string_view NameOf(v1::CloseReason reason) {
  return absl::StripPrefix(v1::CloseReason_Name(reason), "CLOSE_REASON_");
}

std::string KeyOf(Reason failure) {
  return absl::StrCat(NameOf(v1::CLOSE_REASON_UPSTREAM_UNREACHABLE), "/",
                      FailureReasonName(failure));
}

void WriteEntry(int field, absl::string_view key, int64_t count,
                BackwardWriter& writer) {
  const size_t end = writer.size();
  writer.Int(2, count);
  writer.String(1, key);
  writer.Message(field, end);
}

}  // namespace

int64_t CloseCounts::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
}

void CloseCounts::Add(const CloseCounts& other) {
  any_ = any_ || other.any_;
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  for (size_t i = 0; i < failures_.size(); ++i) {
    failures_[i] += other.failures_[i];
  }
}

void CloseCounts::Restore(
    const google::protobuf::Map<std::string, int64_t>& counts) {
  *this = CloseCounts();
  // Nothing fails for kNone, whose name is that of kOther.
  for (size_t i = static_cast<size_t>(Reason::kNone) + 1; i < failures_.size();
       ++i) {
    const auto found = counts.find(KeyOf(static_cast<Reason>(i)));
    if (found != counts.end()) failures_[i] = found->second;
  }
  for (size_t i = 0; i < counts_.size(); ++i) {
    const auto found =
        counts.find(std::string(NameOf(static_cast<v1::CloseReason>(i))));
    if (found == counts.end()) continue;
    counts_[i] = found->second;
    any_ = true;
  }
}

google::protobuf::Map<std::string, int64_t> CloseCounts::Save() const {
  google::protobuf::Map<std::string, int64_t> counts;
  for (size_t i = 0; i < failures_.size(); ++i) {
    if (failures_[i] == 0) continue;
    counts[KeyOf(static_cast<Reason>(i))] = failures_[i];
  }
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    counts[std::string(NameOf(static_cast<v1::CloseReason>(i)))] = counts_[i];
  }
  return counts;
}

void CloseCounts::Write(int field, BackwardWriter& writer) const {
  if (!any_) return;
  for (size_t i = 0; i < failures_.size(); ++i) {
    if (failures_[i] == 0) continue;
    WriteEntry(field, KeyOf(static_cast<Reason>(i)), failures_[i], writer);
  }
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    WriteEntry(field, NameOf(static_cast<v1::CloseReason>(i)), counts_[i],
               writer);
  }
}

}  // namespace portreeve::server
