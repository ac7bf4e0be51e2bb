// Connections of clients that the former process gives away later.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/api/names.h"
#include "server/registry/connection_table.h"
#include "server/registry/registry.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverConnection;
using internal::v1::HandoverMovedOn;
using std::chrono::seconds;
using testing::RawClient;

// The other process is the test.
class MovedOnTest : public RegistryTest {
 protected:
  MovedOnTest()
      : peer_(loop(), [this](const std::function<bool()>& condition) {
          return RunUntil(condition);
        }) {
    v1::CreateListenerRequest request = Request("web");
    auto& remote = *request.mutable_spec()->mutable_handler()->mutable_remote();
    remote.mutable_claim_timeout()->set_seconds(1);
    EXPECT_TRUE(TryCreate(request).ok());
  }

  // The other process has a connection of this listener, and says so.
  void Hold(int64_t id, bool may_follow) {
    HandoverConnection record;
    v1::Connection& connection = *record.mutable_connection();
    connection.set_name(ConnectionName(id));
    connection.set_listener("listeners/web");
    for (v1::Address* address :
         {connection.mutable_peer(), connection.mutable_local()}) {
      address->mutable_inet()->set_address("127.0.0.1");
      address->mutable_inet()->set_port(1000);
    }
    record.mutable_held_by_predecessor()->set_may_follow(may_follow);
    const absl::Status taken = registry_->TakeConnection(record, {});
    EXPECT_TRUE(taken.ok()) << taken;
  }

  static HandoverMovedOn RecordOf(int64_t id, const std::string& to_write) {
    HandoverMovedOn record;
    record.set_id(id);
    record.set_num_bytes(static_cast<int64_t>(to_write.size()));
    return record;
  }
  // It comes; peer_ is at its other end.
  void MoveOn(const HandoverMovedOn& record, std::string to_write) {
    asio::ip::tcp::acceptor acceptor(loop(),
                                     {asio::ip::address_v4::loopback(), 0});
    EXPECT_EQ(peer_.Connect(Inet::Address(acceptor.local_endpoint())), "ok");
    std::vector<Descriptor> descriptors;
    descriptors.emplace_back(acceptor.accept().release());
    registry_->OnHeldMovedOn(record, std::move(to_write),
                             std::move(descriptors));
  }
  // `live` is what a client has of it.
  void CloseAndForget(int64_t id,
                      const std::shared_ptr<LiveConnection>& live = nullptr) {
    EXPECT_TRUE(
        registry_->CloseConnection(id, ExistingConnections::kReset).ok());
    if (live != nullptr) live->facts.claim->End(nullptr);
    EXPECT_TRUE(
        RunUntil([&] { return registry_->connections().Find(id) == nullptr; }));
    Settle();
  }
  // What the events say of its end.
  v1::CloseReason ReasonOfClosed() {
    for (const v1::Event& event : TakeEvents()) {
      if (event.has_connection_closed()) {
        return event.connection_closed().connection().close_reason();
      }
    }
    return v1::CLOSE_REASON_UNSPECIFIED;
  }

  RawClient peer_;
};

TEST_F(MovedOnTest, RoomIsKeptForWhatMayFollow) {
  const int free = budget_.num_free();
  Hold(1, true);
  EXPECT_EQ(budget_.num_free(), free - 1);
  Hold(2, false);
  EXPECT_EQ(budget_.num_free(), free - 1);
  // From now on it is its socket that takes it.
  MoveOn(RecordOf(1, ""), "");
  EXPECT_EQ(budget_.num_free(), free - 1);
  CloseAndForget(1);
  EXPECT_EQ(budget_.num_free(), free);
}

// What each client may ask for besides.
TEST_F(MovedOnTest, ThoseThatAwaitTheirClientsAreCounted) {
  const auto awaited = registry_->num_awaited();
  for (const int64_t id : {1, 2, 3}) Hold(id, true);
  Hold(4, false);
  EXPECT_EQ(*awaited, 3);
  registry_->OnHeldLost(1);
  EXPECT_EQ(*awaited, 2);
  MoveOn(RecordOf(2, ""), "");
  EXPECT_EQ(*awaited, 2);
  const auto live = registry_->Attach(2);
  ASSERT_TRUE(live.ok()) << live.status();
  Settle();
  EXPECT_EQ(*awaited, 1);
  CloseAndForget(2, *live);
  EXPECT_EQ(*awaited, 1);
  peer_.Close();
  // This one is closed before a client comes.
  MoveOn(RecordOf(3, ""), "");
  EXPECT_EQ(*awaited, 1);
  CloseAndForget(3);
  EXPECT_EQ(*awaited, 0);
}

TEST_F(MovedOnTest, RoomThatIsNotNeededAnyMoreIsGivenBack) {
  const int free = budget_.num_free();
  for (const int64_t id : {1, 2, 3, 4}) Hold(id, true);
  EXPECT_EQ(budget_.num_free(), free - 4);
  v1::Connection closed;
  closed.set_name(ConnectionName(1));
  registry_->OnHeldClosed(closed);
  EXPECT_EQ(budget_.num_free(), free - 3);
  registry_->OnHeldLost(2);
  EXPECT_EQ(budget_.num_free(), free - 2);
  // Of this one a byte is missing.
  MoveOn(RecordOf(3, "xy"), "x");
  EXPECT_EQ(budget_.num_free(), free - 1);
  EXPECT_EQ(peer_.Receive(), "ECONNRESET");
  EXPECT_EQ(TakeLog().size(), 1u);
  registry_->OnHolderLost(CloseReason::kForced);
  EXPECT_EQ(budget_.num_free(), free);
  EXPECT_EQ(num_connections(), 0u);
}

// The former process has let it in, whatever there is here.
TEST_F(MovedOnTest, WhatFollowsIsTakenThoughThereIsNoRoom) {
  const int free = budget_.num_free();
  budget_.Take(free);
  Hold(1, true);
  EXPECT_EQ(budget_.num_free(), -1);
  MoveOn(RecordOf(1, "hello"), "hello");
  EXPECT_EQ(peer_.ReceiveExactly(5), "hello");
  EXPECT_EQ(budget_.num_free(), -1);
  CloseAndForget(1);
  EXPECT_EQ(budget_.num_free(), 0);
  budget_.GiveBack(free);
}

class ClaimedTest : public MovedOnTest,
                    public ::testing::WithParamInterface<bool> {
 protected:
  HandoverMovedOn Record(const std::string& to_write) {
    HandoverMovedOn record = RecordOf(1, to_write);
    record.set_was_claimed(GetParam());
    return record;
  }
};

TEST_P(ClaimedTest, OneThatNobodyClaimsIsReset) {
  Hold(1, true);
  MoveOn(Record("hello"), "hello");
  EXPECT_EQ(peer_.ReceiveExactly(5), "hello");
  (void)TakeEvents();
  for (int i = 0; i < 3; ++i) {
    time().Advance(seconds(1));
    Settle();
  }
  EXPECT_EQ(peer_.Receive(), "ECONNRESET");
  EXPECT_TRUE(RunUntil([this] { return num_connections() == 0; }));
  EXPECT_EQ(ReasonOfClosed(), GetParam() ? v1::CLOSE_REASON_CLIENT_GONE
                                         : v1::CLOSE_REASON_UNCLAIMED);
}

// Who closes it says for how long it is flushed.
TEST_P(ClaimedTest, AFlushIsNotCutAtTheClaimTimeout) {
  const std::string much(8 << 20, 'x');
  peer_.ShrinkReceiveBuffer();
  Hold(1, true);
  MoveOn(Record(much), much);
  ASSERT_TRUE(registry_->CloseConnection(1, ExistingConnections::kClose).ok());
  for (int i = 0; i < 4; ++i) {
    time().Advance(seconds(1));
    Settle();
  }
  ASSERT_EQ(num_connections(), 1u);
  const RawClient::Drained drained = peer_.Drain();
  EXPECT_EQ(drained.bytes, much.size());
  EXPECT_EQ(drained.end, "EOF");
  peer_.Close();
  EXPECT_TRUE(RunUntil([this] {
    time().Advance(std::chrono::milliseconds(1));
    return num_connections() == 0;
  }));
  EXPECT_EQ(ReasonOfClosed(), v1::CLOSE_REASON_CALLED);
}

INSTANTIATE_TEST_SUITE_P(ByWhomItWasClaimed, ClaimedTest, ::testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "ByAClient" : "ByNobody";
                         });

}  // namespace
}  // namespace portreeve::server
