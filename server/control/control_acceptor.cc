#include "server/control/control_acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "lib/base/monitor.h"
#include "lib/base/status.h"
#include "lib/net/peer_credentials.h"
#include "server/control/descriptor_shares.h"

namespace portreeve::server {
namespace {

// These are fewer than the usual 16, so that nothing waits behind clients of
// the control plane.
constexpr int kMostAcceptsPerBatch = 4;

// How often clients that are dropped are logged, at most.
constexpr std::chrono::seconds kDropLogInterval{1};

// Gives gRPC's name of an address.
std::string AddressText(const AnyAddress& peer) {
  const auto* inet = std::get_if<Inet::Address>(&peer);
  if (inet == nullptr) return "unix:";
  const asio::ip::address address = Unmapped(inet->address());
  if (address.is_v4()) {
    return absl::StrCat("ipv4:", address.to_string(), ":", inet->port());
  }
  asio::ip::address_v6 v6 = address.to_v6();
  const unsigned long scope = v6.scope_id();
  v6.scope_id(0);
  return absl::StrCat("ipv6:[", v6.to_string(),
                      scope == 0 ? "" : absl::StrCat("%", scope),
                      "]:", inet->port());
}

// Gives the key, since to gRPC an address is a URI.
std::string KeyOf(const std::string& address) {
  return absl::StrReplaceAll(address,
                             {{"%", "%25"}, {"[", "%5B"}, {"]", "%5D"}});
}

// Refuses what the mode 0600 of a file refuses: whoever is neither the daemon's
// own user nor root.
absl::Status CheckUser(int fd, const std::string& address) {
  const auto credentials = PeerCredentials(fd);
  if (!credentials) return ErrnoError(errno, "getsockopt", address);
  if (credentials->uid == 0 || credentials->uid == geteuid()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat(address, ": user ", credentials->uid,
                   " is neither the daemon's own nor root"));
}

// Does what gRPC does to sockets that it accepts itself.
void PrepareTcp(int fd, std::chrono::milliseconds unacknowledged) {
  const int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto most = static_cast<int>(unacknowledged.count());
  (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof most);
}

}  // namespace

// One address that is listened on.
class ControlAcceptor::Address final : public Acceptor::Owner {
 public:
  Address(ControlAcceptor& owner, ListeningSocket socket)
      : owner_(owner),
        acceptor_(*this, owner.executor_, std::move(socket),
                  {owner.limits_.max_connections, kMostAcceptsPerBatch},
                  &owner.budget_, DescriptorShares::kOfControlConnection) {}

  // Goes on with the socket of another process.
  Address(ControlAcceptor& owner, ListeningSocket socket,
          const FrozenAcceptor& frozen)
      : owner_(owner),
        acceptor_(*this, owner.executor_, std::move(socket), frozen,
                  &owner.budget_, DescriptorShares::kOfControlConnection) {}

  Acceptor& acceptor() { return acceptor_; }
  const AnyAddress& address() const { return acceptor_.socket().address(); }
  bool is_unix() const {
    return std::holds_alternative<Unix::Address>(address());
  }
  // Whether there is no file whose mode keeps others out.
  bool is_abstract() const {
    const auto* name = std::get_if<Unix::Address>(&address());
    return name != nullptr && IsAbstract(name->path());
  }

 private:
  void OnClient(Descriptor fd, const AnyAddress& peer) override {
    (void)acceptor_.policy().OnStart();
    owner_.OnClient(*this, std::move(fd), peer);
  }
  void OnLimitReached(int limit) override {
    Log(LogLevel::kWarning,
        absl::StrCat("the limit of --max-control-connections (", limit,
                     ") is reached: further clients wait"));
  }
  void OnAcceptFailed(int error_number, int64_t count) override {
    if (!owner_.budget_.Has(DescriptorShares::kOfControlConnection)) {
      return OnLimitReached(owner_.limits_.max_connections);
    }
    const absl::Status error =
        ErrnoError(error_number, "accept", ToString(address()));
    Log(LogLevel::kWarning,
        absl::StrCat("control: ", std::string(error.message()), ", ", count,
                     " times; it is tried again"));
  }
  void OnBroken(absl::Status error) override {
    Log(LogLevel::kError,
        absl::StrCat("control: ", std::string(error.message()),
                     "; nobody can connect any more"));
  }
  void OnIdle() override {}

  ControlAcceptor& owner_;
  Acceptor acceptor_;
};

// One connection that gRPC has.
class ControlAcceptor::Client final : public Poller::Watch,
                                      public FloodWatch::Client {
 public:
  Client(ControlAcceptor& owner, Address& address,
         std::shared_ptr<ControlConnection> connection)
      : FloodWatch::Client(*connection),
        owner_(owner),
        address_(address),
        connection_(std::move(connection)) {}

  Address& address() { return address_; }
  const std::shared_ptr<ControlConnection>& shared_connection() const {
    return connection_;
  }

  // Has the poller report bytes that come, and the end.  Gives 0, or an errno.
  int Begin() {
    return owner_.poller_.Add(connection_->native_handle(), EPOLLIN | EPOLLET,
                              *this);
  }
  // Ends that, since gRPC may have the socket for a while longer.
  void End() { owner_.poller_.RemoveNow(connection_->native_handle(), *this); }

 private:
  void OnReady(uint32_t events, int) override {
    if ((events & EPOLLHUP) != 0) return owner_.Forget(*this);
    owner_.flood_watch_.OnBytes(*this);
  }
  void TellOfBytes(bool told) override {
    (void)owner_.poller_.Change(connection_->native_handle(),
                                told ? EPOLLIN | EPOLLET : EPOLLET, *this);
    if (told) owner_.EndNeedlessTimer();
  }

  ControlAcceptor& owner_;
  Address& address_;
  const std::shared_ptr<ControlConnection> connection_;
};

ControlAcceptor::ControlAcceptor(const Executor& executor, const Limits& limits,
                                 bool secure, ControlTable& table,
                                 ControlMemory& memory)
    : executor_(executor),
      limits_(limits),
      secure_(secure),
      table_(table),
      poller_(Poller::Of(LoopOf(executor))),
      time_(TimeSource::Of(executor)),
      budget_(limits.max_connections * DescriptorShares::kOfControlConnection),
      handshakes_(static_cast<size_t>(limits.max_handshakes), limits.handshake,
                  [](const std::shared_ptr<ControlConnection>& connection) {
                    return connection->called() || !connection->is_open();
                  }),
      handshake_timer_(time_),
      flood_watch_(time_, table, memory) {}

ControlAcceptor::~ControlAcceptor() { Close(); }

absl::Status ControlAcceptor::Listen(const ControlPlace& place,
                                     std::optional<Descriptor> given) {
  const auto open = [&](const auto& where) {
    constexpr int kBacklog = 128;
    if (!given) return ListeningSocket::Open(executor_, where, kBacklog);
    // Who waits in its backlog while no daemon runs is not to be refused.
    return ListeningSocket::Adopt(executor_, where, SOMAXCONN,
                                  *std::move(given), /*shut_down=*/false);
  };
  auto socket = [&]() -> absl::StatusOr<ListeningSocket> {
    if (const auto* inet = std::get_if<Inet::Address>(&place.address)) {
      auto where =
          WhereToListen<Inet>::OfAddress(inet->address(), inet->port());
      where.ipv6_only = false;
      return open(where);
    }
    auto where = WhereToListen<Unix>::OfFile(
        std::get<Unix::Address>(place.address).path());
    where.mode = place.mode;
    where.group = place.group;
    return open(where);
  }();
  if (!socket.ok()) return socket.status();
  addresses_.push_back(std::make_unique<Address>(*this, *std::move(socket)));
  return absl::OkStatus();
}

absl::Status ControlAcceptor::Resume(HandedSocket handed) {
  FrozenAcceptor frozen;
  frozen.socket = handed.frozen;
  frozen.limits = {limits_.max_connections, kMostAcceptsPerBatch};
  auto socket = ListeningSocket::Resume(executor_, handed.frozen,
                                        std::move(handed.descriptor));
  if (!socket.ok()) return socket.status();
  addresses_.push_back(
      std::make_unique<Address>(*this, *std::move(socket), frozen));
  return absl::OkStatus();
}

std::vector<FrozenListeningSocket> ControlAcceptor::Freeze() const {
  std::vector<FrozenListeningSocket> sockets;
  for (const auto& address : addresses_) {
    sockets.push_back(address->acceptor().socket().Freeze());
  }
  return sockets;
}

void ControlAcceptor::HandOverSockets() {
  for (const auto& address : addresses_) address->acceptor().HandOver();
}

void ControlAcceptor::Own() {
  for (const auto& address : addresses_) address->acceptor().Own();
}

std::vector<AnyAddress> ControlAcceptor::addresses() const {
  std::vector<AnyAddress> addresses;
  for (const auto& address : addresses_) {
    addresses.push_back(address->address());
  }
  return addresses;
}

absl::Status ControlAcceptor::Start(HandOver hand_over) {
  hand_over_ = std::move(hand_over);
  for (const auto& address : addresses_) {
    if (const int error = address->acceptor().Start(); error != 0) {
      return ErrnoError(error, "epoll_ctl", ToString(address->address()));
    }
  }
  return absl::OkStatus();
}

void ControlAcceptor::StopAccepting() {
  for (const auto& address : addresses_) address->acceptor().Close();
}

void ControlAcceptor::Close() {
  StopAccepting();
  while (!clients_.empty()) Forget(*clients_.begin()->first);
  handshake_timer_.Cancel();
  flood_watch_.Close();
}

void ControlAcceptor::OnClient(Address& address, Descriptor fd,
                               const AnyAddress& peer) {
  const bool is_unix = address.is_unix();
  if (!is_unix) PrepareTcp(fd.get(), limits_.unacknowledged);
  std::shared_ptr<ControlConnection> connection;
  absl::Status watched;
  try {
    if (address.is_abstract()) {
      watched = CheckUser(fd.get(), ToString(address.address()));
    }
    if (watched.ok()) {
      auto described = Describe(fd.get(), is_unix, peer);
      watched = described.status();
      if (watched.ok()) watched = Watch(address, *described);
      if (watched.ok()) connection = *std::move(described);
    }
    if (!watched.ok()) NoteDropped(watched);
  } catch (...) {
    Monitor::TopLevel().Send(std::current_exception());  // Out of memory.
  }
  if (connection == nullptr) return Leave(address);
  try {
    TakeIn(connection, std::move(fd), is_unix);
  } catch (...) {
    // There is no memory.  Half taken in, the client would keep its place;
    // epoll reports its end by the copy of the socket.
    Monitor::TopLevel().Send(std::current_exception());
    connection->ShutDown();
  }
}

void ControlAcceptor::TakeIn(
    const std::shared_ptr<ControlConnection>& connection, Descriptor fd,
    bool is_unix) {
  EndNamesake(*connection);
  table_.Add(connection);
  if (const auto oldest = handshakes_.Enter(connection, time_.Now())) {
    (*oldest)->ShutDown();
  }
  if (clients_.size() >= static_cast<size_t>(limits_.max_connections)) {
    // This makes a place for the next client.
    if (const auto oldest = handshakes_.GiveWay()) (*oldest)->ShutDown();
  }
  AwaitHandshakes();
  hand_over_(fd.Release(), is_unix);
}

void ControlAcceptor::NoteDropped(const absl::Status& why) {
  ++num_dropped_;
  const TimePoint now = time_.Now();
  if (drop_logged_ && now - *drop_logged_ < kDropLogInterval) return;
  drop_logged_ = now;
  Log(LogLevel::kWarning,
      absl::StrCat("control: a client is dropped: ", std::string(why.message()),
                   " (", num_dropped_, " since the start)"));
}

// From one port a client can connect to several of the daemon's addresses.
// gRPC names connections of TLS by the client's address alone: the calls of one
// connection would count for the other.
void ControlAcceptor::EndNamesake(const ControlConnection& connection) const {
  if (!connection.is_secure()) return;
  if (const auto older = table_.Find(connection.key())) {
    if (!older->ShutDown()) return;
    Log(LogLevel::kWarning,
        absl::StrCat("control: another connection has the address ",
                     connection.Identity(),
                     " and the same port: the older one is ended"));
  }
}

absl::StatusOr<std::shared_ptr<ControlConnection>> ControlAcceptor::Describe(
    int fd, bool is_unix, const AnyAddress& peer) const {
  ControlConnection::Client client;
  client.address = AddressText(peer);
  client.is_secure = secure_ && !is_unix;
  client.key =
      client.is_secure ? KeyOf(client.address) : absl::StrCat("fd:", fd);
  if (is_unix) {
    client.credentials = PeerCredentials(fd);
    if (!client.credentials) return ErrnoError(errno, "getsockopt", "unix:");
  }
  Descriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.is_open()) return ErrnoError(errno, "dup", client.address);
  return std::make_shared<ControlConnection>(std::move(client), std::move(copy),
                                             expected_);
}

absl::Status ControlAcceptor::Watch(
    Address& address, const std::shared_ptr<ControlConnection>& connection) {
  auto made = std::make_unique<Client>(*this, address, connection);
  Client* const client = made.get();
  clients_.emplace(client, std::move(made));
  int error = ENOMEM;
  Guarded([&] { error = client->Begin(); });
  if (error == 0) return absl::OkStatus();
  clients_.erase(client);
  return ErrnoError(error, "epoll_ctl", connection->key());
}

void ControlAcceptor::AwaitHandshakes() {
  if (handshake_timer_.armed()) return;
  if (const auto next = handshakes_.next()) {
    handshake_timer_.StartAt(*next, [this] { ExpireHandshakes(); });
  }
}

// An idle loop is not to wake for clients that have long shown what they want.
void ControlAcceptor::EndNeedlessTimer() {
  if (handshake_timer_.armed() && !handshakes_.next()) {
    handshake_timer_.Cancel();
  }
}

void ControlAcceptor::ExpireHandshakes() {
  while (const auto late = handshakes_.Expire(time_.Now())) {
    // gRPC has ended the ones whose TLS is not through.
    if (!(*late)->is_secure()) (*late)->ShutDown();
  }
  AwaitHandshakes();
}

void ControlAcceptor::Forget(Client& client) {
  Address& address = client.address();
  const auto connection = client.shared_connection();
  client.End();
  flood_watch_.OnEnded(client);
  connection->Forget();
  clients_.erase(&client);
  table_.OnEnded(connection);
  Leave(address);
  EndNeedlessTimer();
}

void ControlAcceptor::Leave(Address& address) {
  address.acceptor().policy().OnFinished();
  address.acceptor().GiveBackDescriptors(
      DescriptorShares::kOfControlConnection);
}

}  // namespace portreeve::server
