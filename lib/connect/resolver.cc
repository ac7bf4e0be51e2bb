#include "lib/connect/resolver.h"

#include "lib/connect/cares_resolver.h"

namespace portreeve {
namespace {

// Keeps a loop's resolver among the loop's services, so that it is found from
// any executor and ends with the loop.
class ResolverService : public asio::execution_context::service {
 public:
  using key_type = ResolverService;
  inline static asio::execution_context::id id;

  explicit ResolverService(asio::execution_context& context)
      : service(context) {}

  Resolver& resolver() { return resolver_; }

 private:
  void shutdown() override {}

  CaresResolver resolver_;
};

}  // namespace

Resolver& Resolver::Of(asio::io_context& loop) {
  return asio::use_service<ResolverService>(loop).resolver();
}

}  // namespace portreeve
