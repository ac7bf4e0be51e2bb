// Conversions between the messages of portreeve.v1 and the values of the
// library.
#ifndef PORTREEVE_SERVER_API_CONVERT_H_
#define PORTREEVE_SERVER_API_CONVERT_H_

#include <google/protobuf/duration.pb.h>

#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/close_reason.h"
#include "lib/net/tcp_info.h"
#include "lib/net/where.h"
#include "lib/serve/any_server.h"
#include "lib/serve/stream_connection.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/handler.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

using AnyWhereToListen = std::variant<WhereToListen<Inet>, WhereToListen<Unix>>;
using AnyWhereToConnect =
    std::variant<WhereToConnect<Inet>, WhereToConnect<Unix>>;

// Convert from messages.  Each checks everything.  Errors: INVALID_FIELD, with
// the path from the message, or without one where no kind is set.
absl::StatusOr<AnyWhereToListen> FromProto(const v1::WhereToListen& where);
absl::StatusOr<AnyWhereToConnect> FromProto(const v1::WhereToConnect& where);
absl::StatusOr<BufferAgeLimit> FromProto(const v1::BufferAgeLimit& limit);

// Which durations a field takes.
enum class DurationRange { kPositive, kNotNegative };

// Converts a duration that is as protobuf wants it: at most 10 000 years, nanos
// below a second and of the same sign.  What is longer than 100 years becomes
// 100 years, which the library can add to any time.  Errors: INVALID_FIELD for
// `field`.
absl::StatusOr<Duration> FromProto(const google::protobuf::Duration& duration,
                                   absl::string_view field,
                                   DurationRange range);

// Convert enums.  Errors: INVALID_FIELD for a value that this version does not
// know.
absl::StatusOr<ExistingConnections> FromProto(v1::ExistingConnections existing);
absl::StatusOr<ExistingConnections> FromProto(v1::CloseMode mode);
// Gives nullopt for a value that this version does not know.
std::optional<CloseCause> FromProto(v1::CloseCause cause);
// Gives kNone for one that this version does not know.
CloseReason FromProto(v1::CloseReason reason);
// Gives `wait_for`, or the default in place of UNSPECIFIED.
absl::StatusOr<v1::WaitFor> CheckWaitFor(v1::WaitFor wait_for);

// Convert to messages.
v1::Address ToProto(const AnyAddress& address);
v1::CloseReason ToProto(CloseReason reason);
v1::CloseCause ToProto(CloseCause cause);
v1::TcpInfo ToProto(const TcpInfo& info);
v1::HandlerVerdict ToProto(HandlerErrorOutcome outcome);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_CONVERT_H_
