// Where a watch starts: start_revision, instance_id and ListListeners.revision.
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <map>
#include <string>
#include <thread>

#include "tests/server/service_fixture.h"
#include "tests/server/watch_fixture.h"

namespace portreeve::testing {
namespace {

class WatchStartTest : public WatchFixture {};

TEST_F(WatchStartTest, StartRevisionIsInclusive) {
  Append(10);
  Call watch(*this, From(4));
  EXPECT_EQ(CheckComplete(watch.ReadUntil(10), 4, 10), 0);
  Append(2);
  EXPECT_EQ(CheckComplete(watch.ReadUntil(12), 11, 12), 0);
}

TEST_F(WatchStartTest, TheNextRevisionMayBeAskedFor) {
  Call first(*this, From(1));
  Append(3);
  EXPECT_EQ(CheckComplete(first.ReadUntil(3), 1, 3), 0);
  Call next(*this, From(4));
  Append(1);
  EXPECT_EQ(CheckComplete(next.ReadUntil(4), 4, 4), 0);
}

TEST_F(WatchStartTest, WhatIsBeyondTheNextIsUnknown) {
  EXPECT_EQ(Refusal(From(2)), "11 / REVISION_UNKNOWN");
  Append(3);
  EXPECT_EQ(Refusal(From(5)), "11 / REVISION_UNKNOWN");
  EXPECT_EQ(Refusal(From(std::numeric_limits<int64_t>::max())),
            "11 / REVISION_UNKNOWN");
}

TEST_F(WatchStartTest, TheNewestAreKeptAndTheOthersAreAGap) {
  Append(kCapacity);
  Call all(*this, From(1));
  EXPECT_EQ(CheckComplete(all.ReadUntil(kCapacity), 1, kCapacity), 0);

  Append(10);
  Call late(*this, From(4));
  const auto events = late.ReadUntil(kCapacity + 10);
  EXPECT_EQ(CheckComplete(events, 4, kCapacity + 10), 7);
  EXPECT_EQ(events[0].gap().first_revision(), 4);
  EXPECT_EQ(events[0].gap().last_revision(), 10);
  EXPECT_EQ(events[0].gap().count(), 7);
  EXPECT_EQ(events[0].revision(), 10);
  EXPECT_EQ(events[0].instance_id(), instance_id());
  EXPECT_TRUE(events[0].has_time());

  Call oldest(*this, From(11));
  EXPECT_EQ(CheckComplete(oldest.ReadUntil(kCapacity + 10), 11, kCapacity + 10),
            0);
}

TEST_F(WatchStartTest, FiltersHoldForThePast) {
  Append(5, "listeners/a");
  Append(2, "listeners/b");
  Append(5, "listeners/a");
  v1::WatchEventsRequest request = From(1);
  request.add_listeners("listeners/b");
  Call watch(*this, request);
  const auto events = watch.ReadUntil(7);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].revision(), 6);
  EXPECT_EQ(events[1].revision(), 7);
}

// Events that are encoded when they are asked for tell what was, not what is.
TEST_F(WatchStartTest, ThePastIsToldAsItWasThen) {
  const auto listener = Create("a");  // 1
  PlainClient client(listener.status().listening_on().inet().port());
  client.Send("hello");
  ASSERT_EQ(client.Receive(), "hello");
  client.Close();
  WaitUntil([this] { return log().last_revision() == 3; });
  Call watch(*this, From(2));
  Close("a");  // 4-6: nothing of what was before changes.
  Delete("a");
  const auto events = watch.ReadUntil(3);
  ASSERT_GE(events.size(), 2u);
  const auto& accepted = events[0].connection_accepted().connection();
  EXPECT_EQ(accepted.listener(), "listeners/a");
  EXPECT_EQ(accepted.state(), v1::CONNECTION_STATE_OPEN);
  EXPECT_EQ(accepted.bytes_received(), 0);
  EXPECT_EQ(accepted.bytes_sent(), 0);
  EXPECT_FALSE(accepted.has_close_time());
  EXPECT_EQ(accepted.close_reason(), v1::CLOSE_REASON_UNSPECIFIED);
  const auto& closed = events[1].connection_closed().connection();
  EXPECT_EQ(closed.name(), accepted.name());
  EXPECT_EQ(closed.listener(), "listeners/a");
  EXPECT_EQ(closed.state(), v1::CONNECTION_STATE_CLOSED);
  EXPECT_EQ(closed.bytes_received(), 5);
  EXPECT_EQ(closed.bytes_sent(), 5);
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_PEER_CLOSED);
  // The time is that of what happened.
  const auto nanos = [](const google::protobuf::Timestamp& time) {
    return time.seconds() * 1'000'000'000 + time.nanos();
  };
  EXPECT_EQ(nanos(events[0].time()), nanos(accepted.create_time()));
  EXPECT_EQ(nanos(closed.create_time()), nanos(accepted.create_time()));
  EXPECT_EQ(nanos(events[1].time()), nanos(closed.close_time()));
  EXPECT_GT(nanos(closed.close_time()), nanos(closed.create_time()));
}

// More than one message, and more than is looked at in one step.
TEST_F(WatchStartTest, ALongPastComesCompletely) {
  Append(kCapacity, "listeners/a", 2048);
  Call watch(*this, From(1));
  EXPECT_EQ(CheckComplete(watch.ReadUntil(kCapacity), 1, kCapacity), 0);
}

class LongWatchTest : public WatchFixture {
 protected:
  LongWatchTest() : WatchFixture(100'000) {}
};

TEST_F(LongWatchTest, WhatIsWantedIsFoundFarBehindWhatIsNot) {
  Append(50'000, "listeners/a");
  Append(1, "listeners/b");
  Append(40'000, "listeners/a");
  v1::WatchEventsRequest request = From(1);
  request.add_listeners("listeners/b");
  Call watch(*this, request);
  const auto events = watch.ReadMessage();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].revision(), 50'001);
}

TEST_F(WatchStartTest, AnotherInstanceIsRefused) {
  v1::WatchEventsRequest mine;
  mine.set_instance_id(instance_id());
  Call watch(*this, mine);
  Append(1);
  EXPECT_EQ(watch.ReadMessage().size(), 1u);

  for (v1::WatchEventsRequest request :
       {v1::WatchEventsRequest(), From(1), From(1000), WithSnapshot()}) {
    request.set_instance_id("another");
    EXPECT_EQ(Refusal(request), "9 / INSTANCE_CHANGED");
  }
}

// A client that comes back again and again gets everything once.
TEST_F(WatchStartTest, ResumesAfterTheLast) {
  int64_t next = 1;
  for (int i = 0; i < 20; ++i) {
    Append(10);
    v1::WatchEventsRequest request = From(next);
    request.set_instance_id(instance_id());
    Call watch(*this, request);
    const auto events = watch.ReadMessage();
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(CheckComplete(events, next, events.back().revision()), 0);
    next = events.back().revision() + 1;
    watch.Cancel();
  }
  EXPECT_EQ(next, 201);
}

// What ListListeners shows and what follows its revision, while listeners come
// and go.
class ListThenWatchTest : public WatchFixture {
 protected:
  static constexpr int kListeners = 60;

  ListThenWatchTest() {
    changes_ = std::thread([this] {
      for (int i = 0; i < kListeners; ++i) {
        const std::string id = "l" + std::to_string(i);
        Create(id);
        if (i % 3 == 1) Close(id);
        if (i % 6 == 4) Delete(id);
        created_ = i + 1;
      }
    });
  }
  ~ListThenWatchTest() override { changes_.join(); }

  v1::ListListenersResponse List(int page_size, const std::string& token) {
    v1::ListListenersRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    auto response = OnLoop([&] { return registry().List(request); });
    EXPECT_TRUE(response.ok()) << response.status();
    return response->message();
  }
  // All pages; each has the first's revision.
  std::map<std::string, v1::Listener> ListAll(int page_size,
                                              int64_t& revision) {
    std::map<std::string, v1::Listener> listeners;
    std::string token;
    bool is_first = true;
    do {
      const auto page = List(page_size, token);
      if (is_first) revision = page.revision();
      is_first = false;
      EXPECT_EQ(page.revision(), revision);
      EXPECT_EQ(page.instance_id(), instance_id());
      for (const auto& listener : page.listeners()) {
        listeners[listener.name()] = listener;
      }
      token = page.next_page_token();
    } while (!token.empty());
    return listeners;
  }
  int created() const { return created_; }

 private:
  std::atomic<int> created_ = 0;
  std::thread changes_;
};

// The name of the listener of an event about one, and whether it lives on.
std::string NameIn(const v1::Event& event, v1::Listener& listener) {
  const auto* message = event.GetDescriptor();
  const auto* field = message->FindFieldByNumber(event.kind_case());
  const auto& kind = event.GetReflection()->GetMessage(event, field);
  const auto* inner = kind.GetDescriptor()->FindFieldByName("listener");
  listener.CopyFrom(kind.GetReflection()->GetMessage(kind, inner));
  return listener.name();
}

// One page is the state of its revision: nothing of it follows again.
TEST_F(ListThenWatchTest, NothingIsMissedAndNothingTwice) {
  do {
    const auto listed = List(1000, "");
    std::map<std::string, v1::Listener> listeners;
    for (const auto& l : listed.listeners()) listeners[l.name()] = l;
    Call watch(*this, From(listed.revision() + 1));
    // The end of this round.
    const std::string marker = "m" + std::to_string(listed.revision());
    Create(marker);
    const int64_t end = last_revision();
    const auto events = watch.ReadUntil(end);
    EXPECT_EQ(
        CheckComplete(events, listed.revision() + 1, events.back().revision()),
        0);
    for (const auto& event : events) {
      v1::Listener listener;
      const std::string name = NameIn(event, listener);
      if (event.has_listener_created()) {
        EXPECT_EQ(listeners.count(name), 0u) << name;
      } else {
        EXPECT_EQ(listeners.count(name), 1u) << name;
        EXPECT_EQ(listeners[name].uid(), listener.uid());
      }
      if (event.has_listener_close_finished()) {
        EXPECT_FALSE(listeners[name].status().close_finished());
      }
      listeners[name] = listener;
      if (event.has_listener_deleted()) listeners.erase(name);
    }
    EXPECT_EQ(listeners.count("listeners/" + marker), 1u);
  } while (created() < kListeners);
}

// Later pages may show more than the first's revision; what follows it leads to
// the same state nonetheless.
TEST_F(ListThenWatchTest, PagesAndWhatFollowsThemAreTheWholeState) {
  while (created() < kListeners / 2) std::this_thread::yield();
  int64_t revision = 0;
  auto listeners = ListAll(2, revision);
  while (created() < kListeners) std::this_thread::yield();
  const int64_t end = last_revision();
  Call watch(*this, From(revision + 1));
  const auto events = watch.ReadUntil(end);
  EXPECT_EQ(CheckComplete(events, revision + 1, end), 0);
  for (const auto& event : events) {
    v1::Listener listener;
    const std::string name = NameIn(event, listener);
    listeners[name] = listener;
    if (event.has_listener_deleted()) listeners.erase(name);
  }
  int64_t last = 0;
  const auto now = ListAll(1000, last);
  EXPECT_EQ(last, end);
  ASSERT_EQ(listeners.size(), now.size());
  for (const auto& [name, listener] : now) {
    EXPECT_EQ(listeners[name].uid(), listener.uid());
    EXPECT_EQ(listeners[name].status().state(), listener.status().state());
  }
}

}  // namespace
}  // namespace portreeve::testing
