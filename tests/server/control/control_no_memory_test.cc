// ControlAcceptor where it gets no memory, once, anywhere between the connect
// and the end of a client.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/server/control_acceptor_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using testing::GiveMemoryAgain;
using testing::RefuseMemoryAfter;

class ControlNoMemoryTest : public ControlAcceptorTest {
 protected:
  // One place, which the next client needs.
  ControlNoMemoryTest() {
    given_.reserve(10'000);
    ControlAcceptor::Limits limits;
    limits.max_connections = 1;
    StartOne(limits);
  }

  // Runs whatever is ready; whether memory was refused.
  bool SettleWithMemory(int times) {
    RefuseMemoryAfter(times);
    Settle();
    return GiveMemoryAgain();
  }

  void ExpectAPlace() {
    const size_t before = given_.size();
    ConnectAndAwait();
    ASSERT_EQ(given_.size(), before + 1);
    EndGiven(before);
    Settle();
    (void)TakeLog();
    (void)TakeErrors();
  }
};

TEST_F(ControlNoMemoryTest, AClientThatIsLostLeavesItsPlace) {
  bool refused = true;
  for (int times = 0; refused; ++times) {
    SCOPED_TRACE(times);
    ASSERT_LT(times, 1'000);
    const size_t before = given_.size();
    RawClient& client = Connect();
    refused = SettleWithMemory(times);
    if (given_.size() > before) {
      EndGiven(before);
    } else {
      // Some wait in the backlog, and are accepted then.
      time().Advance(std::chrono::seconds(11));
      Settle();
      if (given_.size() > before) EndGiven(before);
    }
    Settle();
    EXPECT_NE(Seen(client), "nothing");
    ExpectAPlace();
  }
}

TEST_F(ControlNoMemoryTest, WhoeverSendsIsLookedAtAndLeavesItsPlace) {
  bool refused = true;
  for (int times = 0; refused; ++times) {
    SCOPED_TRACE(times);
    ASSERT_LT(times, 1'000);
    const size_t before = given_.size();
    RawClient& client = ConnectAndAwait();
    ASSERT_EQ(given_.size(), before + 1);
    const auto connection = Plain(before);
    ASSERT_NE(connection, nullptr);
    ASSERT_TRUE(connection->BeginCall());
    EXPECT_EQ(client.Send(std::string(4'000, 'x')), "ok");
    refused = SettleWithMemory(times);
    // It is still looked at, or heard of when it goes on.
    for (int i = 0; i < FloodPolicy::kMostCalls; ++i) connection->BeginCall();
    EXPECT_EQ(client.Send(std::string(4'000, 'x')), "ok");
    Settle();
    time().Advance(milliseconds(100));
    EXPECT_TRUE(connection->is_shut_down());
    // The end, too.
    EndGiven(before);
    refused |= SettleWithMemory(times);
    Settle();
    ExpectAPlace();
  }
}

}  // namespace
}  // namespace portreeve::server
