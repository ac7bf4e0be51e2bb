#include "server/registry/listener_setup.h"

#include <utility>

#include "server/handlers/handlers.h"

namespace portreeve::server {
namespace {

AnyHandler ForwardHandlerOf(const CheckedSpec& spec, HandlerHooks hooks) {
  ForwardOptions options;
  options.upstream = spec.forward()->upstream;
  options.connect_timeout = spec.forward()->connect_timeout;
  options.buffer_age_limit = spec.options().buffer_age_limit;
  options.on_connected = std::move(hooks.on_connected);
  options.admit = std::move(hooks.admit);
  options.open = std::move(hooks.open);
  options.loops = hooks.loops;
  options.listener = hooks.listener;
  options.on_loop = std::move(hooks.on_loop);
  return ForwardHandler(std::move(options));
}

AnyHandler RemoteHandlerOf(const CheckedSpec& spec, HandlerHooks hooks) {
  RemoteOptions options;
  options.workers = hooks.workers;
  options.claim_timeout = spec.remote()->claim_timeout;
  options.claim_of = std::move(hooks.claim_of);
  options.describe = std::move(hooks.describe);
  return RemoteHandler(std::move(options));
}

}  // namespace

AnyHandler HandlerOf(const CheckedSpec& spec, HandlerHooks hooks) {
  if (spec.forward() != nullptr) {
    return ForwardHandlerOf(spec, std::move(hooks));
  }
  if (spec.remote() != nullptr) return RemoteHandlerOf(spec, std::move(hooks));
  return spec.message().handler().has_echo() ? EchoHandler() : DiscardHandler();
}

AnyOnHandlerError OnHandlerErrorOf(const CheckedSpec& spec,
                                   CallOnHandlerError call) {
  switch (spec.message().on_handler_error()) {
    case v1::ON_HANDLER_ERROR_CALL:
      return call;
    case v1::ON_HANDLER_ERROR_IGNORE:
      return IgnoreHandlerError();
    default:
      return RaiseHandlerError();
  }
}

}  // namespace portreeve::server
