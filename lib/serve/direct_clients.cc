// The clients of AnyServer that are served without a coroutine.
#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "lib/base/check.h"
#include "lib/base/status.h"
#include "lib/serve/any_server.h"

namespace portreeve {

// The handler is decided on and begun in the step of the accept: there is none
// in between in which the server could be closed.
void AnyServer::Serve(const DirectHandler& handler, Descriptor fd,
                      const AnyAddress& peer) {
  const int descriptors = acceptor_->descriptors_per_client();
  const AcceptPolicy::Verdict verdict = policy().OnStart();
  AnyAddress local = LocalAddressOf(fd.get());
  if (verdict != AcceptPolicy::Verdict::kHandle) {
    const auto refused = MakeDirect(
        handler,
        {*this, home(), std::move(fd), peer, std::move(local), {}, 0, false});
    if (refused != nullptr) {
      refused->Refuse(verdict == AcceptPolicy::Verdict::kDrop
                          ? CloseReason::kDropped
                          : CloseReason::kListenerClosed);
    }
    return Drop(refused.get(), descriptors, 0);
  }
  Lane& lane = options_.lanes != nullptr ? options_.lanes->Take() : home();
  const std::shared_ptr<DirectConnection> connection =
      MakeDirect(handler, {*this, lane, std::move(fd), peer, std::move(local),
                           options_.buffer_age_limit, descriptors,
                           options_.socket_options.no_delay});
  const int error = connection == nullptr ? 0 : EnterDirect(connection);
  if (connection == nullptr || error != 0) {
    if (options_.lanes != nullptr) options_.lanes->GiveBack(lane);
    policy().OnFinished();
    if (connection != nullptr) connection->Refuse(CloseReason::kDropped);
    return Drop(connection.get(), descriptors, error);
  }
  ++num_direct_;
  if (&lane != &home_ && num_away_++ == 0) {
    away_work_.emplace(executor_.inner());
  }
  Tell([&](auto& observer) { observer.OnAccepted(connection); });
  connection->Start();
}

// Gives null where the handler throws; its client is then closed.
std::shared_ptr<DirectConnection> AnyServer::MakeDirect(
    const DirectHandler& handler, DirectConnection::Accepted accepted) {
  std::shared_ptr<DirectConnection> connection;
  Guarded(executor_.monitor(),
          [&] { connection = handler.make(std::move(accepted)); });
  return connection;
}

// Has the connection watched, and puts it among the connections.  Gives 0; or
// an errno, and does neither.
int AnyServer::EnterDirect(
    const std::shared_ptr<DirectConnection>& connection) {
  int error = ENOMEM;
  try {
    // Later connections have larger ids.
    connections_.emplace_hint(connections_.end(), connection->id(), connection);
    error = connection->Watch();
  } catch (const std::bad_alloc&) {
    // It is a client that could not be watched.
  }
  if (error != 0) connections_.erase(connection->id());
  return error;
}

// Gives the listening address where that is not every address, which saves a
// system call.
AnyAddress AnyServer::LocalAddressOf(int fd) const {
  const auto* inet = std::get_if<Inet::Address>(&listening_on());
  if (inet == nullptr || !inet->address().is_unspecified()) {
    return listening_on();
  }
  asio::generic::stream_protocol::endpoint local;
  auto size = static_cast<socklen_t>(local.capacity());
  // The peer may be gone already.
  if (getsockname(fd, local.data(), &size) != 0) return Inet::Address();
  local.resize(size);
  return FromEndpoint(local);
}

absl::StatusOr<std::shared_ptr<DirectConnection>> AnyServer::AddMoved(
    const FrozenDirect& frozen, Descriptor socket, int descriptors,
    MakeMoved make) {
  PORTREEVE_CHECK(stage_ == Stage::kAdopted);
  PORTREEVE_CHECK(!handlers_determined_.determined());
  const auto failed = [&frozen](int error_number) {
    return ErrnoError(error_number, "adopt", ToString(frozen.peer));
  };
  Lane& lane = options_.lanes != nullptr ? options_.lanes->Take() : home();
  absl::Cleanup give_back_lane = [&] {
    if (options_.lanes != nullptr) options_.lanes->GiveBack(lane);
  };
  try {
    const std::shared_ptr<DirectConnection> connection =
        make({*this, lane, std::move(socket), frozen.peer, frozen.local,
              frozen.buffer_age_limit, descriptors, frozen.sets_no_delay});
    absl::Cleanup let_go = [&] { connection->LetGo(); };
    if (const int error = connection->Resume(); error != 0) {
      return failed(error);
    }
    if (!connections_.emplace(frozen.id, connection).second) {
      return failed(EEXIST);
    }
    std::move(let_go).Cancel();
    std::move(give_back_lane).Cancel();
    ++num_direct_;
    if (&lane != &home_ && num_away_++ == 0) {
      away_work_.emplace(executor_.inner());
    }
    if (options_.descriptor_budget != nullptr) {
      options_.descriptor_budget->TakeAnyway(descriptors);
    }
    policy().OnHeld();
    return connection;
  } catch (const std::bad_alloc&) {
    return failed(ENOMEM);
  }
}

void AnyServer::LetGo(DirectConnection& connection) {
  const auto self = connection.shared_from_this();
  PORTREEVE_CHECK(stage_ == Stage::kHandedOver);
  PORTREEVE_CHECK(connections_.erase(connection.id()) == 1);
  connection.LetGo();
  CountOutDirect(connection);
  CountOut(connection.descriptors(), [] {});
  CheckHandlersDetermined();
}

void AnyServer::CountOutDirect(const DirectConnection& connection) {
  --num_direct_;
  if (&connection.lane() != &home_ && --num_away_ == 0) away_work_.reset();
  if (options_.lanes != nullptr) options_.lanes->GiveBack(connection.lane());
}

void AnyServer::OnDirectClosed(DirectConnection& connection, int error_number) {
  CountOutDirect(connection);
  Forget(connection.shared_from_this());
  // An error is there where the connection's own loop could not watch it.
  if (error_number != 0) ++dropped_total_;
  CountOut(connection.descriptors(), [] {});
  if (error_number != 0) {
    Guarded([&] { acceptor_->NoteUnwatched(error_number); });
  }
  CheckHandlersDetermined();
}

}  // namespace portreeve
