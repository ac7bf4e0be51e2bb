#include "server/api/convert.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <limits>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::chrono::hours kHundredYears{24 * 365 * 100};

absl::Status UnknownEnumValue(absl::string_view field, int value) {
  return InvalidField(field, absl::StrCat("unknown value ", value));
}

}  // namespace

absl::StatusOr<Duration> FromProto(const google::protobuf::Duration& duration,
                                   absl::string_view field,
                                   DurationRange range) {
  constexpr int32_t kNanosPerSecond = 1'000'000'000;
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  const bool valid = seconds >= TimeUtil::kDurationMinSeconds &&
                     seconds <= TimeUtil::kDurationMaxSeconds &&
                     nanos > -kNanosPerSecond && nanos < kNanosPerSecond &&
                     !(seconds < 0 && nanos > 0) && !(seconds > 0 && nanos < 0);
  if (!valid) return InvalidField(field, "is no valid duration");
  if (seconds < 0 || nanos < 0) {
    return InvalidField(field, "must not be negative");
  }
  if (seconds == 0 && nanos == 0 && range == DurationRange::kPositive) {
    return InvalidField(field, "must be greater than 0");
  }
  if (std::chrono::seconds(seconds) >= kHundredYears) return kHundredYears;
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
}

absl::StatusOr<BufferAgeLimit> FromProto(const v1::BufferAgeLimit& limit) {
  switch (limit.kind_case()) {
    case v1::BufferAgeLimit::kAtMost: {
      const auto at_most =
          FromProto(limit.at_most(), "at_most", DurationRange::kPositive);
      if (!at_most.ok()) return at_most.status();
      return BufferAgeLimit::AtMost(*at_most);
    }
    case v1::BufferAgeLimit::kUnlimited:
      return BufferAgeLimit::Unlimited();
    case v1::BufferAgeLimit::KIND_NOT_SET:
      break;
  }
  return BufferAgeLimit();
}

absl::StatusOr<ExistingConnections> FromProto(
    v1::ExistingConnections existing) {
  switch (existing) {
    case v1::EXISTING_CONNECTIONS_UNSPECIFIED:
    case v1::EXISTING_CONNECTIONS_LEAVE:
      return ExistingConnections::kLeave;
    case v1::EXISTING_CONNECTIONS_CLOSE:
      return ExistingConnections::kClose;
    case v1::EXISTING_CONNECTIONS_RESET:
      return ExistingConnections::kReset;
    default:
      return UnknownEnumValue("existing_connections", existing);
  }
}

absl::StatusOr<ExistingConnections> FromProto(v1::CloseMode mode) {
  switch (mode) {
    case v1::CLOSE_MODE_UNSPECIFIED:
    case v1::CLOSE_MODE_CLOSE:
      return ExistingConnections::kClose;
    case v1::CLOSE_MODE_RESET:
      return ExistingConnections::kReset;
    default:
      return UnknownEnumValue("mode", mode);
  }
}

absl::StatusOr<v1::WaitFor> CheckWaitFor(v1::WaitFor wait_for) {
  if (!v1::WaitFor_IsValid(wait_for)) {
    return UnknownEnumValue("wait_for", wait_for);
  }
  return wait_for == v1::WAIT_FOR_UNSPECIFIED ? v1::WAIT_FOR_CLOSE_FINISHED
                                              : wait_for;
}

v1::Address ToProto(const AnyAddress& address) {
  v1::Address message;
  if (const auto* inet = std::get_if<Inet::Address>(&address)) {
    message.mutable_inet()->set_address(inet->address().to_string());
    message.mutable_inet()->set_port(inet->port());
  } else {
    message.mutable_unix_socket()->set_path(
        EscapeNonUtf8(std::get<Unix::Address>(address).path()));
  }
  return message;
}

v1::CloseReason ToProto(CloseReason reason) {
  // The two enums have the same order.
  static_assert(static_cast<int>(CloseReason::kPeerClosed) ==
                v1::CLOSE_REASON_PEER_CLOSED);
  static_assert(static_cast<int>(CloseReason::kListenerClosed) ==
                v1::CLOSE_REASON_LISTENER_CLOSED);
  static_assert(static_cast<int>(CloseReason::kShutdown) ==
                v1::CLOSE_REASON_SHUTDOWN);
  return static_cast<v1::CloseReason>(reason);
}

CloseReason FromProto(v1::CloseReason reason) {
  constexpr auto kLast = static_cast<int>(CloseReason::kShutdown);
  return reason < 0 || reason > kLast ? CloseReason::kNone
                                      : static_cast<CloseReason>(reason);
}

v1::CloseCause ToProto(CloseCause cause) {
  switch (cause) {
    case CloseCause::kCalled:
      return v1::CLOSE_CAUSE_CALLED;
    case CloseCause::kHandlerError:
      return v1::CLOSE_CAUSE_HANDLER_ERROR;
    case CloseCause::kAcceptFailed:
      return v1::CLOSE_CAUSE_ACCEPT_FAILED;
    case CloseCause::kShutdown:
      return v1::CLOSE_CAUSE_SHUTDOWN;
  }
  return v1::CLOSE_CAUSE_UNSPECIFIED;
}

std::optional<CloseCause> FromProto(v1::CloseCause cause) {
  switch (cause) {
    case v1::CLOSE_CAUSE_CALLED:
      return CloseCause::kCalled;
    case v1::CLOSE_CAUSE_HANDLER_ERROR:
      return CloseCause::kHandlerError;
    case v1::CLOSE_CAUSE_ACCEPT_FAILED:
      return CloseCause::kAcceptFailed;
    case v1::CLOSE_CAUSE_SHUTDOWN:
      return CloseCause::kShutdown;
    default:
      return std::nullopt;
  }
}

v1::TcpInfo ToProto(const TcpInfo& info) {
  const auto micros = [](std::chrono::microseconds duration) {
    return TimeUtil::MicrosecondsToDuration(duration.count());
  };
  v1::TcpInfo message;
  message.set_state(std::string(info.state));
  *message.mutable_rtt() = micros(info.rtt);
  *message.mutable_rtt_variation() = micros(info.rtt_variation);
  message.set_retransmits_total(info.retransmits_total);
  message.set_retransmits(info.retransmits);
  message.set_congestion_window(info.congestion_window);
  message.set_segment_size(info.segment_size);
  message.set_unacknowledged_segments(info.unacknowledged_segments);
  message.set_unsent_bytes(info.unsent_bytes);
  message.set_acknowledged_bytes(info.acknowledged_bytes);
  message.set_received_bytes(info.received_bytes);
  *message.mutable_since_sent() = micros(info.since_sent);
  *message.mutable_since_received() = micros(info.since_received);
  return message;
}

v1::HandlerVerdict ToProto(HandlerErrorOutcome outcome) {
  return outcome == HandlerErrorOutcome::kRaised ? v1::HANDLER_VERDICT_RAISE
                                                 : v1::HANDLER_VERDICT_RETURN;
}

}  // namespace portreeve::server
