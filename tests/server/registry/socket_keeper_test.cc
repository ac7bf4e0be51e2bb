// Listeners whose sockets somebody keeps.
#include "server/registry/socket_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "lib/base/descriptor.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

int PortOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

bool Listens(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size), 0);
  return value != 0;
}

// One that answers when the test says so.
class Keeper final : public SocketKeeper {
 public:
  void Keep(const std::string& id, int socket) override {
    EXPECT_TRUE(Listens(socket));
    kept.insert_or_assign(id, Descriptor(dup(socket)));
  }
  void Release(const std::string& id, std::function<void()> done) override {
    EXPECT_EQ(kept.count(id), 1u);
    releasing.insert_or_assign(id, std::move(done));
  }
  void Answer(const std::string& id) {
    kept.erase(id);
    const auto done = std::move(releasing.at(id));
    releasing.erase(id);
    done();
  }

  std::map<std::string, Descriptor> kept;
  std::map<std::string, std::function<void()>> releasing;
};

class SocketKeeperTest : public RegistryTest {
 protected:
  SocketKeeperTest() { registry_->KeepSocketsBy(keeper_); }

  v1::ListenerStatus StatusOf(const std::string& id) {
    return registry_->Get(id)->message().status();
  }
  std::vector<v1::Event::KindCase> TakeKinds() {
    std::vector<v1::Event::KindCase> kinds;
    for (const v1::Event& event : TakeEvents()) {
      kinds.push_back(event.kind_case());
    }
    return kinds;
  }

  Keeper keeper_;
};

TEST_F(SocketKeeperTest, HasWhatListens) {
  Create("web");
  ASSERT_EQ(keeper_.kept.size(), 1u);
  const int port = StatusOf("web").listening_on().inet().port();
  EXPECT_EQ(PortOf(keeper_.kept.at("web").get()), port);
  // Neither what cannot be opened nor what is only tried.
  auto request = Request("api");
  request.mutable_spec()->mutable_where_to_listen()->mutable_inet()->set_port(
      port);
  EXPECT_FALSE(TryCreate(request).ok());
  request = Request("api");
  request.set_validate_only(true);
  EXPECT_TRUE(TryCreate(request).ok());
  EXPECT_EQ(keeper_.kept.size(), 1u);
}

TEST_F(SocketKeeperTest, ACloseWaitsUntilItIsReleased) {
  Create("web");
  TakeEvents();
  const auto closing = registry_->Close("web", ExistingConnections::kLeave,
                                        v1::WAIT_FOR_CLOSE_FINISHED);
  const auto ending =
      registry_->CloseFinished("web", v1::WAIT_FOR_HANDLERS_DETERMINED);
  Settle();
  EXPECT_EQ(keeper_.releasing.count("web"), 1u);
  EXPECT_FALSE(closing->until.determined());
  EXPECT_FALSE(ending->until.determined());
  EXPECT_EQ(StatusOf("web").state(), v1::LISTENER_STATE_CLOSING);
  EXPECT_FALSE(StatusOf("web").handlers_determined());
  EXPECT_EQ(ReasonOf(DeleteNow(*registry_, "web")), "LISTENER_OPEN");
  // The copy that is kept does not listen any more.
  EXPECT_FALSE(Listens(keeper_.kept.at("web").get()));
  keeper_.Answer("web");
  Settle();
  EXPECT_TRUE(closing->until.determined());
  EXPECT_TRUE(ending->until.determined());
  EXPECT_EQ(StatusOf("web").state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerCloseStarted,
                                       v1::Event::kListenerCloseFinished,
                                       v1::Event::kListenerHandlersDetermined));
  EXPECT_TRUE(DeleteNow(*registry_, "web").ok());
}

TEST_F(SocketKeeperTest, HandlersMayEndBeforeOrAfterTheRelease) {
  for (const bool before : {false, true}) {
    const v1::Listener web = Create("web");
    auto client = Connect(web);
    ASSERT_TRUE(RunUntil([&] { return num_connections() == 1; }));
    TakeEvents();
    const auto closing = registry_->Close("web", ExistingConnections::kLeave,
                                          v1::WAIT_FOR_CLOSE_FINISHED);
    Settle();
    if (before) {
      client.Close();
      ASSERT_TRUE(RunUntil([&] { return num_connections() == 0; }));
    }
    keeper_.Answer("web");
    ASSERT_TRUE(RunUntil([&] { return closing->until.determined(); }));
    if (!before) client.Close();
    ASSERT_TRUE(
        RunUntil([&] { return StatusOf("web").handlers_determined(); }));
    const auto kinds = TakeKinds();
    EXPECT_EQ(kinds.back(), v1::Event::kListenerHandlersDetermined);
    EXPECT_TRUE(DeleteNow(*registry_, "web").ok());
  }
}

TEST_F(SocketKeeperTest, TheEndOfTheDaemonLeavesThemOpen) {
  const v1::Listener web = Create("web");
  registry_->BeginShutdown();
  Settle();
  EXPECT_THAT(keeper_.releasing, IsEmpty());
  EXPECT_EQ(StatusOf("web").state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_TRUE(Listens(keeper_.kept.at("web").get()));
  Connect(web);
}

TEST_F(SocketKeeperTest, TheEndOfTheDaemonWaitsForAReleaseThatHasBegun) {
  Create("web");
  const auto closing = registry_->Close("web", ExistingConnections::kLeave,
                                        v1::WAIT_FOR_CLOSE_FINISHED);
  Settle();
  registry_->BeginShutdown();
  Settle();
  EXPECT_FALSE(registry_->AllHandlersDetermined().determined());
  keeper_.Answer("web");
  Settle();
  EXPECT_TRUE(registry_->AllHandlersDetermined().determined());
  EXPECT_TRUE(closing->until.determined());
}

}  // namespace
}  // namespace portreeve::server
