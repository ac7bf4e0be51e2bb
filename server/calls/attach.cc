#include "server/calls/attach.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/remote/first_of.h"
#include "server/remote/stream_session.h"

namespace portreeve::server {
namespace {

absl::StatusOr<int64_t> NumberIn(const std::optional<ClientMessage>& message) {
  if (!message || !message->frame.has_attach()) {
    return InvalidField("attach", "the first frame must be `attach`");
  }
  return ParseConnectionName(message->frame.attach().connection(),
                             "attach.connection");
}

absl::StatusOr<std::shared_ptr<LiveConnection>> Take(
    Registry& registry, const absl::StatusOr<int64_t>& number) {
  if (!number.ok()) return number.status();
  return registry.Attach(*number);
}

}  // namespace

Task<> ServeAttach(Registry& registry, std::shared_ptr<ClientStream> stream,
                   AuditFunction audit) {
  const std::optional<ClientMessage> message =
      co_await stream->Read(ClientStream::Carrier::kCaller);
  const auto number = NumberIn(message);
  const bool can_move = message && message->frame.attach().can_move();
  if (number.ok()) {
    const auto arrival = registry.AwaitArrival(*number, can_move);
    if (arrival) {
      // It is as good as its own, and no call that only waits.
      if (arrival->is_first) stream->BeginConnection();
      co_await FirstOf(Await(arrival->settled), Await(stream->broken()),
                       Await(stream->broken()));
      if (stream->broken().determined()) {
        const absl::Status gone = absl::CancelledError("the client is gone");
        audit(message->frame.attach().connection(), gone);
        stream->Finish(gone);
        co_return;
      }
    }
  }
  const auto live = Take(registry, number);
  // What was taken may end before there is a session, by what is thrown or,
  // where there is no memory to wait, by its destruction.  That is no error of
  // the handler, which could close the listener.
  absl::Cleanup end = [&live] {
    if (!live.ok()) return;
    Guarded([&] {
      (*live)->connection->Close(ExistingConnections::kReset,
                                 CloseReason::kCancelled);
    });
    Guarded([&] { (*live)->facts.claim->End(nullptr); });
  };
  audit(message ? message->frame.attach().connection() : "", live.status());
  if (!live.ok()) {
    stream->Finish(live.status());
    co_return;
  }
  StreamSessionOptions options = registry.SessionOptionsOf(*live, can_move);
  // What can be claimed has a coroutine that waits for the claim.
  auto connection =
      std::static_pointer_cast<StreamConnection>((*live)->connection);
  co_await ServeStream(std::move(stream), std::move(connection),
                       std::move(options));
  std::move(end).Cancel();
}

Task<> ServeDial(Registry& registry, std::shared_ptr<ClientStream> stream,
                 AuditFunction audit) {
  const std::optional<ClientMessage> message =
      co_await stream->Read(ClientStream::Carrier::kCaller);
  if (!message || !message->frame.has_dial()) {
    const absl::Status error =
        InvalidField("dial", "the first frame must be `dial`");
    audit("", error);
    stream->Finish(error);
    co_return;
  }
  co_await registry.dialler().Serve(std::move(stream), message->frame.dial(),
                                    std::move(audit));
}

}  // namespace portreeve::server
