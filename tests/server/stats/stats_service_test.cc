// WatchStats over a real channel; time is the test's.
#include "server/stats/stats_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/stats.grpc.pb.h"
#include "server/access/gate.h"
#include "server/access/policy.h"
#include "server/api/listener_draft.h"
#include "server/calls/unread_answers.h"
#include "server/events/event_log.h"
#include "server/registry/registry.h"
#include "tests/server/answered.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{30};

class StatsServiceTest : public ::testing::Test {
 protected:
  class Call {
   public:
    Call(const std::shared_ptr<grpc::Channel>& channel,
         const v1::WatchStatsRequest& request)
        : stub_(v1::StatsService::NewStub(channel)) {
      context_.set_deadline(std::chrono::system_clock::now() + kDeadline);
      reader_ = stub_->WatchStats(&context_, request);
      reader_->WaitForInitialMetadata();
    }
    std::optional<v1::WatchStatsResponse> Read() {
      v1::WatchStatsResponse response;
      if (!reader_->Read(&response)) return std::nullopt;
      return response;
    }
    void Cancel() { context_.TryCancel(); }
    grpc::Status Finish() { return reader_->Finish(); }

   private:
    grpc::ClientContext context_;
    const std::unique_ptr<v1::StatsService::Stub> stub_;
    std::unique_ptr<grpc::ClientReader<v1::WatchStatsResponse>> reader_;
  };

  template <typename F>
  auto OnLoop(F f) {
    return loop_.Run(std::move(f)).get();
  }

  explicit StatsServiceTest(size_t max_message_bytes = size_t{1} << 20)
      : gate_(policy_, server::Gate::Certificates::kAreAdmins, nullptr) {
    registry_ = OnLoop([this] {
      time_.emplace(loop_.context());
      lanes_.emplace(loop_.context());
      return std::make_unique<server::Registry>(loop_.executor(), lanes_->set(),
                                                log_, budget_, policy_);
    });
    service_ = std::make_unique<server::StatsService>(loop_, log_, *registry_,
                                                      gate_, max_message_bytes);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
  }
  ~StatsServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    loop_.RunTask(registry_->TearDown()).get();
    OnLoop([this] { registry_.reset(); });
    loop_.Join();
  }

  std::shared_ptr<grpc::Channel> NewChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return Connected(grpc::CreateCustomChannel(
        target_, grpc::InsecureChannelCredentials(), arguments));
  }

  void Create(const std::string& id) {
    v1::CreateListenerRequest request;
    request.set_listener_id(id);
    *request.mutable_spec() = EchoSpec();
    const auto draft = server::CheckCreate(request);
    ASSERT_TRUE(draft.ok()) << draft.status();
    const auto made = OnLoop([&] { return CreateNow(*registry_, *draft); });
    ASSERT_TRUE(made.ok()) << made.status();
  }
  void Delete(const std::string& id) {
    const auto awaited = OnLoop([&] {
      return registry_->Close(id, ExistingConnections::kLeave,
                              v1::WAIT_FOR_HANDLERS_DETERMINED);
    });
    ASSERT_TRUE(awaited.ok());
    WaitUntil([&] { return awaited->until.determined(); });
    const auto deleted = OnLoop([&] { return DeleteNow(*registry_, id); });
    ASSERT_TRUE(deleted.ok()) << deleted;
  }
  void WaitUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (!OnLoop(condition)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  // Whoever has read all waits for the clock.
  void AwaitIdle() {
    WaitUntil([this] { return time_->earliest() != TimePoint::max(); });
  }
  // Lets time pass for one who waits for it.
  void Advance(Duration delay) {
    AwaitIdle();
    OnLoop([&] { time_->Advance(delay); });
  }

  // A call whose first look is made, as soon as that may be.
  std::unique_ptr<Call> Watch(const v1::WatchStatsRequest& request) {
    auto call = std::make_unique<Call>(NewChannel(), request);
    Advance(Duration::zero());
    return call;
  }

  // The next message of `call`; time passes until it is there.
  std::optional<v1::WatchStatsResponse> ReadWhileTimePasses(Call& call) {
    auto next = std::async(std::launch::async, [&] { return call.Read(); });
    while (next.wait_for(seconds(0)) != std::future_status::ready) {
      OnLoop([this] { time_->Advance(milliseconds(100)); });
    }
    return next.get();
  }

  static v1::WatchStatsRequest Every(Duration interval) {
    v1::WatchStatsRequest request;
    const auto ns = interval.count();
    request.mutable_interval()->set_seconds(ns / 1'000'000'000);
    request.mutable_interval()->set_nanos(
        static_cast<int32_t>(ns % 1'000'000'000));
    return request;
  }
  std::string Refusal(const v1::WatchStatsRequest& request) {
    return Shown(Call(NewChannel(), request).Finish());
  }

  Loop loop_;
  server::EventLog log_;
  DescriptorBudget budget_{10'000};
  std::optional<FakeTimeSource> time_;
  std::optional<TestLanes> lanes_;
  const server::Policy policy_;
  server::Gate gate_;
  std::unique_ptr<server::Registry> registry_;
  std::unique_ptr<server::StatsService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

TEST_F(StatsServiceTest, TellsAllAtOnceAndThenWhatHasChanged) {
  Create("a");
  Create("b");
  const auto call = Watch({});
  auto message = call->Read();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->listeners_size(), 2);
  EXPECT_GT(message->daemon().open_fds(), 3);
  EXPECT_GT(message->daemon().max_fds(), message->daemon().open_fds());
  EXPECT_GT(message->daemon().resident_bytes(), 1 << 20);
  EXPECT_TRUE(message->has_time());
  Delete("b");
  Create("c");
  Advance(seconds(1));
  message = call->Read();
  ASSERT_TRUE(message);
  ASSERT_EQ(message->listeners_size(), 1);
  EXPECT_EQ(message->listeners(0).name(), "listeners/c");
  ASSERT_EQ(message->deleted_size(), 1);
  EXPECT_EQ(message->deleted(0), "listeners/b");
  // Also where nothing has changed: the daemon's own values are there.
  Advance(seconds(1));
  message = call->Read();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->listeners_size(), 0);
  EXPECT_TRUE(message->has_daemon());
}

TEST_F(StatsServiceTest, TheIntervalIsTheClients) {
  const auto call = Watch(Every(seconds(10)));
  ASSERT_TRUE(call->Read());
  Create("a");
  // Multiples of ten seconds, by the clock.
  AwaitIdle();
  const auto due = OnLoop([this] { return time_->earliest(); });
  EXPECT_EQ(due.time_since_epoch() % seconds(10), Duration::zero());
  OnLoop([&] { time_->Advance(due - time_->Now() - milliseconds(1)); });
  EXPECT_EQ(OnLoop([this] { return time_->earliest(); }), due);
  OnLoop([&] { time_->Advance(milliseconds(1)); });
  const auto message = call->Read();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->listeners_size(), 1);
}

TEST_F(StatsServiceTest, OnlyTheListenersThatWereAskedFor) {
  Create("a");
  Create("b");
  v1::WatchStatsRequest request;
  request.add_listeners("listeners/b");
  request.add_listeners("listeners/c");
  const auto call = Watch(request);
  auto message = call->Read();
  ASSERT_TRUE(message);
  ASSERT_EQ(message->listeners_size(), 1);
  EXPECT_EQ(message->listeners(0).name(), "listeners/b");
  Create("c");
  Delete("a");
  Advance(seconds(1));
  message = call->Read();
  ASSERT_TRUE(message);
  ASSERT_EQ(message->listeners_size(), 1);
  EXPECT_EQ(message->listeners(0).name(), "listeners/c");
  EXPECT_EQ(message->deleted_size(), 0);
}

TEST_F(StatsServiceTest, RefusesWhatItCannotDo) {
  EXPECT_EQ(Refusal(Every(milliseconds(99))), "3 / INVALID_FIELD / interval");
  EXPECT_EQ(Refusal(Every(std::chrono::hours(1) + milliseconds(1))),
            "3 / INVALID_FIELD / interval");
  EXPECT_EQ(Refusal(Every(Duration::zero())), "3 / INVALID_FIELD / interval");
  v1::WatchStatsRequest request;
  request.add_listeners("listeners/a");
  request.add_listeners("a");
  EXPECT_EQ(Refusal(request), "3 / INVALID_FIELD / listeners[1]");
  request.Clear();
  for (int i = 0; i < 1001; ++i) request.add_listeners("listeners/a");
  EXPECT_EQ(Refusal(request), "3 / INVALID_FIELD / listeners");
}

TEST_F(StatsServiceTest, EndsWithOkAtTheShutdown) {
  const auto call = Watch({});
  ASSERT_TRUE(call->Read());
  const Deferred<> ended = OnLoop([this] { return service_->EndStreams(); });
  EXPECT_FALSE(call->Read());
  EXPECT_TRUE(call->Finish().ok());
  WaitUntil([&] { return ended.determined(); });
  EXPECT_EQ(Refusal({}), "14 / SHUTTING_DOWN");
}

TEST_F(StatsServiceTest, ACancelledOneLeavesNothing) {
  const auto call = Watch({});
  ASSERT_TRUE(call->Read());
  AwaitIdle();
  call->Cancel();
  EXPECT_EQ(call->Finish().error_code(), grpc::StatusCode::CANCELLED);
  WaitUntil([this] { return time_->earliest() == TimePoint::max(); });
}

// One who does not read holds one message; then he is told the newest.
TEST_F(StatsServiceTest, WhoDoesNotReadIsToldTheNewestWhenHeReads) {
  // Together they do not fit into what a connection holds unread.
  constexpr int kMany = 1500;
  constexpr int kNew = 20;
  for (int i = 0; i < kMany; ++i) Create("l" + std::to_string(i));
  const auto stalled = Watch(Every(milliseconds(100)));
  Call lively(NewChannel(), Every(milliseconds(100)));
  EXPECT_EQ(ReadWhileTimePasses(lively)->listeners_size(), kMany);
  for (int i = 0; i < kNew; ++i) {
    Create("new" + std::to_string(i));
    std::optional<v1::WatchStatsResponse> message;
    do {
      message = ReadWhileTimePasses(lively);
      ASSERT_TRUE(message);
    } while (message->listeners_size() == 0);
    ASSERT_EQ(message->listeners_size(), 1);
  }
  auto message = stalled->Read();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->listeners_size(), kMany);
  message = ReadWhileTimePasses(*stalled);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->listeners_size(), kNew);
}

class SmallMessagesTest : public StatsServiceTest {
 protected:
  SmallMessagesTest() : StatsServiceTest(size_t{16} << 10) {}
};

// What a call has not sent counts against its connection no longer than it
// lives: together these have more than may wait for one.
TEST_F(SmallMessagesTest, WhatACancelledOneHadToSendIsForgotten) {
  constexpr int kMany = 2500;
  constexpr int kCalls = 300;
  for (int i = 0; i < kMany; ++i) Create("l" + std::to_string(i));
  const auto channel = NewChannel();
  for (int i = 0; i < kCalls; ++i) {
    Call unread(channel, {});
    const auto message = ReadWhileTimePasses(unread);
    ASSERT_TRUE(message) << i << ": " << unread.Finish().error_message();
    // The rest of it waits: it does not fit into what a connection holds
    // unread.
    ASSERT_TRUE(message->has_more());
    unread.Cancel();
    EXPECT_EQ(unread.Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  Call call(channel, {});
  int listeners = 0;
  size_t bytes = 0;
  auto message = ReadWhileTimePasses(call);
  while (message && message->has_more()) {
    listeners += message->listeners_size();
    bytes += message->ByteSizeLong();
    message = call.Read();
  }
  ASSERT_TRUE(message);
  EXPECT_EQ(listeners + message->listeners_size(), kMany);
  EXPECT_GT(bytes * kCalls, 3 * server::UnreadAnswers::kMaxBytes);
}

}  // namespace
}  // namespace portreeve::testing
