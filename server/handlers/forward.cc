#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "server/handlers/forward_connection.h"
#include "server/handlers/handlers.h"

namespace portreeve::server {

AnyHandler ForwardHandler(ForwardOptions options) {
  DirectHandler handler;
  handler.make = [route = std::make_shared<const ForwardRoute>(std::move(
                      options))](DirectConnection::Accepted accepted) {
    return std::make_shared<ForwardConnection>(std::move(accepted), route);
  };
  return handler;
}

RestoreForward ForwardRestorer(ForwardOptions options) {
  return [route = std::make_shared<const ForwardRoute>(std::move(options))](
             DirectConnection::Accepted accepted, const FrozenDirect& direct,
             const FrozenForward& frozen, std::vector<Descriptor> others) {
    return Restored(
        std::make_shared<ForwardConnection>(std::move(accepted), direct, route),
        [&](ForwardConnection& forward) {
          forward.Restore(frozen, std::move(others));
        });
  };
}

std::optional<Duration> ForwardConnectTime(const AnyConnection& connection) {
  return static_cast<const ForwardConnection&>(connection).connect_time();
}

}  // namespace portreeve::server
