#include "server/handlers/forward_route.h"

#include <cstdint>
#include <utility>
#include <variant>

#include "lib/base/asio.h"
#include "lib/connect/connect_attempt.h"

namespace portreeve::server {

ForwardRoute::ForwardRoute(ForwardOptions o)
    : options(std::move(o)),
      literal(Literal()),
      may_be_itself(literal && MayConnectToItself(*literal)),
      literal_name(literal ? std::make_shared<const AnyAddress>(*literal)
                           : nullptr) {}

std::optional<Inet::Address> ForwardRoute::Literal() const {
  const auto* inet = std::get_if<WhereToConnect<Inet>>(&options.upstream);
  if (inet == nullptr || inet->bind_to_address || inet->bind_to_port) {
    return std::nullopt;
  }
  error_code not_literal;
  const auto address = asio::ip::make_address(inet->host, not_literal);
  if (not_literal) return std::nullopt;
  return Inet::Address(Effective(address), static_cast<uint16_t>(inet->port));
}

std::string ForwardRoute::upstream() const {
  return std::visit([](const auto& where) { return ToString(where); },
                    options.upstream);
}

bool ForwardRoute::is_unix() const {
  return std::holds_alternative<WhereToConnect<Unix>>(options.upstream);
}

}  // namespace portreeve::server
