#include "lib/connect/resolver.h"

#include "lib/base/loop_service.h"
#include "lib/connect/cares_resolver.h"

namespace portreeve {

Resolver& Resolver::Of(asio::io_context& loop) {
  return OfLoop<CaresResolver>(loop);
}

}  // namespace portreeve
