#include "server/remote/remote_handler.h"

#include <utility>

#include "lib/net/peer_reset.h"
#include "server/remote/first_of.h"

namespace portreeve::server {
namespace {

using SharedOptions = std::shared_ptr<const RemoteOptions>;

Task<> OfferUntilTaken(SharedOptions options, std::shared_ptr<Claim> claim,
                       int64_t id) {
  auto describe = [options, id] { return options->describe(id); };
  co_await options->workers->Offer(std::move(claim), options->claim_timeout,
                                   std::move(describe));
}

[[noreturn]] void Rethrow(std::exception_ptr error, int64_t worker) {
  try {
    std::rethrow_exception(error);
  } catch (HandlerRaised& raised) {
    raised.worker = worker;
    throw;
  }
}

Task<> Serve(SharedOptions options, StreamConnection& connection) {
  const auto claim = options->claim_of(connection.id());
  claim->begun = true;
  co_await FirstOf(OfferUntilTaken(options, claim, connection.id()),
                   Await(connection.closed()), PeerReset(*connection.socket()));
  if (!claim->is_taken()) {
    // A connection that its peer has reset has that reason already; for a
    // closed one this does nothing.
    connection.Close(ExistingConnections::kReset, CloseReason::kUnclaimed);
    co_return;
  }
  const Deferred<std::exception_ptr> ended = claim->ended();
  const std::exception_ptr error = co_await ended.Wait();
  if (error) Rethrow(error, claim->offered_to);
}

}  // namespace

AnyHandler RemoteHandler(RemoteOptions options) {
  auto shared = std::make_shared<const RemoteOptions>(std::move(options));
  CoroutineHandler handler;
  handler.run = [shared = std::move(shared)](StreamConnection& connection) {
    return Serve(shared, connection);
  };
  handler.writer_errors = CoroutineHandler::WriterErrors::kOnlyClose;
  handler.on_loss = OnLoss::kReset;
  return handler;
}

}  // namespace portreeve::server
