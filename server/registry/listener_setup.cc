#include "server/registry/listener_setup.h"

#include <utility>

#include "lib/base/check.h"
#include "server/api/convert.h"
#include "server/handlers/handlers.h"

namespace portreeve::server {
namespace {

// What was checked cannot fail.
template <typename T>
T Checked(absl::StatusOr<T> value) {
  PORTREEVE_CHECK(value.ok());
  return *std::move(value);
}

AnyHandler ForwardHandlerOf(const v1::ListenerSpec& spec, HandlerHooks hooks) {
  const v1::Handler::Forward& forward = spec.handler().forward();
  ForwardOptions options;
  options.upstream = Checked(FromProto(forward.upstream()));
  options.connect_timeout = Checked(FromProto(
      forward.connect_timeout(), "connect_timeout", DurationRange::kPositive));
  options.buffer_age_limit = Checked(FromProto(spec.buffer_age_limit()));
  options.on_connected = std::move(hooks.on_connected);
  options.admit = std::move(hooks.admit);
  options.open = std::move(hooks.open);
  options.loops = hooks.loops;
  options.listener = hooks.listener;
  options.on_loop = std::move(hooks.on_loop);
  return ForwardHandler(std::move(options));
}

AnyHandler RemoteHandlerOf(const v1::ListenerSpec& spec, HandlerHooks hooks) {
  RemoteOptions options;
  options.workers = hooks.workers;
  options.claim_timeout = ClaimTimeoutOf(spec);
  options.claim_of = std::move(hooks.claim_of);
  options.describe = std::move(hooks.describe);
  return RemoteHandler(std::move(options));
}

}  // namespace

AnyHandler HandlerOf(const v1::ListenerSpec& spec, HandlerHooks hooks) {
  if (spec.handler().has_echo()) return EchoHandler();
  if (spec.handler().has_discard()) return DiscardHandler();
  if (spec.handler().has_remote()) {
    return RemoteHandlerOf(spec, std::move(hooks));
  }
  return ForwardHandlerOf(spec, std::move(hooks));
}

Duration ClaimTimeoutOf(const v1::ListenerSpec& spec) {
  return Checked(FromProto(spec.handler().remote().claim_timeout(),
                           "claim_timeout", DurationRange::kPositive));
}

int DescriptorsPerConnection(const v1::ListenerSpec& spec) {
  return spec.handler().has_forward() ? 2 : 1;
}

AnyOnHandlerError OnHandlerErrorOf(const v1::ListenerSpec& spec,
                                   CallOnHandlerError call) {
  if (spec.on_handler_error() == v1::ON_HANDLER_ERROR_CALL) return call;
  if (spec.on_handler_error() == v1::ON_HANDLER_ERROR_IGNORE) {
    return IgnoreHandlerError();
  }
  return RaiseHandlerError();
}

ServerOptions OptionsOf(const v1::ListenerSpec& spec) {
  ServerOptions options;
  options.max_connections = spec.max_connections();
  options.max_pending_connections = spec.max_pending_connections();
  options.max_accepts_per_batch = spec.max_accepts_per_batch();
  options.buffer_age_limit = Checked(FromProto(spec.buffer_age_limit()));
  options.drop_incoming_connections = spec.drop_incoming_connections();
  options.descriptors_per_connection = DescriptorsPerConnection(spec);
  return options;
}

}  // namespace portreeve::server
