#include "server/api/spec.h"

#include <google/protobuf/util/field_mask_util.h>

#include <chrono>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/serve/server_options.h"
#include "server/api/convert.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

constexpr int kDefaultConnectSeconds = 30;
constexpr int kDefaultClaimSeconds = 10;
constexpr char kImmutable[] = "spec.where_to_listen";

absl::Status CheckWhereToListen(v1::ListenerSpec& spec) {
  const auto where = FromProto(spec.where_to_listen());
  if (!where.ok()) return WithFieldPrefix(where.status(), "where_to_listen");
  v1::WhereToListen& filled = *spec.mutable_where_to_listen();
  if (filled.has_inet()) {
    const auto& inet = std::get<WhereToListen<Inet>>(*where);
    filled.mutable_inet()->set_reuse_address(inet.reuse_address);
    if (filled.inet().address().empty()) {
      filled.mutable_inet()->set_address(inet.address.to_string());
    }
  } else {
    const auto& unix_socket = std::get<WhereToListen<Unix>>(*where);
    filled.mutable_unix_socket()->set_mode(unix_socket.mode);
  }
  return absl::OkStatus();
}

absl::Status CheckForward(v1::Handler::Forward& forward) {
  const auto upstream = FromProto(forward.upstream());
  if (!upstream.ok()) return WithFieldPrefix(upstream.status(), "upstream");
  if (!forward.has_connect_timeout()) {
    forward.mutable_connect_timeout()->set_seconds(kDefaultConnectSeconds);
  }
  return FromProto(forward.connect_timeout(), "connect_timeout",
                   DurationRange::kPositive)
      .status();
}

absl::Status CheckRemote(v1::Handler::Remote& remote) {
  if (!remote.has_claim_timeout()) {
    remote.mutable_claim_timeout()->set_seconds(kDefaultClaimSeconds);
  }
  return FromProto(remote.claim_timeout(), "claim_timeout",
                   DurationRange::kPositive)
      .status();
}

absl::Status CheckHandler(v1::ListenerSpec& spec) {
  switch (spec.handler().kind_case()) {
    case v1::Handler::kEcho:
    case v1::Handler::kDiscard:
      return absl::OkStatus();
    case v1::Handler::kForward:
      return WithFieldPrefix(
          CheckForward(*spec.mutable_handler()->mutable_forward()),
          "handler.forward");
    case v1::Handler::kRemote:
      return WithFieldPrefix(
          CheckRemote(*spec.mutable_handler()->mutable_remote()),
          "handler.remote");
    case v1::Handler::KIND_NOT_SET:
      break;
  }
  return WithFieldPrefix(InvalidMessage("one of `echo`, `discard`, `forward` "
                                        "and `remote` must be set"),
                         "handler");
}

absl::Status AtLeast(absl::string_view field, int lowest, int value) {
  if (value >= lowest) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("must be at least ", lowest, ", but is ", value));
}

absl::Status CheckLimits(v1::ListenerSpec& spec) {
  const ServerOptions defaults;
  if (!spec.has_max_connections()) {
    spec.set_max_connections(DefaultMaxConnections());
  }
  if (!spec.has_max_pending_connections()) {
    spec.set_max_pending_connections(defaults.max_pending_connections);
  }
  if (!spec.has_max_accepts_per_batch()) {
    spec.set_max_accepts_per_batch(defaults.max_accepts_per_batch);
  }
  if (auto s = AtLeast("max_connections", 1, spec.max_connections()); !s.ok()) {
    return s;
  }
  if (auto s =
          AtLeast("max_pending_connections", 0, spec.max_pending_connections());
      !s.ok()) {
    return s;
  }
  return AtLeast("max_accepts_per_batch", 1, spec.max_accepts_per_batch());
}

absl::Status CheckBufferAgeLimit(v1::ListenerSpec& spec) {
  const auto limit = FromProto(spec.buffer_age_limit());
  if (!limit.ok()) return WithFieldPrefix(limit.status(), "buffer_age_limit");
  if (spec.buffer_age_limit().kind_case() == v1::BufferAgeLimit::KIND_NOT_SET) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(*limit->at_most());
    spec.mutable_buffer_age_limit()->mutable_at_most()->set_seconds(
        seconds.count());
  }
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

template <typename... Messages>
bool AnyHasUnknownFields(const Messages&... messages) {
  return (... || !messages.GetReflection()->GetUnknownFields(messages).empty());
}

bool HasUnknownFields(const v1::WhereToListen& where) {
  return AnyHasUnknownFields(where, where.inet(), where.unix_socket());
}

bool HasUnknownFields(const v1::WhereToConnect& where) {
  return AnyHasUnknownFields(where, where.inet(), where.unix_socket());
}

bool HasUnknownFields(const v1::Handler& handler) {
  return AnyHasUnknownFields(
             handler, handler.echo(), handler.discard(), handler.forward(),
             handler.forward().connect_timeout(), handler.remote(),
             handler.remote().claim_timeout()) ||
         HasUnknownFields(handler.forward().upstream());
}

bool HasUnknownFields(const v1::BufferAgeLimit& limit) {
  return AnyHasUnknownFields(limit, limit.at_most(), limit.unlimited());
}

bool IsWithin(absl::string_view path, absl::string_view field) {
  return path == field || absl::StartsWith(path, absl::StrCat(field, "."));
}

}  // namespace

absl::Status CheckAndFill(v1::ListenerSpec& spec) {
  for (const auto check : {CheckWhereToListen, CheckHandler, CheckLimits,
                           CheckBufferAgeLimit, CheckOnHandlerError}) {
    if (auto s = check(spec); !s.ok()) return s;
  }
  return CheckLabels(spec);
}

void DropUnknownFields(v1::ListenerSpec& spec) {
  if (AnyHasUnknownFields(spec) || HasUnknownFields(spec.where_to_listen()) ||
      HasUnknownFields(spec.handler()) ||
      HasUnknownFields(spec.buffer_age_limit())) {
    spec.DiscardUnknownFields();
  }
}

absl::Status CheckUpdateMask(const FieldMask& mask) {
  if (mask.paths().empty()) {
    return InvalidField("update_mask", "must name a field");
  }
  for (const std::string& path : mask.paths()) {
    // IsValidPath() skips empty parts.
    const bool has_empty_part =
        absl::StrContains(path, "..") || absl::EndsWith(path, ".");
    if (!absl::StartsWith(path, "spec.") || has_empty_part ||
        !FieldMaskUtil::IsValidPath<v1::Listener>(path)) {
      return InvalidField("update_mask",
                          "every path must be a field of `spec`, like "
                          "`spec.max_connections`");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMutable(const FieldMask& mask) {
  for (const std::string& path : mask.paths()) {
    if (!IsWithin(path, kImmutable)) continue;
    return ServerError(absl::StatusCode::kFailedPrecondition, "IMMUTABLE_FIELD",
                       absl::StrCat(kImmutable, " cannot be changed"));
  }
  return absl::OkStatus();
}

v1::ListenerSpec Merge(const v1::ListenerSpec& current,
                       const v1::ListenerSpec& wanted, const FieldMask& mask) {
  v1::Listener source;
  *source.mutable_spec() = wanted;
  v1::Listener result;
  *result.mutable_spec() = current;
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(source, mask, options, &result);
  return result.spec();
}

}  // namespace portreeve::server
