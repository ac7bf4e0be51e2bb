// What a thread finds that has frozen the loops of servers, while clients come
// and go.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/lane/direct_connection.h"
#include "lib/lane/loop_group.h"
#include "lib/serve/any_server.h"

namespace portreeve {
namespace {

// What the connections of a lane count there, without any lock.
struct Counts {
  int64_t begun = 0;
  int64_t finished = 0;
};

// Ends with the first byte.
class Ender final : public DirectConnection {
 public:
  Ender(Accepted accepted, Counts& counts)
      : DirectConnection(std::move(accepted)), counts_(counts) {}

 private:
  void Begin() override { ++counts_.begun; }
  void OnReady(uint32_t, int) override {
    char byte;
    if (finished() || recv(fd(), &byte, 1, 0) < 0) return;
    // It takes its time, so that a freeze comes while it does.
    for (int i = 0; i < 20; ++i) std::this_thread::yield();
    End(How::kAtOnce);
  }
  void CloseInOrder(CloseReason) override { End(How::kInOrder); }
  void CloseWithReset() override { End(How::kReset); }
  void OnRing(TimePoint) override {}

  void End(How how) {
    if (finished()) return;
    ++counts_.finished;
    NoteReason(CloseReason::kHandlerDone);
    Finish(how);
  }

  Counts& counts_;
};

// Connects, says a byte, waits for the end, again and again.
class Client {
 public:
  explicit Client(const Inet::Address& address)
      : address_(address), thread_([this] { Run(); }) {}
  ~Client() {
    stopped_ = true;
    thread_.join();
  }

  // How many connections have come to their ends.
  int num_served() const { return num_served_; }
  int num_failed() const { return num_failed_; }

 private:
  void Run() {
    while (!stopped_) {
      const Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      char byte = 'x';
      const bool served =
          connect(fd.get(), address_.data(),
                  static_cast<socklen_t>(address_.size())) == 0 &&
          send(fd.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
          recv(fd.get(), &byte, 1, 0) == 0;
      ++(served ? num_served_ : num_failed_);
    }
  }

  const Inet::Address address_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> num_served_{0}, num_failed_{0};
  std::thread thread_;
};

class FrozenServersTest : public ::testing::Test {
 protected:
  static constexpr int kFreezes = 100;

  FrozenServersTest() {
    home_.Run([this] { group_ = std::make_unique<LoopGroup>(home_, 3); }).get();
    counts_[&Lane::Of(home_.context())];
    for (const auto& loop : group_->others()) {
      counts_[&Lane::Of(loop->context())];
    }
  }
  ~FrozenServersTest() override {
    for (auto& server : servers_) {
      home_.RunTask(server->TearDown()).get();
      home_.Run([&server] { server.reset(); }).get();
    }
  }

  ServerOptions Options() {
    ServerOptions options;
    options.max_connections = 100;
    options.max_accepts_per_batch = 16;
    options.lanes = &group_->lanes();
    return options;
  }

  DirectHandler Enders() {
    DirectHandler handler;
    handler.make = [this](DirectConnection::Accepted accepted) {
      Counts& counts = counts_.at(&accepted.lane);
      return std::make_shared<Ender>(std::move(accepted), counts);
    };
    return handler;
  }

  CoroutineHandler Coroutines() {
    CoroutineHandler handler;
    handler.run = [this](StreamConnection& client) -> Task<> {
      return EndWithAByte(this, client.reader());
    };
    return handler;
  }
  static Task<> EndWithAByte(FrozenServersTest* self, Reader& reader) {
    ++self->num_calls_;
    char byte;
    co_await reader.Read({&byte, 1});
  }

  AnyServer& Create(AnyHandler handler) {
    auto create = [&] {
      return AnyServer::Create(
          home_.executor(), WhereToListen<Inet>::OfLocalhost(0),
          RaiseHandlerError(), std::move(handler), Options());
    };
    auto created = home_.Run(create).get();
    EXPECT_TRUE(created.ok()) << created.status();
    servers_.push_back(*std::move(created));
    return *servers_.back();
  }

  FrozenLoops Freeze() {
    auto frozen = group_->Freeze(
        After(std::chrono::steady_clock::now(), std::chrono::minutes(1)));
    EXPECT_TRUE(frozen.ok()) << frozen.status();
    return *std::move(frozen);
  }

  Counts AllCounts() const {
    Counts all;
    for (const auto& [lane, counts] : counts_) {
      all.begun += counts.begun;
      all.finished += counts.finished;
    }
    return all;
  }

  static Inet::Address AddressOf(const AnyServer& server) {
    return std::get<Inet::Address>(server.listening_on());
  }
  static std::vector<std::unique_ptr<Client>> ClientsOf(
      const AnyServer& server) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 3; ++i) {
      clients.push_back(std::make_unique<Client>(AddressOf(server)));
    }
    return clients;
  }
  static void AwaitMore(const Client& client) {
    const int before = client.num_served();
    while (client.num_served() == before) std::this_thread::yield();
  }

  Loop home_;
  std::unique_ptr<LoopGroup> group_;
  std::map<const Lane*, Counts> counts_;  // It does not change.
  int64_t num_calls_ = 0;                 // Home's.
  std::vector<std::unique_ptr<AnyServer>> servers_;
};

// Those that were accepted have begun, wherever they are, and the server knows
// of all that are closed.
TEST_F(FrozenServersTest, OfDirectConnectionsNoneIsOnItsWay) {
  AnyServer& server = Create(Enders());
  const auto clients = ClientsOf(server);
  for (int i = 0; i < kFreezes; ++i) {
    AwaitMore(*clients[i % clients.size()]);
    const FrozenLoops frozen = Freeze();
    const Counts counts = AllCounts();
    EXPECT_EQ(counts.begun, server.accepted_total());
    EXPECT_EQ(server.accepted_total() - counts.finished,
              static_cast<int64_t>(server.connections().size()));
    EXPECT_EQ(server.num_connections(),
              static_cast<int>(server.connections().size()));
    for (const auto& [id, connection] : server.connections()) {
      EXPECT_EQ(connection->reason(), CloseReason::kNone);
    }
    EXPECT_EQ(server.Freeze().accepted_total, counts.begun);
  }
  for (const auto& client : clients) EXPECT_EQ(client->num_failed(), 0);
}

// A handler is decided on in a step after that of the accept.
TEST_F(FrozenServersTest, OfThoseWhoWereAcceptedEachIsDecided) {
  AnyServer& server = Create(Coroutines());
  const auto clients = ClientsOf(server);
  for (int i = 0; i < kFreezes; ++i) {
    AwaitMore(*clients[i % clients.size()]);
    const FrozenLoops frozen = Freeze();
    EXPECT_EQ(server.Freeze().accepted_total, num_calls_);
  }
  for (const auto& client : clients) EXPECT_EQ(client->num_failed(), 0);
}

// All of a hand-over is done by a thread that is no loop's.
TEST_F(FrozenServersTest, WhoHasFrozenThemMakesTheSuccessorAndNobodyIsRefused) {
  AnyServer* server = &Create(Enders());
  {
    const auto clients = ClientsOf(*server);
    for (int i = 0; i < 10; ++i) {
      for (const auto& client : clients) AwaitMore(*client);
      const FrozenLoops frozen = Freeze();
      const FrozenServer old = server->Freeze();
      auto adopted =
          AnyServer::Adopt(home_.executor(), old,
                           Descriptor(dup(old.acceptor.socket.descriptor)),
                           RaiseHandlerError(), Enders(), Options());
      ASSERT_TRUE(adopted.ok()) << adopted.status();
      server->HandOver();
      (*adopted)->Own();
      servers_.push_back(*std::move(adopted));
      server = servers_.back().get();
    }
    for (const auto& client : clients) {
      AwaitMore(*client);
      EXPECT_EQ(client->num_failed(), 0);
    }
  }
  const FrozenLoops frozen = Freeze();
  for (const auto& any : servers_) {
    EXPECT_EQ(any->is_closed(), any.get() != server);
    EXPECT_EQ(any->native_handle() >= 0, any.get() == server);
  }
}

}  // namespace
}  // namespace portreeve
