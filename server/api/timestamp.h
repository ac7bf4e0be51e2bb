// Times of the calendar, as nanoseconds since 1970 and as protobuf has them.
#ifndef PORTREEVE_SERVER_API_TIMESTAMP_H_
#define PORTREEVE_SERVER_API_TIMESTAMP_H_

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

#include "server/api/backward_writer.h"

namespace portreeve::server {

// Gives the present time.
int64_t UnixNanosNow();

google::protobuf::Timestamp TimestampOf(int64_t unix_nanos);
int64_t UnixNanosOf(const google::protobuf::Timestamp& time);

inline google::protobuf::Timestamp TimestampNow() {
  return TimestampOf(UnixNanosNow());
}

// Writes TimestampOf(unix_nanos) as the field `field`.
void WriteTimestamp(int field, int64_t unix_nanos, BackwardWriter& writer);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_TIMESTAMP_H_
