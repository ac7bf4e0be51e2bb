// The handlers that live in the daemon (proto/portreeve/v1/handler.proto).
#ifndef PORTREEVE_SERVER_HANDLERS_HANDLERS_H_
#define PORTREEVE_SERVER_HANDLERS_HANDLERS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "lib/net/any_connection.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/where.h"
#include "lib/serve/server_options.h"
#include "server/handlers/forward_loops.h"

namespace portreeve::server {

// None of these handlers raises: what goes wrong shows as the reason of the
// connection.  Each ends when its connection is closed under it.

// Sends back what it reads, as fast as the peer takes it, and FIN for FIN.  It
// holds at most 64 KiB.
AnyHandler EchoHandler();

// Reads and forgets, until the peer's FIN.
AnyHandler DiscardHandler();

struct ForwardOptions {
  std::variant<WhereToConnect<Inet>, WhereToConnect<Unix>> upstream;

  // How long connecting may take, DNS included.  > 0.
  Duration connect_timeout = std::chrono::seconds(30);

  // How long what is sent to the upstream may wait for it; for the client the
  // listener's limit holds.
  BufferAgeLimit buffer_age_limit;

  // Called once the upstream is reached, with its address; may be null.
  std::function<void(int64_t connection_id,
                     std::shared_ptr<const AnyAddress> upstream)>
      on_connected;

  // Called where the upstream is not reached, before the client's connection is
  // closed for that: why, in the library's words for errors, and the last
  // address that was tried, null where none was.  May be null.
  //
  // CONNECT_TIMEOUT is the end of connect_timeout, and DNS_FAILURE where the
  // name had no address by then; SELF_CONNECT is a client that would come back.
  std::function<void(int64_t connection_id, const absl::Status& why,
                     std::shared_ptr<const AnyAddress> tried)>
      on_unreached;

  // Whether ForwardConnectTime() is to be known.
  bool times_connecting = false;

  // These are what ConnectOptions has; they are called on the connections'
  // lanes.
  std::function<absl::Status(const Inet::Address&)> admit;
  std::function<absl::StatusOr<Descriptor>(const Unix::Address&)> open;

  // What keeps connections from coming back to where they have been, and which
  // of its listeners this one is; null: nothing does.  It must outlive the
  // connections.
  ForwardLoops* loops = nullptr;
  ForwardLoops::Id listener = 0;
};

// Connects to the upstream and copies both ways; at most 64 KiB a direction are
// held here.  A FIN goes on to the other side, and each direction ends by
// itself; a reset on one side is a reset on the other.  Where the upstream
// cannot be reached, the client is reset, with kUpstreamUnreachable.  So is a
// client that would be led to a listener which it has come through already.
//
// A connection is counted with two descriptors.
AnyHandler ForwardHandler(ForwardOptions options);

// Gives how long connecting to the upstream took, DNS included, to the
// microsecond and at most 71 minutes; nothing where nobody has asked for it.
// `connection` must be a forward handler's for which on_connected was called.
// Threads: that of on_connected.
std::optional<Duration> ForwardConnectTime(const AnyConnection& connection);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_HANDLERS_H_
