// WatchEvents over a real channel: what a watcher gets, and when.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "portreeve/v1/event.grpc.pb.h"
#include "server/event_log.h"
#include "server/event_service.h"
#include "server/loop.h"
#include "tests/server/service_fixture.h"

namespace portreeve::server {
namespace {

using testing::Shown;

constexpr int64_t kCapacity = 1000;

v1::Event LimitReached(int limit) {
  v1::Event event;
  event.mutable_limit_reached()->set_limit(limit);
  return event;
}

class WatchTest : public ::testing::Test {
 protected:
  // One call, which counts once this is constructed.
  struct Call {
    Call(WatchTest& test, const v1::WatchEventsRequest& request) {
      context.set_deadline(std::chrono::system_clock::now() +
                           std::chrono::seconds(30));
      reader = test.stub_->WatchEvents(&context, request);
      reader->WaitForInitialMetadata();
    }
    v1::WatchEventsResponse Read() {
      v1::WatchEventsResponse response;
      EXPECT_TRUE(reader->Read(&response));
      return response;
    }
    // Reads until the event of `revision`: all on the way.
    std::vector<v1::Event> ReadUntil(int64_t revision) {
      std::vector<v1::Event> events;
      v1::WatchEventsResponse response;
      while ((events.empty() || events.back().revision() < revision) &&
             reader->Read(&response)) {
        events.insert(events.end(), response.events().begin(),
                      response.events().end());
      }
      return events;
    }
    grpc::Status Finish() { return reader->Finish(); }

    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader;
  };

  WatchTest() : log_(kCapacity), service_(loop_, log_) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::EventService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials()));
  }
  ~WatchTest() override {
    stub_.reset();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    loop_.Join();
  }

  // Appends `count` events in one step of the loop.
  void Append(int count, const std::string& listener = "listeners/a") {
    const auto append = [&] {
      for (int i = 0; i < count; ++i) log_.Append(LimitReached(i), listener);
    };
    loop_.Run(append).get();
  }
  void EndWatches() {
    loop_.Run([this] { service_.EndWatches(); }).get();
  }
  std::string Refusal(const v1::WatchEventsRequest& request) {
    Call call(*this, request);
    return Shown(call.Finish());
  }

  Loop loop_;
  EventLog log_;
  EventService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::EventService::Stub> stub_;
};

TEST_F(WatchTest, GetsWhatFollowsAndNothingBefore) {
  Append(2);
  Call watch(*this, {});
  Append(1);
  const auto response = watch.Read();
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).revision(), 3);
  EXPECT_EQ(response.events(0).instance_id(), log_.instance_id());
}

TEST_F(WatchTest, ABurstTravelsTogether) {
  Call watch(*this, {});
  Append(500);
  const auto response = watch.Read();
  ASSERT_EQ(response.events_size(), 500);
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(response.events(i).revision(), i + 1);
  }
}

TEST_F(WatchTest, FiltersByListenerAndKind) {
  v1::WatchEventsRequest by_listener;
  by_listener.add_listeners("listeners/b");
  v1::WatchEventsRequest by_kind;
  by_kind.add_kinds(v1::EVENT_KIND_CONNECTION_CLOSED);
  Call watch_listener(*this, by_listener);
  Call watch_kind(*this, by_kind);
  Append(1, "listeners/a");
  Append(1, "listeners/b");
  const auto append_closed = [this] {
    v1::Event event;
    event.mutable_connection_closed();
    log_.Append(event, "");
  };
  loop_.Run(append_closed).get();
  EndWatches();
  const auto of_listener = watch_listener.ReadUntil(2);
  ASSERT_EQ(of_listener.size(), 1u);
  EXPECT_EQ(of_listener[0].revision(), 2);
  const auto of_kind = watch_kind.ReadUntil(3);
  ASSERT_EQ(of_kind.size(), 1u);
  EXPECT_EQ(of_kind[0].revision(), 3);
}

// Every revision is told, or in a gap, in order; nothing twice.
TEST_F(WatchTest, AWatcherThatFallsBehindGetsGaps) {
  Call stalled(*this, {});
  Call lively(*this, {});
  const std::string listener = "listeners/a";
  const std::string text(4096, 'x');
  constexpr int kEvents = 20 * kCapacity;
  const auto append = [&] {
    v1::Event event;
    event.mutable_handler_error()->set_message(text);
    log_.Append(event, listener);
  };
  for (int i = 0; i < kEvents; i += 100) {
    const auto hundred = [&] {
      for (int j = 0; j < 100; ++j) append();
    };
    loop_.Run(hundred).get();
    // Not slowed by the other, nor overtaken.
    EXPECT_EQ(lively.ReadUntil(i + 100).size(), 100u);
  }
  int64_t next = 1;
  int num_gaps = 0;
  for (const auto& event : stalled.ReadUntil(kEvents)) {
    if (event.has_gap()) {
      ++num_gaps;
      EXPECT_EQ(event.gap().first_revision(), next);
      EXPECT_EQ(event.gap().last_revision(), event.revision());
      EXPECT_EQ(event.gap().count(), event.revision() - next + 1);
    } else {
      ASSERT_EQ(event.revision(), next);
    }
    next = event.revision() + 1;
  }
  EXPECT_EQ(next, kEvents + 1);
  EXPECT_GE(num_gaps, 1);
}

TEST_F(WatchTest, AGapPassesEveryFilter) {
  v1::WatchEventsRequest request;
  request.add_listeners("listeners/other");
  request.add_kinds(v1::EVENT_KIND_LISTENER_CREATED);
  Call watch(*this, request);
  Append(kCapacity + 10);  // In one step: the watcher cannot look meanwhile.
  const auto events = watch.Read().events();
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].gap().first_revision(), 1);
  EXPECT_EQ(events[0].gap().last_revision(), 10);
}

TEST_F(WatchTest, EndsWithOkAfterTheLastEvent) {
  Call watch(*this, {});
  Append(3);
  EndWatches();
  EXPECT_EQ(watch.ReadUntil(4).size(), 3u);
  EXPECT_EQ(Shown(watch.Finish()), "OK");
  EXPECT_NE(Refusal({}).find("SHUTTING_DOWN"), std::string::npos);
}

TEST_F(WatchTest, AClientMayLeave) {
  {
    Call watch(*this, {});
    Append(1);
    watch.context.TryCancel();
    EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  Append(10);
  Call next(*this, {});
  Append(1);
  EXPECT_EQ(next.Read().events(0).revision(), 12);
}

TEST_F(WatchTest, ChecksItsRequest) {
  v1::WatchEventsRequest name;
  name.add_listeners("listeners/a");
  name.add_listeners("connections/a");
  EXPECT_NE(Refusal(name).find("INVALID_FIELD / listeners[1]"),
            std::string::npos);
  for (const int kind : {0, 15, -1}) {
    v1::WatchEventsRequest request;
    request.add_kinds(static_cast<v1::EventKind>(kind));
    EXPECT_NE(Refusal(request).find("INVALID_FIELD / kinds[0]"),
              std::string::npos);
  }
  v1::WatchEventsRequest negative;
  negative.set_start_revision(-1);
  EXPECT_NE(Refusal(negative).find("INVALID_FIELD / start_revision"),
            std::string::npos);
  v1::WatchEventsRequest both;
  both.set_start_revision(1);
  both.set_initial_snapshot(true);
  EXPECT_NE(Refusal(both).find("INVALID_FIELD"), std::string::npos);
  v1::WatchEventsRequest instance;
  instance.set_instance_id("another");
  EXPECT_NE(Refusal(instance).find("INSTANCE_CHANGED"), std::string::npos);
}

TEST_F(WatchTest, TakesTheInstanceIdOfThisStart) {
  v1::WatchEventsRequest request;
  request.set_instance_id(log_.instance_id());
  Call watch(*this, request);
  Append(1);
  EXPECT_EQ(watch.Read().events_size(), 1);
}

TEST_F(WatchTest, WhatThisReleaseCannotDoIsUnimplemented) {
  v1::WatchEventsRequest from;
  from.set_start_revision(1);
  EXPECT_EQ(Refusal(from).rfind("12 ", 0), 0u);
  v1::WatchEventsRequest snapshot;
  snapshot.set_initial_snapshot(true);
  EXPECT_EQ(Refusal(snapshot).rfind("12 ", 0), 0u);
}

}  // namespace
}  // namespace portreeve::server
