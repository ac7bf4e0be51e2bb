#include "server/api/checked_spec.h"

#include <chrono>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

constexpr int kDefaultConnectSeconds = 30;
constexpr int kDefaultClaimSeconds = 10;

// Each of these checks a part of `spec`, fills its defaults in, and gives what
// it has parsed by the arguments after that.

absl::Status CheckWhereToListen(v1::ListenerSpec& spec,
                                AnyWhereToListen& parsed) {
  auto where = FromProto(spec.where_to_listen());
  if (!where.ok()) return WithFieldPrefix(where.status(), "where_to_listen");
  v1::WhereToListen& filled = *spec.mutable_where_to_listen();
  if (filled.has_inet()) {
    const auto& inet = std::get<WhereToListen<Inet>>(*where);
    filled.mutable_inet()->set_reuse_address(inet.reuse_address);
    if (filled.inet().address().empty()) {
      filled.mutable_inet()->set_address(inet.address.to_string());
    }
  } else if (!IsAbstract(filled.unix_socket().path())) {
    const auto& unix_socket = std::get<WhereToListen<Unix>>(*where);
    filled.mutable_unix_socket()->set_mode(unix_socket.mode);
  }
  parsed = *std::move(where);
  return absl::OkStatus();
}

absl::Status CheckForward(v1::Handler::Forward& forward,
                          std::optional<CheckedSpec::Forward>& parsed) {
  auto upstream = FromProto(forward.upstream());
  if (!upstream.ok()) return WithFieldPrefix(upstream.status(), "upstream");
  if (!forward.has_connect_timeout()) {
    forward.mutable_connect_timeout()->set_seconds(kDefaultConnectSeconds);
  }
  const auto timeout = FromProto(forward.connect_timeout(), "connect_timeout",
                                 DurationRange::kPositive);
  if (!timeout.ok()) return timeout.status();
  parsed = CheckedSpec::Forward{*std::move(upstream), *timeout};
  return absl::OkStatus();
}

absl::Status CheckRemote(v1::Handler::Remote& remote,
                         std::optional<CheckedSpec::Remote>& parsed) {
  if (!remote.has_claim_timeout()) {
    remote.mutable_claim_timeout()->set_seconds(kDefaultClaimSeconds);
  }
  const auto timeout = FromProto(remote.claim_timeout(), "claim_timeout",
                                 DurationRange::kPositive);
  if (!timeout.ok()) return timeout.status();
  parsed = CheckedSpec::Remote{*timeout};
  return absl::OkStatus();
}

absl::Status CheckHandler(v1::ListenerSpec& spec,
                          std::optional<CheckedSpec::Forward>& forward,
                          std::optional<CheckedSpec::Remote>& remote) {
  switch (spec.handler().kind_case()) {
    case v1::Handler::kEcho:
    case v1::Handler::kDiscard:
      return absl::OkStatus();
    case v1::Handler::kForward:
      return WithFieldPrefix(
          CheckForward(*spec.mutable_handler()->mutable_forward(), forward),
          "handler.forward");
    case v1::Handler::kRemote:
      return WithFieldPrefix(
          CheckRemote(*spec.mutable_handler()->mutable_remote(), remote),
          "handler.remote");
    case v1::Handler::KIND_NOT_SET:
      break;
  }
  return WithFieldPrefix(InvalidMessage("one of `echo`, `discard`, `forward` "
                                        "and `remote` must be set"),
                         "handler");
}

absl::Status CheckLimits(v1::ListenerSpec& spec, ServerOptions& options) {
  const ServerOptions defaults;
  if (!spec.has_max_connections()) {
    spec.set_max_connections(DefaultMaxConnections());
  }
  if (!spec.has_max_pending_connections()) {
    spec.set_max_pending_connections(kDefaultMaxPendingConnections);
  }
  if (!spec.has_max_accepts_per_batch()) {
    spec.set_max_accepts_per_batch(defaults.max_accepts_per_batch);
  }
  options.max_connections = spec.max_connections();
  options.max_pending_connections = spec.max_pending_connections();
  options.max_accepts_per_batch = spec.max_accepts_per_batch();
  return Validate(options);
}

absl::Status CheckBufferAgeLimit(v1::ListenerSpec& spec,
                                 BufferAgeLimit& parsed) {
  const auto limit = FromProto(spec.buffer_age_limit());
  if (!limit.ok()) return WithFieldPrefix(limit.status(), "buffer_age_limit");
  if (spec.buffer_age_limit().kind_case() == v1::BufferAgeLimit::KIND_NOT_SET) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(*limit->at_most());
    spec.mutable_buffer_age_limit()->mutable_at_most()->set_seconds(
        seconds.count());
  }
  parsed = *limit;
  return absl::OkStatus();
}

absl::Status CheckOptions(v1::ListenerSpec& spec, ServerOptions& options) {
  if (auto s = CheckLimits(spec, options); !s.ok()) return s;
  if (auto s = CheckBufferAgeLimit(spec, options.buffer_age_limit); !s.ok()) {
    return s;
  }
  options.drop_incoming_connections = spec.drop_incoming_connections();
  // The connection to the upstream counts, too.
  options.descriptors_per_connection = spec.handler().has_forward() ? 2 : 1;
  return absl::OkStatus();
}

absl::Status CheckOnHandlerError(v1::ListenerSpec& spec) {
  if (!v1::OnHandlerError_IsValid(spec.on_handler_error())) {
    return InvalidField(
        "on_handler_error",
        absl::StrCat("unknown value ", spec.on_handler_error()));
  }
  if (spec.on_handler_error() == v1::ON_HANDLER_ERROR_UNSPECIFIED) {
    spec.set_on_handler_error(v1::ON_HANDLER_ERROR_RAISE);
  }
  if (spec.on_handler_error() == v1::ON_HANDLER_ERROR_CALL &&
      !spec.handler().has_remote()) {
    return InvalidField("on_handler_error",
                        "CALL needs a `remote` handler, which can be called");
  }
  return absl::OkStatus();
}

absl::Status CheckAccessLog(v1::ListenerSpec& spec,
                            CheckedSpec::AccessLog& parsed) {
  if (!spec.has_access_log()) return absl::OkStatus();
  v1::AccessLog& log = *spec.mutable_access_log();
  if (!v1::AccessLogMode_IsValid(log.mode())) {
    return InvalidField("mode", absl::StrCat("unknown value ", log.mode()));
  }
  if (log.mode() == v1::ACCESS_LOG_MODE_UNSPECIFIED) {
    log.set_mode(v1::ACCESS_LOG_MODE_ON_CLOSE);
  }
  parsed.on_open = log.mode() == v1::ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE;
  parsed.on_close = log.mode() != v1::ACCESS_LOG_MODE_OFF;
  if (!log.has_every()) return absl::OkStatus();
  const auto every = FromProto(log.every(), "every", DurationRange::kPositive);
  if (!every.ok()) return every.status();
  if (*every < kMinAccessLogEvery || *every > kMaxAccessLogEvery) {
    return InvalidField("every", "must be from 1 s to 24 h");
  }
  if (!parsed.on_close) {
    return InvalidField("every", "there are no lines with mode OFF");
  }
  parsed.every = *every;
  return absl::OkStatus();
}

absl::Status CheckLabels(const v1::ListenerSpec& spec) {
  if (spec.labels_size() > kMaxLabels) {
    return InvalidField("labels", absl::StrCat("at most ", kMaxLabels));
  }
  size_t bytes = 0;
  for (const auto& [key, value] : spec.labels()) {
    bytes += key.size() + value.size();
    if (key.empty() || key.size() > kMaxLabelKeyBytes) {
      return InvalidField("labels", absl::StrCat("a key must be 1-",
                                                 kMaxLabelKeyBytes, " bytes"));
    }
    if (value.size() > kMaxLabelValueBytes) {
      return InvalidField("labels",
                          absl::StrCat("a value must be at most ",
                                       kMaxLabelValueBytes, " bytes"));
    }
  }
  if (bytes <= kMaxLabelsBytes) return absl::OkStatus();
  return InvalidField(
      "labels", absl::StrCat("at most ", kMaxLabelsBytes, " bytes together"));
}

}  // namespace

absl::StatusOr<SharedSpec> CheckAndFill(v1::ListenerSpec spec) {
  const std::shared_ptr<CheckedSpec> checked(new CheckedSpec);
  v1::ListenerSpec& message = checked->message_;
  message = std::move(spec);
  if (auto s = CheckWhereToListen(message, checked->where_to_listen_);
      !s.ok()) {
    return s;
  }
  if (auto s = CheckHandler(message, checked->forward_, checked->remote_);
      !s.ok()) {
    return s;
  }
  if (auto s = CheckOptions(message, checked->options_); !s.ok()) return s;
  if (auto s = CheckOnHandlerError(message); !s.ok()) return s;
  if (auto s = CheckLabels(message); !s.ok()) return s;
  if (auto s = CheckAccessLog(message, checked->access_log_); !s.ok()) {
    return WithFieldPrefix(s, "access_log");
  }
  checked->encoded_ = message.SerializeAsString();
  return SharedSpec(checked);
}

}  // namespace portreeve::server
