#include <boost/asio/experimental/awaitable_operators.hpp>
#include <memory>
#include <span>
#include <utility>

#include "lib/connect.h"
#include "lib/peer_reset.h"
#include "lib/served_connection.h"
#include "server/handlers.h"

namespace portreeve::server {
namespace {

using SharedOptions = std::shared_ptr<const ForwardOptions>;

// With the copy of them in a Writer: 64 KiB a direction.
constexpr size_t kPumpBytes = 32 * 1024;

// The two ends of a forwarded connection.
struct Ends {
  ServedConnection& client;
  std::shared_ptr<SocketCore> upstream;
  Reader& upstream_reader;
  Writer& upstream_writer;
};

// Waits for nothing: for coroutines that are to be cancelled.
Task<> Forever() {
  const Executor executor = co_await asio::this_coro::executor;
  const Ivar<> never(executor);
  co_await never.deferred().Wait();
}

// Resets the client if it has reset, whatever else goes on.  Never returns.
Task<> WatchClient(ServedConnection& client) {
  co_await PeerReset(*client.socket());
  client.Close(ExistingConnections::kReset, CloseReason::kPeerReset);
  co_await Forever();
}

// The same for the upstream.
Task<> WatchUpstream(Ends ends) {
  co_await PeerReset(*ends.upstream);
  ends.client.Close(ExistingConnections::kReset, CloseReason::kUpstreamReset);
  co_await Forever();
}

// Copies until the end of file, or until `writer` is closed or fails.
Task<> Pump(Reader& reader, Writer& writer) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPumpBytes);
  const std::span<char> space(buffer.get(), kPumpBytes);
  for (;;) {
    const size_t size = co_await reader.Read(space);
    if (size == 0 || writer.is_closed()) co_return;
    writer.Write({buffer.get(), size});
    const Deferred<FlushResult> flushed = writer.Flushed();
    const FlushResult result = co_await flushed.Wait();
    if (result == FlushResult::kLost) co_return;
  }
}

// Whether a connection that ended so was closed in order, from inside the
// daemon.
bool IsOrderly(CloseReason reason) {
  return reason == CloseReason::kCalled ||
         reason == CloseReason::kListenerClosed ||
         reason == CloseReason::kShutdown;
}

// Each direction, up to and with its FIN.  A socket that was closed under its
// Reader reads as its end, too; that must not pass for the peer's FIN.
Task<> PumpUp(Ends ends) {
  co_await Pump(ends.client.reader(), ends.upstream_writer);
  const CloseReason reason = ends.client.reason();
  if (reason == CloseReason::kPeerReset) {
    ends.client.Close(ExistingConnections::kReset, reason);
  } else if (!ends.client.is_open() && !IsOrderly(reason)) {
    ends.upstream_writer.Abort();
  } else if (!ends.client.socket()->was_reset() &&
             !ends.upstream_writer.is_closed()) {
    ends.upstream_writer.HalfClose();
  }
}

Task<> PumpDown(Ends ends) {
  co_await Pump(ends.upstream_reader, ends.client.writer());
  if (ends.upstream->reason() == CloseReason::kPeerReset) {
    ends.client.Close(ExistingConnections::kReset, CloseReason::kUpstreamReset);
  } else if (ends.upstream->is_open() && ends.upstream_reader.at_eof()) {
    ends.client.NoteReason(CloseReason::kUpstreamClosed);
    if (!ends.client.writer().is_closed()) ends.client.writer().HalfClose();
  }
}

// Returns when the client's descriptor was closed before the end of the
// upstream's data.  Unless that was in order, the upstream is reset; and
// PumpUp() must not have sent it a FIN before.
Task<> EndWithClient(Ends ends) {
  const Deferred<> closed = ends.client.closed();
  co_await closed.Wait();
  if (ends.client.socket()->was_reset() || !IsOrderly(ends.client.reason())) {
    ends.upstream_writer.Abort();
  }
}

// Both directions are joined here, whatever happens: the operators wait for
// what they cancel.
Task<> Exchange(Ends ends) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  co_await ((PumpUp(ends) && (PumpDown(ends) || EndWithClient(ends))) ||
            WatchUpstream(ends));
}

template <AddressKind A>
ConnectOptions ToConnectOptions(const ForwardOptions& options,
                                const ServedConnection& client) {
  ConnectOptions connect;
  connect.timeout = options.connect_timeout;
  connect.interrupt = client.closed();
  connect.buffer_age_limit = options.buffer_age_limit;
  if constexpr (std::is_same_v<A, Inet>) connect.admit = options.admit;
  return connect;
}

// The connection to the upstream is over, and `upstream` null if there never
// was one.  What has not ended in order resets the client.
void Settle(ServedConnection& client, const SocketCore* upstream, bool failed) {
  if (!failed || !client.is_open()) return;
  CloseReason reason = CloseReason::kUpstreamReset;
  if (upstream == nullptr) {
    reason = CloseReason::kUpstreamUnreachable;
  } else if (upstream->reason() == CloseReason::kBufferAge ||
             upstream->reason() == CloseReason::kForced) {
    reason = upstream->reason();
    client.socket()->OverruleReason(reason);  // The client's bytes were lost.
  }
  client.Close(ExistingConnections::kReset, reason);
}

// Never throws.
template <AddressKind A>
Task<> ConnectAndExchange(SharedOptions options, WhereToConnect<A> where,
                          ServedConnection& client) {
  std::shared_ptr<SocketCore> upstream;
  auto exchange = [&upstream, &client, options](
                      Socket<A> socket, Reader& reader, Writer& writer) {
    upstream = socket.core();
    if (options->on_connected) {
      options->on_connected(client.id(), upstream->peer());
    }
    const Ends ends{client, upstream, reader, writer};
    return Exchange(ends);
  };
  ConnectOptions connect = ToConnectOptions<A>(*options, client);
  bool failed = false;
  try {
    co_await WithConnection<A>(std::move(where), std::move(connect), exchange);
  } catch (...) {
    // Of whatever kind: it shows in the connection's reason.
    failed = true;
  }
  Settle(client, upstream.get(), failed);
}

template <AddressKind A>
Task<> Forward(SharedOptions options, WhereToConnect<A> where,
               ServedConnection& client) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  co_await (ConnectAndExchange<A>(options, std::move(where), client) ||
            WatchClient(client));
}

}  // namespace

AnyHandler ForwardHandler(ForwardOptions options) {
  auto shared = std::make_shared<const ForwardOptions>(std::move(options));
  AnyHandler handler;
  handler.run = [shared = std::move(shared)](ServedConnection& client) {
    auto forward = [&shared, &client](const auto& where) {
      return Forward(shared, where, client);
    };
    return std::visit(forward, shared->upstream);
  };
  handler.writer_errors = AnyHandler::WriterErrors::kOnlyClose;
  return handler;
}

}  // namespace portreeve::server
