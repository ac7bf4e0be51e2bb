// ControlTable and ControlConnection, on sockets that no gRPC has.
#include "server/control/control_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/log.h"
#include "tests/server/plain_socket.h"

namespace portreeve::server {
namespace {

using testing::PlainClient;
using testing::PlainListener;
using Connection = std::shared_ptr<ControlConnection>;
using Whom = ControlTable::Whom;

// Of connections that nobody has looked at any time is as good.
constexpr TimePoint kNow{};

// One that has no socket, and so is not open.
Connection WithoutSocket(const std::string& key) {
  return std::make_shared<ControlConnection>(
      ControlConnection::Client{key, "ipv4:127.0.0.1:1", false, std::nullopt},
      Descriptor());
}

// One end of a connection, whose other end is a client.
class Pair {
 public:
  explicit Pair(const std::string& key) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    client_ = Descriptor(ends[0]);
    const ucred credentials{getpid(), getuid(), getgid()};
    connection_ = std::make_shared<ControlConnection>(
        ControlConnection::Client{key, "unix:", false, credentials},
        Descriptor(ends[1]));
  }

  ControlConnection& operator*() { return *connection_; }
  ControlConnection* operator->() { return connection_.get(); }
  const Connection& connection() const { return connection_; }
  bool ended() const {
    char byte;
    return recv(client_.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }
  void Send(size_t bytes) {
    const std::string data(bytes, 'x');
    EXPECT_EQ(write(client_.get(), data.data(), bytes),
              static_cast<ssize_t>(bytes));
  }

 private:
  Descriptor client_;
  Connection connection_;
};

// Calls that wait, beyond what is free, 4 KiB each.
void Occupy(ControlConnection& connection, int calls) {
  for (int i = 0; i < ControlActivity::kFreeWaiting + calls; ++i) {
    connection.BeginCall();
  }
}
// The same for calls that carry connections.
void Carry(ControlConnection& connection, int calls) {
  for (int i = 0; i < calls; ++i) connection.BeginCarrying();
}

class ControlTableTest : public ::testing::Test {
 protected:
  ControlTableTest() {
    SetLogSink([this](const LogLine& line) { log_.push_back(TextOf(line)); });
  }
  ~ControlTableTest() override { SetLogSink(nullptr); }

  Pair& Add(const std::string& key) {
    pairs_.push_back(std::make_unique<Pair>(key));
    table_.Add(pairs_.back()->connection());
    return *pairs_.back();
  }
  void ShutDownBusiest(Whom whom) {
    table_.ShutDownBusiest(whom, "so says the test");
  }

  std::vector<std::string> log_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  ControlTable table_;
};

TEST_F(ControlTableTest, FindsTheOneThatHasTheKeyNow) {
  EXPECT_EQ(table_.Find("fd:5"), nullptr);
  const Connection first = WithoutSocket("fd:5");
  const Connection other = WithoutSocket("fd:6");
  table_.Add(first);
  table_.Add(other);
  EXPECT_EQ(table_.Find("fd:5"), first);
  const Connection second = WithoutSocket("fd:5");
  table_.Add(second);
  EXPECT_EQ(table_.Find("fd:5"), second);
  EXPECT_EQ(table_.Find("fd:6"), other);
}

TEST_F(ControlTableTest, FindsThoseThatHaveEndedForAWhile) {
  std::vector<Connection> ended;
  for (size_t i = 0; i < ControlTable::kMostEnded; ++i) {
    ended.push_back(WithoutSocket("fd:" + std::to_string(i)));
    table_.Add(ended.back());
    table_.OnEnded(ended.back());
  }
  for (const Connection& one : ended) {
    ASSERT_EQ(table_.Find(one->key()), one) << one->key();
  }
  const Connection next = WithoutSocket("next");
  table_.Add(next);
  EXPECT_EQ(table_.Find("fd:0"), ended[0]);
  table_.OnEnded(next);
  EXPECT_EQ(table_.Find("fd:0"), nullptr);
  EXPECT_EQ(table_.Find("fd:1"), ended[1]);
  EXPECT_EQ(table_.Find("next"), next);
}

TEST_F(ControlTableTest, OneThatHasEndedTakesNoOtherOfItsKeyAlong) {
  const Connection first = WithoutSocket("fd:5");
  const Connection second = WithoutSocket("fd:5");
  table_.Add(first);
  table_.OnEnded(first);
  table_.Add(second);
  for (size_t i = 0; i <= ControlTable::kMostEnded; ++i) {
    const Connection one = WithoutSocket("x" + std::to_string(i));
    table_.Add(one);
    table_.OnEnded(one);
  }
  EXPECT_EQ(table_.Find("fd:5"), second);
}

TEST_F(ControlTableTest, ThoseThatHaveEndedAreNotKept) {
  std::weak_ptr<ControlConnection> gone;
  for (size_t i = 0; i <= ControlTable::kMostEnded; ++i) {
    const Connection one = WithoutSocket("fd:" + std::to_string(i));
    table_.Add(one);
    table_.OnEnded(one);
    if (i == 0) gone = one;
  }
  EXPECT_TRUE(gone.expired());
}

TEST_F(ControlTableTest, TheBusiestIsEnded) {
  Pair& quiet = Add("quiet");
  Pair& busy = Add("busy");
  Pair& busier = Add("busier");
  Occupy(*busy, 20);
  Occupy(*busier, 30);
  ShutDownBusiest(Whom::kBusiest);
  EXPECT_TRUE(busier.ended());
  EXPECT_FALSE(busy.ended());
  ShutDownBusiest(Whom::kBusiest);
  EXPECT_TRUE(busy.ended());
  EXPECT_FALSE(quiet.ended());
  ShutDownBusiest(Whom::kBusiest);
  EXPECT_FALSE(quiet.ended());
  EXPECT_EQ(table_.num_shut_down(), 2);
}

TEST_F(ControlTableTest, ThoseThatAreAsBusyAreEndedTogether) {
  Pair& most = Add("most");
  Pair& half = Add("half");
  Pair& less = Add("less");
  Occupy(*most, 40);
  Occupy(*half, 20);
  Occupy(*less, 19);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_TRUE(most.ended());
  EXPECT_TRUE(half.ended());
  EXPECT_FALSE(less.ended());
}

TEST_F(ControlTableTest, WhoIsLessActiveThanThatIsNotEnded) {
  Pair& one = Add("one");
  constexpr int64_t kLeast =
      ControlActivity::kFreeBytes + ControlTable::kLeastActivity;
  one.Send(kLeast - 1);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_FALSE(one.ended());
  one.Send(1);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_TRUE(one.ended());
}

TEST_F(ControlTableTest, WhoCarriesConnectionsComesLast) {
  Pair& carrying = Add("carrying");
  Pair& busy = Add("busy");
  // More than what it may have for the one that it carries.
  Occupy(*carrying, 250);
  Carry(*carrying, 1);
  Occupy(*busy, 10);
  ShutDownBusiest(Whom::kEvenThoseThatCarry);
  EXPECT_TRUE(busy.ended());
  EXPECT_FALSE(carrying.ended());
  Pair& other = Add("other");
  Occupy(*other, 1);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_TRUE(other.ended());
  EXPECT_FALSE(carrying.ended());
  ShutDownBusiest(Whom::kEvenThoseThatCarry);
  EXPECT_TRUE(carrying.ended());
}

// One who only calls a few times at once is no reason to spare it.
TEST_F(ControlTableTest, WhoCarriesAndHasSentFarMoreComesFirst) {
  Pair& carrying = Add("carrying");
  Pair& busy = Add("busy");
  Occupy(*carrying, 350);
  Carry(*carrying, 1);
  Occupy(*busy, 10);
  ShutDownBusiest(Whom::kEvenThoseThatCarry);
  EXPECT_TRUE(carrying.ended());
  EXPECT_FALSE(busy.ended());
}

// Each carries one connection, and has sent less than may be expected for it.
TEST_F(ControlTableTest, ForWantOfOthersWhoCarriesAnswersForAllThatItHasSent) {
  Pair& little = Add("little");
  Pair& much = Add("much");
  Pair& more = Add("more");
  for (Pair* pair : {&little, &much, &more}) Carry(**pair, 1);
  // Both less than what makes one that carries busy.
  Occupy(*much, 12);
  Occupy(*more, 20);
  ShutDownBusiest(Whom::kBusiest);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_EQ(table_.num_shut_down(), 0);
  ShutDownBusiest(Whom::kEvenThoseThatCarry);
  EXPECT_TRUE(much.ended());
  EXPECT_TRUE(more.ended());
  EXPECT_FALSE(little.ended());
}

// It may make the process grow as fast as anybody.
TEST_F(ControlTableTest, ForWantOfOthersWhoCarriesIsAsBusyAsItSends) {
  Pair& calm = Add("calm");
  Pair& busy = Add("busy");
  Carry(*calm, 2);
  Carry(*busy, 1);
  constexpr size_t kLeast =
      ControlActivity::kFreeBytes + (64 << 10) + ControlTable::kLeastOfCarrying;
  calm.Send(kLeast);
  busy.Send(kLeast - 1);
  // Calls are no bytes.
  Occupy(*busy, 500);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_EQ(table_.num_shut_down(), 0);
  busy.Send(1);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_TRUE(busy.ended());
  EXPECT_FALSE(calm.ended());
}

// It sends to all that it serves.
TEST_F(ControlTableTest, WithinTheCreditWhoCarriesMaySendAMessageForEach) {
  Pair& calm = Add("calm");
  Pair& busy = Add("busy");
  Carry(*calm, 2);
  Carry(*busy, 1);
  constexpr size_t kMuch =
      ControlActivity::kFreeBytes + (64 << 10) + ControlTable::kLeastOfCarrying;
  calm.Send(kMuch);
  busy.Send(kMuch);
  ShutDownBusiest(Whom::kAllBeyondCredit);
  EXPECT_EQ(table_.num_shut_down(), 0);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_TRUE(busy.ended());
  EXPECT_FALSE(calm.ended());
}

// What is left of a flood that is over is not the fault of who calls.
TEST_F(ControlTableTest, WhereTheProcessIsTooLargeAFewCallsAreNoFault) {
  Pair& one = Add("one");
  constexpr int kLeast = static_cast<int>(ControlTable::kLeastHeld /
                                          ControlActivity::kWeightOfWaiting);
  Occupy(*one, kLeast - 1);
  ShutDownBusiest(Whom::kEvenThoseThatCarry);
  EXPECT_FALSE(one.ended());
  one->BeginCall();
  ShutDownBusiest(Whom::kEvenThoseThatCarry);
  EXPECT_TRUE(one.ended());
}

TEST_F(ControlTableTest, CallsThatCarryAreNotActive) {
  Pair& carrying = Add("carrying");
  Occupy(*carrying, 100);
  Carry(*carrying, 100);
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_FALSE(carrying.ended());
  for (int i = 0; i < 100; ++i) carrying->EndCarrying();
  ShutDownBusiest(Whom::kAllAsBusy);
  EXPECT_TRUE(carrying.ended());
}

TEST_F(ControlTableTest, TooManyPendingCallsEndTheBusiest) {
  Pair& small = Add("small");
  Pair& busy = Add("busy");
  Pair& busier = Add("busier");
  Occupy(*busy, 1);
  Occupy(*busier, 2);
  for (int i = 0; i < ControlTable::kMostPending; ++i) table_.OnCallTakenIn();
  EXPECT_FALSE(busier.ended());
  table_.OnCallBegun();
  table_.OnCallTakenIn();
  EXPECT_FALSE(busier.ended());
  table_.OnCallTakenIn();
  EXPECT_TRUE(busier.ended());
  // What is ended takes a while to end: the next one only if they become more.
  table_.OnCallBegun();
  table_.OnCallTakenIn();
  EXPECT_FALSE(busy.ended());
  for (int i = 0; i < 128; ++i) table_.OnCallTakenIn();
  EXPECT_FALSE(busy.ended());
  table_.OnCallTakenIn();
  EXPECT_TRUE(busy.ended());
  for (int i = 0; i < 1'000; ++i) table_.OnCallTakenIn();
  EXPECT_FALSE(small.ended());
}

// Though each is begun at once: the loop does not come to look.
TEST_F(ControlTableTest, TooManyCallsThatNobodyHasSeenEndTheBusiest) {
  Pair& small = Add("small");
  Pair& busy = Add("busy");
  Occupy(*busy, 1);
  const auto take_in = [this](int calls) {
    for (int i = 0; i < calls; ++i) {
      table_.OnCallTakenIn();
      table_.OnCallBegun();
    }
  };
  take_in(ControlTable::kMostUnseen);
  EXPECT_FALSE(busy.ended());
  table_.OnLooked();
  take_in(ControlTable::kMostUnseen);
  EXPECT_FALSE(busy.ended());
  take_in(128);
  EXPECT_TRUE(busy.ended());
  take_in(1'000);
  EXPECT_FALSE(small.ended());
}

// Threads of gRPC may be slow to begin what one client may have at a time.
TEST_F(ControlTableTest, AllThatOneMayHaveMayBePendingWhileOthersCall) {
  Pair& one = Add("one");
  for (int i = 0; i < FloodPolicy::kMostCalls; ++i) one->BeginCall();
  for (int i = 0; i < FloodPolicy::kMostCalls + 200; ++i) {
    table_.OnCallTakenIn();
  }
  EXPECT_FALSE(one.ended());
}

TEST_F(ControlTableTest, OnceAllAreBegunAsManyMayBePendingAgain) {
  Pair& busy = Add("busy");
  Pair& busier = Add("busier");
  Occupy(*busy, 1);
  Occupy(*busier, 2);
  constexpr int kTooMany = ControlTable::kMostPending + 1;
  for (int i = 0; i < kTooMany; ++i) table_.OnCallTakenIn();
  EXPECT_TRUE(busier.ended());
  for (int i = 0; i < kTooMany; ++i) table_.OnCallBegun();
  table_.OnLooked();
  for (int i = 1; i < kTooMany; ++i) table_.OnCallTakenIn();
  EXPECT_FALSE(busy.ended());
  table_.OnCallTakenIn();
  EXPECT_TRUE(busy.ended());
}

TEST_F(ControlTableTest, OneIsShutDownOnce) {
  Pair& one = Add("one");
  Pair& other = Add("other");
  table_.ShutDown(*one, "too much of it");
  table_.ShutDown(*one, "too much of it");
  EXPECT_EQ(table_.num_shut_down(), 1);
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_EQ(log_[0], "OVERLOADED: the control connection of " +
                         one->Identity() +
                         " is shut down: too much of it (1 since the start)");
  EXPECT_TRUE(one->is_shut_down());
  EXPECT_FALSE(one->is_open());
  // Within the second: it is counted, and no line is written.
  table_.ShutDown(*other, "too much of it");
  EXPECT_EQ(table_.num_shut_down(), 2);
  EXPECT_EQ(log_.size(), 1u);
}

TEST_F(ControlTableTest, OneThatIsForgottenCannotBeShutDown) {
  Pair& one = Add("one");
  Occupy(*one, 100);
  one->Forget();
  EXPECT_FALSE(one->is_open());
  ShutDownBusiest(Whom::kAllAsBusy);
  table_.ShutDown(*one, "too much of it");
  EXPECT_EQ(table_.num_shut_down(), 0);
  EXPECT_TRUE(log_.empty());
}

// A connection of TCP.
struct TcpPair {
  TcpPair() : client(listener.port()) {
    const int fd = accept4(listener.native_handle(), nullptr, nullptr,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
    EXPECT_GE(fd, 0);
    // gRPC's, of which the connection has a copy.
    server = Descriptor(fd);
    connection = std::make_shared<ControlConnection>(
        ControlConnection::Client{"fd:5", "ipv4:127.0.0.1:40000", false,
                                  std::nullopt},
        Descriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  }
  void AwaitReceived(int64_t bytes) {
    while (connection->Totals().received_bytes < bytes) {
    }
  }

  PlainListener listener;
  PlainClient client;
  Descriptor server;
  Connection connection;
};

// It holds what it has opened with them, and those who call are innocent.
TEST_F(ControlTableTest, WhoIsSilentAnswersForWhatItHasSentLongAgo) {
  TimePoint now(std::chrono::hours(1));
  ControlTable table([&now] { return now; });
  TcpPair silent;
  table.Add(silent.connection);
  Pair calling("fd:6");
  table.Add(calling.connection());
  silent.client.Send(std::string(100'000, 'x'));
  silent.AwaitReceived(100'000);
  std::string read(100'000, '\0');
  ASSERT_EQ(recv(silent.server.get(), read.data(), read.size(), MSG_WAITALL),
            100'000);
  silent.connection->Look(now, silent.connection->Totals(), true);
  now += std::chrono::seconds(2);
  Occupy(*calling, 10);
  table.ShutDownBusiest(Whom::kEvenThoseThatCarry, "so says the test");
  EXPECT_TRUE(silent.connection->is_shut_down());
  EXPECT_FALSE(calling.ended());
  // It is no activity any more.
  table.ShutDownBusiest(Whom::kAllAsBusy, "so says the test");
  EXPECT_TRUE(calling.ended());
}

ControlConnection::Client Named(const std::string& name) {
  return {name, "ipv4:127.0.0.1:1", false, std::nullopt};
}

TEST(ControlConnection, WhoMayComeBackMayAskForAllOfItAtOnce) {
  const auto expected = std::make_shared<std::atomic<int>>(500);
  ControlConnection connection(Named("one"), Descriptor(), expected);
  for (int i = 0; i < FloodPolicy::kMostCalls + 500; ++i) {
    ASSERT_TRUE(connection.BeginCall()) << i;
  }
  EXPECT_FALSE(connection.BeginCall());
  EXPECT_EQ(connection.Totals().expected, 500);
  // What they take is as good as what a connection takes.
  EXPECT_EQ(connection.carrying_soon(), 500);
  for (int i = 0; i < 400; ++i) {
    connection.BeginCarrying();
    --*expected;
  }
  EXPECT_EQ(connection.carrying_soon(), 500);
  EXPECT_FALSE(connection.BeginCall());
}

TEST(ControlConnection, WhatHasComeIsNotExpectedAnyMore) {
  const auto expected = std::make_shared<std::atomic<int>>(500);
  ControlConnection connection(Named("one"), Descriptor(), expected);
  *expected = 1;
  EXPECT_EQ(connection.Totals().expected, 1);
  for (int i = 0; i < FloodPolicy::kMostCalls + 1; ++i) {
    ASSERT_TRUE(connection.BeginCall()) << i;
  }
  EXPECT_FALSE(connection.BeginCall());
  EXPECT_EQ(connection.carrying_soon(), 1);
}

// So that the bound of memory rises before they have attached; but not by more
// than there is, however many clients call.
TEST(ControlTable, ThoseWhoMayComeBackCountAsIfTheyHad) {
  ControlTable table;
  const auto expected = std::make_shared<std::atomic<int>>(500);
  std::vector<std::shared_ptr<ControlConnection>> clients;
  for (const std::string& name : {"one", "two", "three"}) {
    clients.push_back(std::make_shared<ControlConnection>(
        Named(name), Descriptor(), expected));
    table.Add(clients.back());
  }
  EXPECT_EQ(table.num_carrying(), 0);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(clients[0]->BeginCall());
  EXPECT_EQ(table.num_carrying(), 300);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(clients[1]->BeginCall());
  EXPECT_EQ(table.num_carrying(), 500);
  for (int i = 0; i < 10; ++i) {
    clients[0]->BeginCarrying();
    --*expected;
  }
  EXPECT_EQ(table.num_carrying(), 500);
  *expected = 0;
  EXPECT_EQ(table.num_carrying(), 10);
}

TEST(ControlConnection, CallsOfConnectionsAreNoneThatWait) {
  Pair pair("fd:5");
  for (int i = 0; i < FloodPolicy::kMostCalls; ++i) {
    EXPECT_TRUE(pair->BeginCall());
  }
  for (int i = 0; i < 10; ++i) {
    pair->BeginUnjoined();
    EXPECT_TRUE(pair->BeginCall());
    pair->BeginCarrying();
    pair->EndUnjoined();
    pair->BeginUnjoined();
    pair->EndCarrying();
  }
  EXPECT_EQ(pair->Totals().unjoined, 10);
  EXPECT_EQ(pair->Totals().carrying, 0);
  EXPECT_FALSE(pair->BeginCall());
  pair->EndCall(false);
  pair->EndUnjoined();
  EXPECT_FALSE(pair->BeginCall());
}

TEST(ControlConnection, TheClientGetsAResetAndWhatItSentIsThrownAway) {
  TcpPair pair;
  pair.client.Send(std::string(50'000, 'x'));
  pair.AwaitReceived(50'000);
  EXPECT_TRUE(pair.connection->ShutDown());
  char byte;
  EXPECT_LE(recv(pair.server.get(), &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_EQ(pair.client.Receive(), "ECONNRESET");
  EXPECT_FALSE(pair.connection->ShutDown());
}

TEST(ControlConnection, WhatComesIsActivityUntilCallsExplainIt) {
  using A = ControlActivity;
  TcpPair pair;
  ControlConnection& connection = *pair.connection;
  EXPECT_EQ(connection.Activity(kNow), 0);
  pair.client.Send(std::string(50'000, 'x'));
  pair.AwaitReceived(50'000);
  EXPECT_EQ(connection.Totals().unread_bytes, 50'000);
  EXPECT_EQ(connection.Activity(kNow), 50'000 - A::kFreeBytes);
  std::string read(50'000, '\0');
  EXPECT_EQ(recv(pair.server.get(), read.data(), read.size(), MSG_WAITALL),
            50'000);
  EXPECT_EQ(connection.Activity(kNow), 50'000 - A::kFreeBytes);
  EXPECT_TRUE(connection.BeginCall());
  EXPECT_EQ(connection.Activity(kNow),
            50'000 - A::kFreeBytes - A::kBytesOfCall);
  connection.AddMessage(30'000);
  EXPECT_EQ(connection.Activity(kNow),
            20'000 - A::kFreeBytes - A::kBytesOfCall - A::kBytesOfMessage);
  connection.AddSent();
  EXPECT_EQ(connection.Activity(kNow),
            20'000 - A::kFreeBytes - A::kBytesOfCall - A::kBytesOfMessage -
                A::kBytesOfSent);
}

TEST(ControlConnection, CallsThatAreAnsweredWeighLess) {
  using A = ControlActivity;
  Pair pair("fd:5");
  constexpr int kCalls = A::kFreeWaiting + A::kFreeAnswered + 1;
  for (int i = 0; i < kCalls; ++i) EXPECT_TRUE(pair->BeginCall());
  EXPECT_EQ(pair->Activity(kNow), (A::kFreeAnswered + 1) * A::kWeightOfWaiting);
  for (int i = 0; i <= A::kFreeAnswered; ++i) pair->BeginAnswer();
  EXPECT_EQ(pair->Activity(kNow), A::kWeightOfAnswered);
  pair->EndAnswer();
  pair->EndCall(false);
  EXPECT_EQ(pair->Activity(kNow), 0);
}

// What came with a reset, or with the end both ways, gRPC could read and make
// calls of for a long time.
TEST(ControlConnection, WhatIsLeftOfOneThatIsOverIsThrownAwayUnlessItIsLittle) {
  using A = ControlActivity;
  for (const bool is_much : {false, true}) {
    TcpPair pair;
    const auto bytes = static_cast<size_t>(A::kFreeBytes) + (is_much ? 1 : 0);
    pair.client.Send(std::string(bytes, 'x'));
    pair.AwaitReceived(static_cast<int64_t>(bytes));
    pair.client.Reset();
    pollfd over{pair.server.get(), 0, 0};
    EXPECT_EQ(poll(&over, 1, -1), 1);
    EXPECT_NE(over.revents & POLLHUP, 0);
    pair.connection->Forget();
    std::string read(bytes, '\0');
    const auto got =
        recv(pair.server.get(), read.data(), read.size(), MSG_DONTWAIT);
    if (is_much) {
      EXPECT_LE(got, 0);
    } else {
      EXPECT_EQ(got, static_cast<ssize_t>(bytes));
    }
  }
}

TEST(ControlConnection, AThousandCallsMayWaitAndMoreMayCarry) {
  Pair pair("fd:5");
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pair->BeginCall()) << i;
  EXPECT_FALSE(pair->BeginCall());
  pair->EndCall(false);
  // Each is a call first.
  for (int i = 0; i < 3000; ++i) {
    pair->EndCall(false);
    ASSERT_TRUE(pair->BeginCall());
    pair->BeginCarrying();
    ASSERT_TRUE(pair->BeginCall());
  }
  EXPECT_FALSE(pair->BeginCall());
  pair->EndCarrying();
  pair->EndCall(false);
  EXPECT_FALSE(pair->BeginCall());
}

// However soon after they have begun, before anybody looks.
TEST(ControlConnection, TheMostThatWereCarriedAtATimeAreKnown) {
  Pair pair("fd:5");
  const auto most = [&] { return pair->Totals().most_of_connections; };
  for (int i = 0; i < 3; ++i) pair->BeginUnjoined();
  EXPECT_EQ(most(), 3);
  for (int i = 0; i < 3; ++i) {
    pair->BeginEnded();
    pair->EndUnjoined();
  }
  EXPECT_EQ(most(), 3);
  pair->BeginCarrying();
  EXPECT_EQ(most(), 3);
  pair->BeginEnded();
  pair->EndCarrying();
  // Once none is left it begins anew.
  for (int i = 0; i < 4; ++i) pair->EndEnded();
  pair->BeginCarrying();
  EXPECT_EQ(most(), 1);
  EXPECT_EQ(pair->Totals().ended, 0);
}

// gRPC is slow to give them back where others keep it busy.
TEST(ControlConnection, WhoCallsOneByOneMayHaveAnsweredCallsLeft) {
  Pair pair("fd:5");
  for (int i = 0; i < 500; ++i) {
    pair->BeginCall();
    pair->BeginAnswer();
  }
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pair->BeginCall()) << i;
  EXPECT_FALSE(pair->BeginCall());
  // Those that gRPC gives back leave no room that others had.
  for (int i = 0; i < 500; ++i) {
    pair->EndAnswer();
    pair->EndCall(false);
    ASSERT_FALSE(pair->BeginCall()) << i;
    pair->EndCall(false);
  }
}

TEST(ControlConnection, TheSameClientHasOneIdentity) {
  Pair pair("fd:5");
  const std::string identity = "unix:uid=" + std::to_string(getuid());
  EXPECT_EQ(pair->Identity(), identity);
  const passwd* const user = getpwuid(getuid());
  EXPECT_EQ(pair->Who(),
            user == nullptr ? identity : identity + "(" + user->pw_name + ")");

  const ucred nobody{1, 4'000'000'000u, 1};
  ControlConnection nameless({"fd:6", "unix:", false, nobody}, Descriptor());
  EXPECT_EQ(nameless.Who(), "unix:uid=4000000000");

  ControlConnection v6({"fd:7", "ipv6:[::1]:40000", false, std::nullopt},
                       Descriptor());
  EXPECT_EQ(v6.Who(), "ipv6:[::1]:40000");
  EXPECT_EQ(v6.Identity(), "ipv6:[::1]");
}

}  // namespace
}  // namespace portreeve::server
