#include "server/remote/remote_handler.h"

#include <utility>

#include "lib/net/peer_reset.h"
#include "server/remote/first_of.h"

namespace portreeve::server {
namespace {

using SharedOptions = std::shared_ptr<const RemoteOptions>;

Task<> OfferUntilTaken(SharedOptions options, std::shared_ptr<Claim> claim,
                       int64_t id) {
  if (options->awaits_worker) {
    co_await options->workers->AwaitOne(claim, options->claim_timeout);
  }
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

Task<> ServeTaken(std::shared_ptr<Claim> claim, StreamConnection& connection,
                  CloseReason gone) {
  if (!claim->is_taken()) {
    // A connection that its peer has reset has that reason already; one that
    // others close is flushed for as long as they say.
    if (!connection.writer().is_closed()) {
      connection.Close(ExistingConnections::kReset, gone);
    }
    co_return;
  }
  const Deferred<std::exception_ptr> ended = claim->ended();
  const std::exception_ptr error = co_await ended.Wait();
  if (error) Rethrow(error, claim->offered_to);
}

Task<> Serve(SharedOptions options, StreamConnection& connection) {
  const auto claim = options->claim_of(connection.id());
  claim->begun = true;
  co_await FirstOf(OfferUntilTaken(options, claim, connection.id()),
                   Await(connection.closed()), PeerReset(*connection.socket()));
  Task<> served = ServeTaken(claim, connection, CloseReason::kUnclaimed);
  co_await std::move(served);
}

Task<> ServeReturning(ReturnOptions options, StreamConnection& connection) {
  const std::shared_ptr<Claim> claim = options.claim;
  claim->begun = true;
  connection.closed().Upon([claim] {
    if (claim->Take()) claim->End(nullptr);
  });
  co_await FirstOf(Await(claim->taken()), Sleep(options.timeout),
                   PeerReset(*connection.socket()));
  Task<> served = ServeTaken(claim, connection, options.gone);
  co_await std::move(served);
}

CoroutineHandler HandlerThatRuns(std::function<Task<>(StreamConnection&)> run) {
  CoroutineHandler handler;
  handler.run = std::move(run);
  handler.writer_errors = CoroutineHandler::WriterErrors::kOnlyClose;
  handler.on_loss = OnLoss::kReset;
  return handler;
}

}  // namespace

CoroutineHandler RemoteHandler(RemoteOptions options) {
  auto shared = std::make_shared<const RemoteOptions>(std::move(options));
  return HandlerThatRuns(
      [shared = std::move(shared)](StreamConnection& connection) {
        return Serve(shared, connection);
      });
}

CoroutineHandler ReturningHandler(ReturnOptions options) {
  return HandlerThatRuns(
      [options = std::move(options)](StreamConnection& connection) {
        return ServeReturning(options, connection);
      });
}

}  // namespace portreeve::server
