// ForwardRoute: what all connections of a forward handler share.
#ifndef PORTREEVE_SERVER_HANDLERS_FORWARD_ROUTE_H_
#define PORTREEVE_SERVER_HANDLERS_FORWARD_ROUTE_H_

#include <memory>
#include <optional>
#include <string>

#include "lib/net/address.h"
#include "server/handlers/handlers.h"

namespace portreeve::server {

// Never changes.
// Threads: any.
struct ForwardRoute {
  explicit ForwardRoute(ForwardOptions o);

  // Gives the upstream, where nothing has to be looked up or chosen.
  std::optional<Inet::Address> Literal() const;
  std::string upstream() const;
  bool is_unix() const;

  const ForwardOptions options;
  const std::optional<Inet::Address> literal;
  // Whether a connection to `literal` could turn out to be one to itself.
  const bool may_be_itself;
  const std::shared_ptr<const AnyAddress> literal_name;  // For reports.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_FORWARD_ROUTE_H_
