#include "server/api/timestamp.h"

#include <chrono>

namespace portreeve::server {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// The nanoseconds of a time before 1970 count forward, too.
int64_t NanosOf(int64_t unix_nanos) {
  const int64_t nanos = unix_nanos % kNanosPerSecond;
  return nanos < 0 ? nanos + kNanosPerSecond : nanos;
}
int64_t SecondsOf(int64_t unix_nanos) {
  return unix_nanos / kNanosPerSecond - (unix_nanos % kNanosPerSecond < 0);
}

}  // namespace

int64_t UnixNanosNow() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

google::protobuf::Timestamp TimestampOf(int64_t unix_nanos) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(SecondsOf(unix_nanos));
  timestamp.set_nanos(static_cast<int32_t>(NanosOf(unix_nanos)));
  return timestamp;
}

int64_t UnixNanosOf(const google::protobuf::Timestamp& time) {
  return time.seconds() * kNanosPerSecond + time.nanos();
}

void WriteTimestamp(int field, int64_t unix_nanos, BackwardWriter& writer) {
  using Message = google::protobuf::Timestamp;
  const size_t end = writer.size();
  writer.Int(Message::kNanosFieldNumber, NanosOf(unix_nanos));
  writer.Int(Message::kSecondsFieldNumber, SecondsOf(unix_nanos));
  writer.Message(field, end);
}

}  // namespace portreeve::server
