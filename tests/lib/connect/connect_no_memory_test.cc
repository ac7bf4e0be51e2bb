// Connecting where there is no memory, once, anywhere between the begin and the
// end.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/deferred.h"
#include "lib/connect/cares_resolver.h"
#include "lib/connect/extra_attempts.h"
#include "lib/net/descriptor_part.h"
#include "tests/lib/connect/fake_name_server.h"
#include "tests/lib/connect_sock_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

int NumFree(DescriptorPart& part) {
  int count = 0;
  while (part.Take()) ++count;
  part.GiveBack(count);
  return count;
}

class ConnectNoMemoryTest : public ConnectSockTest {
 protected:
  // Ends what has lost its way.
  void LetTimePass() {
    for (int i = 0; i < 4; ++i) {
      time_.Advance(seconds(60));
      RunReady();
    }
  }

  // Calls `begin`, which gives a task, with memory refused earlier and later,
  // and checks that it ends.
  template <typename T, typename Begin>
  void RefuseEverywhere(Begin begin) {
    for (const int num_refusals : {1, 2, 10}) {
      SCOPED_TRACE(num_refusals);
      RefuseEverywhere<T>(num_refusals, begin);
    }
  }
  template <typename T, typename Begin>
  void RefuseEverywhere(int num_refusals, Begin begin) {
    const int descriptors = CountDescriptors();
    const int attempts = NumFree(DescriptorPart::OfAttempts());
    bool refused = true;
    int num_failed = 0;
    for (int given = 0; refused; ++given) {
      SCOPED_TRACE(given);
      ASSERT_LT(given, 1'000);
      {
        TaskRunner<T> runner(loop_, begin());
        refused = SettleWithMemory(loop_, given, num_refusals);
        RunReady();
        if (!runner.ended()) LetTimePass();
        ASSERT_TRUE(runner.ended());
        EXPECT_TRUE(refused || runner.status().ok()) << runner.status();
        if (!runner.status().ok()) ++num_failed;
      }
      RunReady();
      EXPECT_EQ(resolver_.num_running(), 0);
      EXPECT_EQ(NumFree(DescriptorPart::OfAttempts()), attempts);
      EXPECT_EQ(CountDescriptors(), descriptors);
    }
    EXPECT_GT(num_failed, 0);
  }
};

TEST_F(ConnectNoMemoryTest, AConnectEndsAndLeavesNothing) {
  Acceptor acceptor = Listen("127.0.0.1");
  acceptor.listen(1'000);
  const int port = acceptor.local_endpoint().port();
  RefuseEverywhere<Socket<Inet>>([&] {
    ConnectOptions options = Options();
    options.interrupt = Ivar<>(Executor(loop_.get_executor())).deferred();
    return Connect("127.0.0.1", port, options);
  });
}

TEST_F(ConnectNoMemoryTest, AConnectByNameEndsAndLeavesNothing) {
  Acceptor acceptor = Listen("127.0.0.1");
  acceptor.listen(1'000);
  const int port = acceptor.local_endpoint().port();
  // Nobody listens at the first one.
  resolver_.Answer(Family::kV6, {A("::1")});
  resolver_.Answer(Family::kV4, {A("127.0.0.1")});
  RefuseEverywhere<Socket<Inet>>([&] {
    ConnectOptions options = Options();
    options.interrupt = Ivar<>(Executor(loop_.get_executor())).deferred();
    return Connect("name.example", port, options);
  });
}

// A connection whose coroutine waits for something that does not come.
TEST_F(ConnectNoMemoryTest, WhatAConnectionIsServedByIsJoined) {
  Acceptor acceptor = Listen("127.0.0.1");
  acceptor.listen(1'000);
  const int port = acceptor.local_endpoint().port();
  int num_running = 0;
  const auto serve = [&num_running](Socket<Inet>, Reader& reader,
                                    Writer& writer) -> Task<bool> {
    struct Running {
      explicit Running(int& count) : count(count) { ++count; }
      ~Running() { --count; }
      int& count;
    };
    const Running running(num_running);
    writer.Write("x");
    co_await reader.WaitUntilReadable();  // The peer never sends.
    co_return true;
  };
  const int descriptors = CountDescriptors();
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 1'000);
    {
      TaskRunner<bool> runner(
          loop_, WithConnection<Inet>(
                     WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", port),
                     Options(), serve));
      refused = SettleWithMemory(loop_, given);
      runner.Cancel();
      RunReady();
      if (!runner.ended()) LetTimePass();
      ASSERT_TRUE(runner.ended());
    }
    RunReady();
    EXPECT_EQ(num_running, 0);
    EXPECT_EQ(CountDescriptors(), descriptors);
  }
}

// Whoever waits tries again after a pause, and not at once.
TEST_F(ConnectNoMemoryTest, TheLoopGoesOnWhileMemoryStaysAway) {
  Acceptor acceptor = Listen("127.0.0.1");
  acceptor.listen(1'000);
  const int port = acceptor.local_endpoint().port();
  const auto serve = [](Socket<Inet>, Reader& reader, Writer&) -> Task<bool> {
    co_await reader.WaitUntilReadable();
    co_return true;
  };
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 1'000);
    TaskRunner<bool> runner(
        loop_, WithConnection<Inet>(
                   WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", port),
                   Options(), serve));
    RefuseMemoryAfter(given, kUntilGivenAgain);
    SettleWithoutMemory(loop_);
    {
      // To post it to the loop.
      const GivenMemory for_the_post;
      runner.Cancel();
    }
    SettleWithoutMemory(loop_);
    refused = GiveMemoryAgain();
    RunReady();
    if (!runner.ended()) LetTimePass();
    ASSERT_TRUE(runner.ended());
  }
}

// The same where it is refused when it is cancelled.
TEST_F(ConnectNoMemoryTest, WhatIsCancelledIsJoined) {
  Acceptor acceptor = Listen("127.0.0.1");
  acceptor.listen(1'000);
  const int port = acceptor.local_endpoint().port();
  const auto serve = [](Socket<Inet>, Reader& reader, Writer&) -> Task<bool> {
    co_await reader.WaitUntilReadable();
    co_return true;
  };
  const int descriptors = CountDescriptors();
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 1'000);
    {
      TaskRunner<bool> runner(
          loop_, WithConnection<Inet>(
                     WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", port),
                     Options(), serve));
      RunReady();
      runner.Cancel();
      refused = SettleWithMemory(loop_, given);
      RunReady();
      if (!runner.ended()) LetTimePass();
      ASSERT_TRUE(runner.ended());
    }
    RunReady();
    EXPECT_EQ(CountDescriptors(), descriptors);
  }
}

// Its answers say that one has to ask again by TCP, where nobody listens: that
// is a further socket of the lookup.
TEST(ResolverNoMemoryTest, ALookupLeavesNothing) {
  asio::io_context loop(1);
  FakeTimeSource time(loop);
  FakeNameServer::Answer answer;
  answer.truncated = true;
  asio::io_context server_loop(1);
  FakeNameServer server(server_loop,
                        [&](const std::string&, bool) { return answer; });
  CaresResolver::Options options;
  options.servers = server.address();
  CaresResolver resolver(options);
  using Lookup = TaskRunner<Addresses>;
  const auto look_up = [&] {
    return resolver.Lookup("long.example", Family::kV4);
  };
  const auto run_both = [&] {
    for (bool ran = true; ran;) {
      SettleWithoutMemory(loop);
      const GivenMemory given;
      server_loop.restart();
      ran = server_loop.poll() > 0;
    }
  };
  {
    // What is kept from the first use on is opened.
    Lookup warm_up(loop, look_up());
    run_both();
    EXPECT_TRUE(warm_up.ended());
  }
  const int free = NumFree(DescriptorPart::OfLookups());
  const int descriptors = CountDescriptors();
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 1'000);
    {
      Lookup lookup(loop, look_up());
      RefuseMemoryAfter(given);
      run_both();
      refused = GiveMemoryAgain();
      run_both();
      // What has lost its way ends by c-ares' own timeouts, or is given up.
      if (!lookup.ended()) lookup.Cancel();
      run_both();
      ASSERT_TRUE(lookup.ended());
    }
    SettleWithoutMemory(loop);
    EXPECT_EQ(NumFree(DescriptorPart::OfLookups()), free);
    EXPECT_EQ(CountDescriptors(), descriptors);
  }
  answer.truncated = false;
  answer.addresses = {A("192.0.2.1")};
  Lookup lookup(loop, look_up());
  run_both();
  ASSERT_TRUE(lookup.ended());
  ASSERT_TRUE(lookup.status().ok()) << lookup.status();
  EXPECT_EQ(lookup.value(), Addresses{A("192.0.2.1")});
  server.Stop();
}

}  // namespace
}  // namespace portreeve::testing
