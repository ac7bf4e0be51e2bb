// How many clients there may be, and how long they may take: by a clock that
// the test moves.
#include <gtest/gtest.h>

#include <chrono>
#include <list>
#include <string>

#include "tests/server/http/http_fixture.h"
#include "tests/testing/descriptors.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HttpLimitsTest : public HttpFixture {
 protected:
  void Advance(Duration by) {
    Settle();
    time().Advance(by);
    Settle();
  }
};

TEST_F(HttpLimitsTest, AHeaderHasTenSeconds) {
  Serve();
  RawClient client = Connected();
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(client.Send("G"), "ok");
    Advance(seconds(1));
  }
  Advance(milliseconds(999));
  EXPECT_EQ(client.Peek(), "nothing");
  Advance(milliseconds(1));
  EXPECT_EQ(Answer(client), "408 the header did not come in time close");
}

TEST_F(HttpLimitsTest, WhoSendsNothingIsClosed) {
  Serve();
  RawClient client = Connected();
  Advance(seconds(10) - milliseconds(1));
  EXPECT_EQ(client.Peek(), "nothing");
  Advance(milliseconds(1));
  EXPECT_EQ(client.Peek(), "EOF");
}

TEST_F(HttpLimitsTest, BetweenRequestsThereIsAMinute) {
  Serve();
  RawClient client = Sent(Get("/hello"));
  EXPECT_EQ(Answer(client), "200 hello");
  Advance(seconds(60) - milliseconds(1));
  EXPECT_EQ(client.Peek(), "nothing");
  // From its first byte the next header has its own time.
  EXPECT_EQ(client.Send("GET /hel"), "ok");
  Advance(seconds(10) - milliseconds(1));
  EXPECT_EQ(client.Send("lo HTTP/1.1\r\nHost: localhost\r\n\r\n"), "ok");
  EXPECT_EQ(Answer(client), "200 hello");
  EXPECT_EQ(client.Send("GET /hel"), "ok");
  Advance(seconds(10));
  EXPECT_EQ(Answer(client), "408 the header did not come in time close");
  RawClient silent = Sent(Get("/hello"));
  EXPECT_EQ(Answer(silent), "200 hello");
  Advance(seconds(60));
  EXPECT_EQ(silent.Peek(), "EOF");
}

TEST_F(HttpLimitsTest, AnAnswerHasThirtySeconds) {
  Serve();
  RawClient client = Sent(Get("/later"));
  RunUntil([&] { return waiting_.size() == 1; });
  Advance(seconds(30) - milliseconds(1));
  EXPECT_EQ(client.Peek(), "nothing");
  Advance(milliseconds(1));
  EXPECT_EQ(Answer(client), "503 there was no answer within 30s close");
  waiting_[0]({200, "late\n"});
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HttpLimitsTest, WhoDoesNotTakeTheAnswerIsReset) {
  Serve();
  RawClient client(loop(), [this](const std::function<bool()>& condition) {
    return RunUntil(condition);
  });
  client.ShrinkReceiveBuffer();
  ASSERT_EQ(client.Connect(server_->addresses().at(0)), "ok");
  ASSERT_EQ(client.Send(Get("/large")), "ok");
  Advance(seconds(30) - milliseconds(1));
  Advance(milliseconds(1));
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "ECONNRESET");
  EXPECT_LT(drained.bytes, 16u << 20);
}

TEST_F(HttpLimitsTest, ALargeAnswerComesWhole) {
  Serve();
  RawClient client = Sent(Get("/large", "Connection: close\r\n"));
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "EOF");
  EXPECT_GT(drained.bytes, 16u << 20);
}

TEST_F(HttpLimitsTest, WhoDoesNotEndIsClosedAfterTwoSeconds) {
  Serve();
  RawClient client = Sent(Get("/hello", "Connection: close\r\n"));
  EXPECT_EQ(Answer(client), "200 hello close");
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(client.Send("more"), "ok");
  const int open = CountDescriptors();
  Advance(seconds(2) - milliseconds(1));
  EXPECT_EQ(CountDescriptors(), open);
  Advance(milliseconds(1));
  EXPECT_EQ(CountDescriptors(), open - 1);
}

TEST_F(HttpLimitsTest, TheClient257IsToldThatThereAreTooMany) {
  Serve();
  std::list<RawClient> clients;
  for (int i = 0; i < 256; ++i) {
    clients.push_back(Sent(Get("/hello")));
    ASSERT_EQ(Answer(clients.back()), "200 hello") << i;
  }
  EXPECT_EQ(Ask(Get("/hello")), "503 there are too many connections close");
  EXPECT_EQ(Ask(Get("/hello")), "503 there are too many connections close");
  // Those who are in go on, and who leaves makes a place.
  EXPECT_EQ(clients.front().Send(Get("/hello")), "ok");
  EXPECT_EQ(Answer(clients.front()), "200 hello");
  RawClient slow = Sent("GET");
  Settle();
  clients.pop_back();
  Settle();
  EXPECT_EQ(Ask(Get("/hello")), "200 hello");
  EXPECT_EQ(TakeLog(),
            (std::vector<std::string>{
                "warning: http: there are 256 connections: further clients are "
                "answered 503"}));
}

TEST_F(HttpLimitsTest, WhoSaysNothingGivesWay) {
  server::HttpServer::Options options;
  options.max_connections = 4;
  options.max_refused = 1;
  Serve(std::move(options));
  RawClient asks = Sent(Get("/later"));
  Advance(seconds(5));
  RawClient slow = Sent("GET /hel");
  Advance(seconds(1));
  RawClient idle = Sent(Get("/hello"));
  EXPECT_EQ(Answer(idle), "200 hello");
  Advance(milliseconds(1));
  RawClient silent = Connected();
  Advance(seconds(1) - milliseconds(2));
  // Only one has been waited for a second.
  RawClient first = Sent(Get("/hello"));
  EXPECT_EQ(Answer(first), "200 hello");
  EXPECT_EQ(slow.Receive(), "EOF");
  EXPECT_EQ(idle.Peek(), "nothing");
  EXPECT_EQ(Ask(Get("/hello")), "503 there are too many connections close");
  // The one that has waited longest goes, whatever it has asked before.
  Advance(milliseconds(2));
  RawClient second = Sent(Get("/hello"));
  EXPECT_EQ(Answer(second), "200 hello");
  EXPECT_EQ(idle.Receive(), "EOF");
  EXPECT_EQ(silent.Peek(), "nothing");
  RawClient third = Sent(Get("/hello"));
  EXPECT_EQ(Answer(third), "200 hello");
  EXPECT_EQ(silent.Receive(), "EOF");
  // Who waits for an answer keeps its place.
  EXPECT_EQ(Ask(Get("/hello")), "503 there are too many connections close");
  EXPECT_EQ(asks.Peek(), "nothing");
  waiting_.at(0)({200, "late\n"});
  EXPECT_EQ(Answer(asks), "200 late");
  TakeLog();
}

// It has no place to give.
TEST_F(HttpLimitsTest, WhoIsOneTooManyMakesNoPlace) {
  server::HttpServer::Options options;
  options.max_connections = 1;
  options.max_refused = 2;
  Serve(std::move(options));
  RawClient asks = Sent(Get("/later"));
  Advance(seconds(1));
  RawClient silent = Connected();
  Advance(seconds(2));
  EXPECT_EQ(Ask(Get("/hello")), "503 there are too many connections close");
  EXPECT_EQ(silent.Peek(), "nothing");
  waiting_.at(0)({200, "late\n"});
  EXPECT_EQ(Answer(asks), "200 late");
  TakeLog();
}

TEST_F(HttpLimitsTest, EmptyLinesBeginNoRequest) {
  Serve();
  RawClient client = Sent(Get("/hello"));
  EXPECT_EQ(Answer(client), "200 hello");
  EXPECT_EQ(client.Send("\r\n"), "ok");
  Advance(seconds(10));
  EXPECT_EQ(client.Send(Get("/hello")), "ok");
  EXPECT_EQ(Answer(client), "200 hello");
  EXPECT_EQ(client.Send("\r\n"), "ok");
  Advance(seconds(60));
  EXPECT_EQ(client.Peek(), "EOF");
}

TEST_F(HttpLimitsTest, SomeWaitUntilThoseBeforeThemWereTold) {
  server::HttpServer::Options options;
  options.max_connections = 1;
  options.max_refused = 1;
  Serve(std::move(options));
  RawClient served = Sent(Get("/hello"));
  EXPECT_EQ(Answer(served), "200 hello");
  RawClient refused = Connected();
  RawClient waiting = Sent(Get("/hello"));
  Settle();
  EXPECT_EQ(waiting.Peek(), "nothing");
  EXPECT_EQ(refused.Send(Get("/hello")), "ok");
  EXPECT_EQ(Answer(refused), "503 there are too many connections close");
  refused.Close();
  EXPECT_EQ(Answer(waiting), "503 there are too many connections close");
  TakeLog();
}

TEST_F(HttpLimitsTest, WithoutDescriptorsClientsWait) {
  Serve();
  RawClient client = Connected();
  {
    const FewDescriptors none(0);
    EXPECT_EQ(client.Send(Get("/hello")), "ok");
    Advance(seconds(1));
    EXPECT_EQ(client.Peek(), "nothing");
  }
  Advance(seconds(2));
  EXPECT_EQ(Answer(client), "200 hello");
  EXPECT_EQ(TakeLog().size(), 1u);
}

}  // namespace
}  // namespace portreeve::testing
