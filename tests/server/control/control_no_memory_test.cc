// ControlAcceptor where it gets no memory, once, anywhere between the connect
// and the end of a client.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <variant>

#include "tests/server/control_acceptor_fixture.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using testing::GiveMemoryAgain;
using testing::PlainClient;
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

  static void AskForTooMuch(ControlConnection& connection) {
    for (int i = 0; i <= FloodPolicy::kMostCalls; ++i) connection.BeginCall();
  }
  int port() const {
    return std::get<Inet::Address>(acceptor_->addresses().at(0)).port();
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
    PlainClient client(port());
    ASSERT_TRUE(AwaitGiven(before + 1));
    const auto connection = Plain(before);
    ASSERT_NE(connection, nullptr);
    client.Send(std::string(4'000, 'x'));
    refused = SettleWithMemory(times);
    // It is still looked at, or heard of when it goes on.
    AskForTooMuch(*connection);
    client.Send(std::string(4'000, 'x'));
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

// Looking goes on where it could not be done once.
TEST_F(ControlNoMemoryTest, OthersAreLookedAtAfterwards) {
  acceptor_->Close();
  ControlAcceptor::Limits limits;
  limits.max_connections = 2;
  StartOne(limits);
  bool refused = true;
  for (int times = 0; refused; ++times) {
    SCOPED_TRACE(times);
    ASSERT_LT(times, 1'000);
    const size_t before = given_.size();
    PlainClient first(port());
    ASSERT_TRUE(AwaitGiven(before + 1));
    const auto one = Plain(before);
    one->BeginCall();  // Else it gives way to the other.
    PlainClient second(port());
    ASSERT_TRUE(AwaitGiven(before + 2));
    const auto other = Plain(before + 1);
    other->BeginCall();
    first.Send(std::string(4'000, 'x'));
    second.Send(std::string(4'000, 'x'));
    AskForTooMuch(*one);
    Settle();
    RefuseMemoryAfter(times);
    time().Advance(milliseconds(5));
    refused = GiveMemoryAgain();
    EXPECT_FALSE(other->is_shut_down());
    AskForTooMuch(*other);
    Settle();
    time().Advance(milliseconds(100));
    EXPECT_TRUE(one->is_shut_down());
    EXPECT_TRUE(other->is_shut_down());
    EndGiven(before);
    EndGiven(before + 1);
    Settle();
    ExpectAPlace();
  }
}

}  // namespace
}  // namespace portreeve::server
