#include "server/registry/dialler.h"

#include <optional>
#include <utility>
#include <variant>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "lib/base/monitor.h"
#include "lib/base/status.h"
#include "lib/net/close_socket.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/registry/connection_log.h"
#include "server/registry/opening_connection.h"
#include "server/remote/cut_stream.h"
#include "server/remote/remote_handler.h"

namespace portreeve::server {

namespace {

// Gives the address that `where` is; nothing for a name, which has none yet.
std::optional<AnyAddress> AddressOf(const AnyWhereToConnect& where) {
  if (const auto* file = std::get_if<WhereToConnect<Unix>>(&where)) {
    return Unix::Address(file->path);
  }
  const auto& inet = std::get<WhereToConnect<Inet>>(where);
  error_code ec;
  const asio::ip::address address = asio::ip::make_address(inet.host, ec);
  if (ec) return std::nullopt;
  return Inet::Address(address, static_cast<uint16_t>(inet.port));
}

absl::Status Interrupted(const AnyWhereToConnect& where) {
  ErrorDetail detail;
  detail.reason = Reason::kConnectInterrupted;
  detail.address =
      std::visit([](const auto& kind) { return ToString(kind); }, where);
  return MakeError(absl::StatusCode::kCancelled, detail,
                   absl::StrCat("connection attempt aborted ", detail.address));
}

}  // namespace

// A call, from when it is found good until its connection is closed.
struct Dialler::Dial {
  int64_t id = 0;  // Of the connection.
  AnyWhereToConnect where;
  ConnectOptions options;
  // Null for what is refused, or was dialled in the former process.
  std::shared_ptr<OpeningConnection> opening;
  std::shared_ptr<StreamConnection> connection;  // Null until it is connected.
  std::shared_ptr<const LiveConnection> live;
  std::optional<Timer> returns_by;  // Its client.
};

Dialler::Dialler(Executor executor, const Shared& shared, StreamMover& mover,
                 std::function<void()> on_idle)
    : executor_(std::move(executor)),
      shared_(shared),
      mover_(mover),
      on_idle_(std::move(on_idle)) {}

absl::StatusOr<Dialler::SharedDial> Dialler::Check(
    const v1::ClientFrame::Dial& request) const {
  auto dial = std::make_shared<Dial>();
  auto where = FromProto(request.where_to_connect());
  if (!where.ok()) {
    return WithFieldPrefix(where.status(), "dial.where_to_connect");
  }
  dial->where = *std::move(where);
  if (request.has_timeout()) {
    const auto timeout = FromProto(request.timeout(), "dial.timeout",
                                   DurationRange::kNotNegative);
    if (!timeout.ok()) return timeout.status();
    dial->options.timeout = *timeout;
  }
  const auto limit = FromProto(request.buffer_age_limit());
  if (!limit.ok()) {
    return WithFieldPrefix(limit.status(), "dial.buffer_age_limit");
  }
  dial->options.buffer_age_limit = *limit;
  if (auto s = shared_.policy.CheckConnect(dial->where); !s.ok()) {
    return WithFieldPrefix(s, "dial.where_to_connect");
  }
  if (shutting_down_) return Refusal();
  if (!shared_.budget.Has(1)) {
    ErrorDetail detail;
    detail.reason = Reason::kFdLimit;
    return MakeError(absl::StatusCode::kResourceExhausted, detail,
                     "the daemon has as many connections as it may");
  }
  return dial;
}

Task<> Dialler::Serve(
    std::shared_ptr<ClientStream> stream, v1::ClientFrame::Dial request,
    std::function<void(const std::string&, const absl::Status&)> audit) {
  const auto checked = Check(request);
  if (!checked.ok()) {
    audit("", checked.status());
    stream->Finish(checked.status());
    co_return;
  }
  const SharedDial dial = *checked;
  dial->opening =
      std::make_shared<OpeningConnection>(executor_, AddressOf(dial->where));
  dial->id = dial->opening->id();
  dials_.emplace(dial->id, dial);
  shared_.budget.Take(1);
  // However it ends: it may be destroyed where there is no memory to wait.
  absl::Cleanup give_up = [this, dial] {
    Guarded([&] { GiveUp(dial); });
    Forget(dial);
  };
  stream->BeginConnection();
  absl::Status connected;
  try {
    ConnectionFacts facts;
    facts.is_opening = true;
    (void)shared_.connections.Add(dial->opening, std::move(facts));
    connected = co_await Connect(dial, stream->broken());
  } catch (...) {
    connected = StatusOf(std::current_exception());
  }
  if (!connected.ok()) {
    std::move(give_up).Invoke();
    audit("", connected);
    stream->Finish(connected);
    co_return;
  }
  // From here on the end of the connection is that of the dial.
  std::move(give_up).Cancel();
  absl::Cleanup close = [connection = dial->connection] {
    Guarded([&] {
      connection->Close(ExistingConnections::kReset, CloseReason::kCancelled);
    });
  };
  audit(ConnectionName(dial->connection->id()), absl::OkStatus());
  StreamSessionOptions options = SessionOptionsOf(*dial);
  if (request.can_move()) options.mover = &mover_;
  co_await ServeStream(std::move(stream), dial->connection, std::move(options));
  std::move(close).Cancel();
}

StreamSessionOptions Dialler::SessionOptionsOf(const Dial& dial) {
  StreamSessionOptions options;
  options.broken = CloseReason::kCancelled;
  options.describe = [live = dial.live] { return Describe(*live); };
  options.on_end = [connection = dial.connection](std::exception_ptr error) {
    if (error) {
      Log({LogLevel::kWarning, DescribeException(error), "",
           ConnectionName(connection->id())});
    }
    connection->Close(
        ExistingConnections::kClose,
        error ? CloseReason::kHandlerError : CloseReason::kHandlerDone);
  };
  return options;
}

StreamSessionOptions Dialler::SessionOptionsOf(int64_t id) const {
  return SessionOptionsOf(*dials_.at(id));
}

absl::StatusOr<std::shared_ptr<StreamConnection>> Dialler::TakeMovedOn(
    const std::shared_ptr<LiveConnection>& held, FrozenStream frozen,
    Descriptor fd) {
  const AnyAddress peer = held->connection->peer();
  absl::Cleanup reset = [&fd] {
    if (fd.is_open()) MakeCloseReset(fd.get());
  };
  const auto dial = std::make_shared<Dial>();
  dial->id = held->connection->id();
  dial->live = held;
  dial->returns_by.emplace(TimeSource::Of(executor_));
  StreamSocket connected(executor_.inner());
  if (const int error = AssignSocket(fd, peer, connected); error != 0) {
    return ErrnoError(error, "adopt", ToString(peer));
  }
  const auto socket =
      std::make_shared<SocketCore>(executor_, std::move(connected), peer);
  absl::Cleanup reset_socket = [&socket] { socket->Reset(); };
  dial->connection = std::make_shared<StreamConnection>(
      dial->id, socket, SilentMonitor(), frozen.buffer_age_limit,
      OnLoss::kReset);
  dial->connection->Restore(std::move(frozen));
  const std::shared_ptr<Claim> claim = held->facts.claim;
  claim->taken().Upon([weak = std::weak_ptr<Dial>(dial)] {
    if (const auto dial = weak.lock()) dial->returns_by->Cancel();
  });
  socket->OnClosed([this, dial] { OnClosed(dial); });
  dial->returns_by->StartAfter(
      kReturnTimeout, [weak = std::weak_ptr<Dial>(dial), claim] {
        const auto dial = weak.lock();
        if (dial == nullptr || !claim->Take()) return;
        claim->End(nullptr);
        StreamConnection& connection = *dial->connection;
        // One that others close is flushed for as long as they say.
        if (connection.writer().is_closed()) return;
        connection.Close(ExistingConnections::kReset,
                         connection.socket()->HasFailed()
                             ? CloseReason::kPeerReset
                             : CloseReason::kClientGone);
      });
  dials_.emplace(dial->id, dial);
  std::move(reset_socket).Cancel();
  --num_held_;
  shared_.budget.TakeAnyway(1);
  return dial->connection;
}

Monitor Dialler::SilentMonitor() const {
  return Monitor(executor_.monitor(), "dial", [](std::exception_ptr) {});
}

// Throws only where there is no memory for a connection.
Task<absl::Status> Dialler::Connect(SharedDial dial, Deferred<> broken) {
  // The lambda shares it, since the call may be over before its client is gone.
  broken.Upon([opening = dial->opening] { opening->Interrupt(); });
  ConnectOptions options = dial->options;
  options.interrupt = dial->opening->interrupt();
  options.admit = [this](const Inet::Address& address) {
    return shared_.policy.CheckAddress(address);
  };
  std::shared_ptr<SocketCore> socket;
  try {
    if (const auto* inet = std::get_if<WhereToConnect<Inet>>(&dial->where)) {
      const Socket<Inet> connected = co_await ConnectSock<Inet>(*inet, options);
      socket = connected.core();
    } else {
      options.admit = nullptr;
      options.open = [this](const Unix::Address& address) {
        return shared_.policy.OpenSocket(address);
      };
      const auto& path = std::get<WhereToConnect<Unix>>(dial->where);
      const Socket<Unix> connected = co_await ConnectSock<Unix>(path, options);
      socket = connected.core();
    }
  } catch (...) {
    const absl::Status error = StatusOf(std::current_exception());
    co_return dial->opening->reason() == CloseReason::kShutdown ? Refusal()
                                                                : error;
  }
  if (dial->opening->is_closing()) {
    // The attempt has succeeded in the step in which it was interrupted.
    socket->Reset();
    co_return dial->opening->reason() == CloseReason::kShutdown
        ? Refusal()
        : Interrupted(dial->where);
  }
  Begin(dial, std::move(socket));
  co_return absl::OkStatus();
}

void Dialler::Begin(const SharedDial& dial,
                    std::shared_ptr<SocketCore> socket) {
  // What goes wrong with the Writer shows as the reason of the connection.
  dial->connection = std::make_shared<StreamConnection>(
      dial->id, socket, SilentMonitor(), dial->options.buffer_age_limit,
      OnLoss::kReset);
  dial->live = shared_.connections.Replace(dial->connection);
  socket->OnClosed([this, dial] { OnClosed(dial); });
  ++connected_total_;
  shared_.events.AppendConnection(v1::EVENT_KIND_CONNECTION_ACCEPTED,
                                  RecordOf(*dial->live), nullptr);
}

// Undoes what Begin() has left half done.
void Dialler::GiveUp(const SharedDial& dial) {
  (void)shared_.connections.Remove(dial->opening->id());
  dial->opening->OnGivenUp();
  if (dial->connection == nullptr) return;
  dial->connection->Close(ExistingConnections::kReset, CloseReason::kDropped);
}

void Dialler::OnClosed(const SharedDial& dial) {
  dial->connection->NoteReason(CloseReason::kHandlerDone);
  const auto live = shared_.connections.Remove(dial->connection->id());
  if (moved_) {
    if (live != nullptr && shared_.successor != nullptr) {
      Guarded([&] { shared_.successor->OnClosed(*live); });
    }
  } else {
    closes_.Count(ToProto(dial->connection->reason()));
    if (live != nullptr) TellOfEnd(*live);
  }
  Forget(dial);
}

void Dialler::TellOfEnd(const LiveConnection& live) {
  Guarded([&] { LogEnd(*live.connection, live.facts); });
  Guarded([&] {
    shared_.events.AppendConnection(v1::EVENT_KIND_CONNECTION_CLOSED,
                                    RecordOf(live), nullptr);
    if (shared_.access_log != nullptr) {
      shared_.access_log->Tell(AccessEvent::kClose, *live.connection,
                               live.facts);
    }
  });
}

void Dialler::OnHeldClosed(int64_t id) {
  --num_held_;
  const auto live = shared_.connections.Remove(id);
  closes_.Count(ToProto(live->connection->reason()));
  TellOfEnd(*live);
  if (idle()) on_idle_();
}

void Dialler::HandOver(ConnectionReports* successor) {
  moved_ = true;
  shared_.successor = successor;
  BeginShutdown();
  const auto dials = dials_;  // A copy: one that is given up leaves the map.
  for (const auto& [id, dial] : dials) {
    if (dial->connection != nullptr) continue;
    dial->opening->Close(ExistingConnections::kReset, CloseReason::kShutdown);
  }
}

absl::Status Dialler::Refusal() const {
  return moved_ ? Moved() : ShuttingDown();
}

void Dialler::Forget(const SharedDial& dial) {
  if (dials_.erase(dial->id) == 0) return;
  shared_.budget.GiveBack(1);
  if (idle()) on_idle_();
}

void Dialler::CloseAll(ExistingConnections how) {
  const auto dials = dials_;  // A copy: one that is closed leaves the map.
  for (const auto& [id, dial] : dials) {
    if (dial->connection == nullptr) {
      dial->opening->Close(how, CloseReason::kShutdown);
    } else if (how == ExistingConnections::kClose) {
      CutStream(*dial->connection, CloseReason::kShutdown);
    } else {
      dial->connection->Close(how, CloseReason::kShutdown);
    }
  }
}

internal::v1::DialTotals Dialler::SaveTotals() const {
  internal::v1::DialTotals totals;
  totals.set_connected_total(connected_total_);
  *totals.mutable_closed_by_reason() = closes_.Save();
  return totals;
}

void Dialler::RestoreTotals(const internal::v1::DialTotals& totals) {
  connected_total_ = totals.connected_total();
  closes_.Restore(totals.closed_by_reason());
}

}  // namespace portreeve::server
