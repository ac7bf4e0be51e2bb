#include "server/http/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "lib/base/asio.h"
#include "lib/base/check.h"
#include "lib/base/descriptor.h"
#include "lib/base/log.h"
#include "lib/base/monitor.h"
#include "lib/base/status.h"
#include "lib/net/peer_credentials.h"
#include "lib/serve/acceptor.h"

namespace portreeve::server {
namespace {

constexpr int kBacklog = 128;
constexpr int kMostAcceptsPerBatch = 16;
constexpr int kDescriptorsPerClient = 1;

// How often it is logged that there are too many clients, at most.
constexpr std::chrono::minutes kRefusalLogInterval{1};

}  // namespace

// One address that is listened on.
class HttpServer::Address final : public Acceptor::Owner {
 public:
  Address(HttpServer& owner, ListeningSocket socket)
      : owner_(owner),
        acceptor_(*this, owner.executor_, std::move(socket),
                  {owner.max_clients(), kMostAcceptsPerBatch}, &owner.budget_,
                  kDescriptorsPerClient) {}

  // Goes on with the socket of another process.
  Address(HttpServer& owner, ListeningSocket socket,
          const FrozenAcceptor& frozen)
      : owner_(owner),
        acceptor_(*this, owner.executor_, std::move(socket), frozen,
                  &owner.budget_, kDescriptorsPerClient) {}

  Acceptor& acceptor() { return acceptor_; }
  const AnyAddress& address() const { return acceptor_.socket().address(); }
  bool is_unix() const {
    return std::holds_alternative<Unix::Address>(address());
  }

 private:
  void OnClient(Descriptor fd, const AnyAddress&) override {
    (void)acceptor_.policy().OnStart();
    owner_.OnClient(*this, std::move(fd));
  }
  // Whoever comes after the last who is served has been told.
  void OnLimitReached(int) override {}
  void OnAcceptFailed(int error_number, int64_t count) override {
    if (!owner_.budget_.Has(kDescriptorsPerClient)) return;
    const absl::Status error =
        ErrnoError(error_number, "accept", ToString(address()));
    Log(LogLevel::kWarning,
        absl::StrCat("http: ", std::string(error.message()), ", ", count,
                     " times; it is tried again"));
  }
  void OnBroken(absl::Status error) override {
    Log(LogLevel::kError, absl::StrCat("http: ", std::string(error.message()),
                                       "; nobody can connect any more"));
  }
  void OnIdle() override {}

  HttpServer& owner_;
  Acceptor acceptor_;
};

HttpServer::HttpServer(const Executor& executor, Options options)
    : executor_(executor),
      max_connections_(options.max_connections),
      max_refused_(options.max_refused),
      tls_(std::move(options.tls)),
      time_(TimeSource::Of(executor)),
      budget_(max_clients() * kDescriptorsPerClient),
      service_{options.times, std::move(options.pages),
               std::move(options.host_names),
               std::make_shared<LoopLink>(LoopOf(executor))},
      tasks_(executor) {}

HttpServer::~HttpServer() = default;

absl::Status HttpServer::Listen(const HttpPlace& place) {
  auto socket = [&]() -> absl::StatusOr<ListeningSocket> {
    if (const auto* inet = std::get_if<Inet::Address>(&place.address)) {
      auto where =
          WhereToListen<Inet>::OfAddress(inet->address(), inet->port());
      where.ipv6_only = false;
      return ListeningSocket::Open(executor_, where, kBacklog);
    }
    auto where = WhereToListen<Unix>::OfFile(
        std::get<Unix::Address>(place.address).path());
    where.mode = place.mode;
    where.group = place.group;
    return ListeningSocket::Open(executor_, where, kBacklog);
  }();
  if (!socket.ok()) return socket.status();
  addresses_.push_back(std::make_unique<Address>(*this, *std::move(socket)));
  return absl::OkStatus();
}

absl::Status HttpServer::Resume(HandedSocket handed) {
  FrozenAcceptor frozen;
  frozen.socket = handed.frozen;
  frozen.limits = {max_clients(), kMostAcceptsPerBatch};
  auto socket = ListeningSocket::Resume(executor_, handed.frozen,
                                        std::move(handed.descriptor));
  if (!socket.ok()) return socket.status();
  addresses_.push_back(
      std::make_unique<Address>(*this, *std::move(socket), frozen));
  return absl::OkStatus();
}

std::vector<FrozenListeningSocket> HttpServer::Freeze() const {
  std::vector<FrozenListeningSocket> sockets;
  for (const auto& address : addresses_) {
    sockets.push_back(address->acceptor().socket().Freeze());
  }
  return sockets;
}

void HttpServer::HandOver() {
  for (const auto& address : addresses_) address->acceptor().HandOver();
}

void HttpServer::Own() {
  for (const auto& address : addresses_) address->acceptor().Own();
}

std::vector<AnyAddress> HttpServer::addresses() const {
  std::vector<AnyAddress> addresses;
  for (const auto& address : addresses_) {
    addresses.push_back(address->address());
  }
  return addresses;
}

absl::Status HttpServer::Start() {
  for (const auto& address : addresses_) {
    if (const int error = address->acceptor().Start(); error != 0) {
      return ErrnoError(error, "epoll_ctl", ToString(address->address()));
    }
  }
  return absl::OkStatus();
}

Task<> HttpServer::Stop() {
  service_.link->Cut();
  for (const auto& address : addresses_) address->acceptor().Close();
  for (const auto& session : sessions_) session->Close();
  tasks_.Cancel();
  co_await tasks_.Join();
}

void HttpServer::OnClient(Address& address, Descriptor fd) {
  std::shared_ptr<HttpSession> session;
  try {
    session = MakeSession(address, std::move(fd));
    sessions_.insert(session);
    Spawn(address, session);
    if (session->is_one_too_many()) ++num_refused_;
  } catch (...) {
    Monitor::TopLevel().Send(std::current_exception());  // Out of memory.
    sessions_.erase(session);
    session.reset();
    Leave(address);
  }
}

void HttpServer::Spawn(Address& address, std::shared_ptr<HttpSession> session) {
  auto on_exit = [this, &address, session](std::exception_ptr error) {
    if (error && !IsCancelled(error)) Monitor::TopLevel().Send(error);
    // Whoever still has to answer it has no hold of it.
    session->Close();
    sessions_.erase(session);
    if (session->is_one_too_many()) --num_refused_;
    Leave(address);
  };
  (void)tasks_.Spawn(HttpSession::Run(session), std::move(on_exit));
}

std::shared_ptr<HttpSession> HttpServer::MakeSession(const Address& address,
                                                     Descriptor fd) {
  HttpSession::Client client;
  std::shared_ptr<TlsContext> tls = tls_ ? tls_() : nullptr;
  PORTREEVE_CHECK(!tls_ || tls != nullptr);
  if (tls != nullptr) client.host_names = tls->names();
  if (address.is_unix()) {
    tls.reset();
    client.peer.credentials = PeerCredentials(fd.get());
    // Without them it would pass for a client of TCP.
    if (!client.peer.credentials) {
      throw std::system_error(errno, std::generic_category(), "getsockopt");
    }
    client.peer.groups = PeerGroups(fd.get());
  } else {
    const int on = 1;
    (void)setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  client.peer.is_secure = tls != nullptr;
  if (IsFull()) MakePlace();
  client.is_one_too_many = IsFull();
  if (client.is_one_too_many) NoteOneTooMany();
  StreamSocket socket(LoopOf(executor_).get_executor());
  error_code error;
  socket.assign(
      asio::generic::stream_protocol(address.is_unix() ? AF_UNIX : AF_INET, 0),
      fd.get(), error);
  if (error) throw boost::system::system_error(error, "epoll_ctl");
  (void)fd.Release();
  return std::make_shared<HttpSession>(
      executor_, service_, HttpStream::Make(std::move(socket), std::move(tls)),
      std::move(client));
}

bool HttpServer::IsFull() const {
  return sessions_.size() >= max_connections_ + num_refused_;
}

// Without it, clients that say nothing would keep those out who ask for health.
void HttpServer::MakePlace() {
  TimePoint longest = time_.Now() - service_.times.place;
  HttpSession* found = nullptr;
  for (const auto& session : sessions_) {
    const auto since = session->waits_since();
    if (session->is_one_too_many() || !since || *since > longest) continue;
    longest = *since;
    found = session.get();
  }
  if (found == nullptr) return;
  found->GiveWay();
  ++num_refused_;
}

void HttpServer::NoteOneTooMany() {
  const TimePoint now = time_.Now();
  if (refusal_logged_ && now - *refusal_logged_ < kRefusalLogInterval) return;
  refusal_logged_ = now;
  Log(LogLevel::kWarning,
      absl::StrCat("http: there are ", max_connections_,
                   " connections: further clients are answered 503"));
}

void HttpServer::Leave(Address& address) {
  address.acceptor().policy().OnFinished();
  address.acceptor().GiveBackDescriptors(kDescriptorsPerClient);
}

}  // namespace portreeve::server
