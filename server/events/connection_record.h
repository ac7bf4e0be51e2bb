// ConnectionRecord: what clients learn of a connection, and its forms: as a
// message, packed into few bytes, and encoded from these.
#ifndef PORTREEVE_SERVER_EVENTS_CONNECTION_RECORD_H_
#define PORTREEVE_SERVER_EVENTS_CONNECTION_RECORD_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/net/address.h"
#include "portreeve/v1/connection.pb.h"
#include "server/api/backward_writer.h"
#include "server/api/connection_failure.h"

namespace portreeve::server {

// What a connection was like at one moment, but for the name of its listener.
struct ConnectionRecord {
  int64_t id = 0;
  v1::Direction direction = v1::DIRECTION_UNSPECIFIED;
  v1::ConnectionState state = v1::CONNECTION_STATE_UNSPECIFIED;
  v1::CloseReason close_reason = v1::CLOSE_REASON_UNSPECIFIED;
  const AnyAddress* peer = nullptr;      // Null: none, as while it is OPENING.
  const AnyAddress* local = nullptr;     // The same.
  const AnyAddress* upstream = nullptr;  // Null: none.
  int64_t bytes_received = 0;
  int64_t bytes_sent = 0;
  int64_t bytes_to_write = 0;
  int64_t create_time = 0;  // Nanoseconds since 1970, as close_time.
  int64_t close_time = 0;   // 0: not closed yet.
  const ConnectionFailure* failure = nullptr;  // Null: none.
};

v1::Connection ToProto(const ConnectionRecord& record,
                       const std::string& listener_name);

// The bytes of a record.  There are 35 for a connection over IPv4 that is open
// and has neither sent nor received anything, 67 for one that was closed and
// has.  A failure takes its message and 7 more.
class PackedConnection {
 public:
  absl::string_view bytes() const { return {buffer_.data(), size_}; }

 private:
  friend PackedConnection Pack(const ConnectionRecord& record);
  // Three unix paths, all numbers and the longest message fit.
  static constexpr size_t kMaxBytes = 920;
  size_t size_ = 0;
  std::array<char, kMaxBytes> buffer_;  // Not initialized from size_ on.
};
PackedConnection Pack(const ConnectionRecord& record);

// Whether `bytes` are what Pack() can have made, so that they can be read: of
// what another process has packed nobody knows it.
bool IsPacked(absl::string_view bytes);

// Writes the fields of the v1::Connection that ToProto() makes of what was
// packed.
void WriteConnection(absl::string_view packed, absl::string_view listener_name,
                     BackwardWriter& writer);

// Gives the id of the connection that was packed.
int64_t IdOf(absl::string_view packed);

// Gives when the connection that was packed was closed, or else created.
int64_t LastTimeOf(absl::string_view packed);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_CONNECTION_RECORD_H_
