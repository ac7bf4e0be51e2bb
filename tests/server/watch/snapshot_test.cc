// Snapshots that take several steps, beside those that take one.
#include "server/watch/snapshot.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "portreeve/v1/event.pb.h"
#include "server/watch/watch_filter.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::server {
namespace {

using testing::RawClient;

constexpr SnapshotOf kBoth = SnapshotOf::kListenersAndConnections;
constexpr Snapshot::StepSize kOneEach{1, 1};
constexpr Snapshot::StepSize kAllAtOnce{1'000'000, 1'000'000};

class SnapshotTest : public RegistryTest {
 protected:
  // Takes all messages; gives the events, without the time at which it was
  // taken.
  static std::vector<std::string> EventsOf(Snapshot& snapshot) {
    std::vector<std::string> events;
    while (!snapshot.empty()) {
      const std::string message = snapshot.TakeMessage();
      EXPECT_LE(message.size(), kMaxEventMessageBytes);
      v1::WatchEventsResponse response;
      EXPECT_TRUE(response.ParseFromString(message));
      EXPECT_GT(response.events_size(), 0);
      for (v1::Event& event : *response.mutable_events()) {
        EXPECT_TRUE(event.has_time());
        event.clear_time();
        events.push_back(event.ShortDebugString());
      }
    }
    EXPECT_EQ(snapshot.bytes(), 0u);
    return events;
  }
  std::vector<std::string> WholeNow() {
    Snapshot whole(*registry_, events_, filter_, kBoth, kAllAtOnce);
    EXPECT_TRUE(whole.Step());
    EXPECT_EQ(whole.revision(), events_.last_revision());
    return EventsOf(whole);
  }
  // Takes what is left of it, and compares it with one that is taken now.
  void Finish(Snapshot& snapshot) {
    while (!snapshot.is_complete()) snapshot.Step();
    EXPECT_EQ(snapshot.revision(), events_.last_revision());
    EXPECT_EQ(EventsOf(snapshot), WholeNow());
  }

  bool Exists(const std::string& id) {
    return registry_->listeners().count(id) > 0;
  }
  bool IsOpen(const std::string& id) {
    return Exists(id) && !*registry_->IsClosed(id);
  }
  void Remove(const std::string& id) {
    if (!Exists(id)) return;
    Close(id, ExistingConnections::kReset, v1::WAIT_FOR_HANDLERS_DETERMINED);
    Settle();
    EXPECT_TRUE(DeleteNow(*registry_, id).ok()) << id;
  }
  void ConnectTo(const std::string& id) {
    const size_t before = num_connections();
    clients_.push_back(Connect(registry_->Get(id)->message()));
    EXPECT_TRUE(RunUntil([&] { return num_connections() == before + 1; }));
  }

  // What may happen between two steps.
  void CreateOrRemove(const std::string& id) {
    Exists(id) ? Remove(id) : void(Create(id));
  }
  void ConnectMore() {
    if (IsOpen("b")) ConnectTo("b");
  }
  void DisconnectOldest() {
    if (clients_.empty()) return;
    const size_t before = num_connections();
    clients_.pop_front();
    EXPECT_TRUE(RunUntil([&] { return num_connections() == before - 1; }));
  }
  void Update() {
    if (!IsOpen("b")) return;
    v1::UpdateListenerRequest request;
    request.mutable_listener()->mutable_spec()->set_max_connections(
        ++max_connections_);
    request.mutable_update_mask()->add_paths("spec.max_connections");
    EXPECT_TRUE(UpdateNow(*registry_, "b", request).ok());
  }
  void CloseIt() {
    if (IsOpen("d")) Close("d");
    Settle();
  }

  WatchFilter filter_;
  std::deque<RawClient> clients_;
  int max_connections_ = 100;
};

// Each sequence of three, from each place of the snapshot on, with a step
// between each two.
TEST_F(SnapshotTest, IsOfTheRevisionOfItsLastStep) {
  const std::vector<std::function<void()>> actions = {
      [] {},
      [this] { CreateOrRemove("a"); },
      [this] { CreateOrRemove("c"); },
      [this] { CreateOrRemove("e"); },
      [this] { Update(); },
      [this] { CloseIt(); },
      [this] { ConnectMore(); },
      [this] { DisconnectOldest(); },
  };
  const size_t count = actions.size();
  for (int place = 0; place < 5; ++place) {
    for (size_t sequence = 0; sequence < count * count * count; ++sequence) {
      for (const char* id : {"b", "d"}) {
        Create(id);
        ConnectTo(id);
      }
      Snapshot snapshot(*registry_, events_, filter_, kBoth, kOneEach);
      for (int i = 0; i < place && !snapshot.is_complete(); ++i) {
        snapshot.Step();
      }
      size_t rest = sequence;
      for (int i = 0; i < 3 && !snapshot.is_complete(); ++i) {
        actions[rest % count]();
        rest /= count;
        snapshot.Step();
      }
      // One that is complete does not learn of what comes later.
      if (!snapshot.is_complete()) actions[rest % count]();
      Finish(snapshot);
      if (HasFailure()) FAIL() << "place " << place << " of " << sequence;
      clients_.clear();
      for (const char* id : {"a", "b", "c", "d", "e"}) Remove(id);
    }
  }
}

TEST_F(SnapshotTest, AStepLooksAtSoManyAndNoMore) {
  for (int i = 0; i < 7; ++i) Create(absl::StrCat("l", i));
  for (int i = 0; i < 5; ++i) ConnectTo("l0");
  Snapshot snapshot(*registry_, events_, filter_, kBoth, {3, 2});
  int steps = 1;
  while (!snapshot.Step()) ++steps;
  // 3, 3, 1 and 2, 2, 1.
  EXPECT_EQ(steps, 5);
  EXPECT_EQ(EventsOf(snapshot).size(), 13u);
}

TEST_F(SnapshotTest, HasWhatPassesTheFilterAlsoBetweenSteps) {
  filter_.listeners = {"listeners/b"};
  for (const char* id : {"a", "b", "c"}) Create(id);
  Snapshot snapshot(*registry_, events_, filter_, kBoth, kOneEach);
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(snapshot.Step());
  for (const char* id : {"a", "b", "c"}) ConnectTo(id);
  Remove("c");
  Create("c");
  while (!snapshot.is_complete()) snapshot.Step();
  const std::vector<std::string> events = EventsOf(snapshot);
  EXPECT_EQ(events, WholeNow());
  EXPECT_EQ(events.size(), 3u);
}

// Its id is older than those that were looked at.
TEST_F(SnapshotTest, HasADialThatIsConnectedBetweenSteps) {
  testing::RawListener upstream(loop(),
                                [this](const auto& f) { return RunUntil(f); });
  v1::ClientFrame::Dial request;
  auto& inet = *request.mutable_where_to_connect()->mutable_inet();
  inet.set_host("127.0.0.1");
  inet.set_port(upstream.inet_address().port());
  const auto audit = [](const std::string&, const absl::Status&) {};
  for (int i = 0; i < 2; ++i) {
    tasks().Spawn(registry_->dialler().Serve(
                      std::make_shared<testing::FakeClientStream>(executor()),
                      request, audit),
                  [](std::exception_ptr) {});
  }
  while (num_connections() < 2) {
    loop().restart();
    ASSERT_EQ(loop().poll_one(), 1u);
  }
  Snapshot snapshot(*registry_, events_, filter_, kBoth, kOneEach);
  EXPECT_FALSE(snapshot.Step());
  EXPECT_EQ(events_.last_revision(), 0);  // Neither is connected.
  EXPECT_TRUE(RunUntil([this] { return events_.last_revision() == 2; }));
  EXPECT_EQ(WholeNow().size(), 3u);
  Finish(snapshot);
  upstream.Close();
}

TEST_F(SnapshotTest, WhereTheLogOvertakesItAllIsReadAnew) {
  for (const char* id : {"a", "b", "c"}) Create(id);
  Snapshot snapshot(*registry_, events_, filter_, kBoth, kOneEach);
  EXPECT_FALSE(snapshot.Step());
  EXPECT_FALSE(snapshot.Step());
  Remove("a");
  Create("aa");
  v1::Event event;
  event.mutable_limit_reached();
  for (int64_t i = 0; i <= EventLog::kCapacity; ++i) events_.Append(event, "");
  EXPECT_TRUE(snapshot.Step());
  Finish(snapshot);
}

TEST_F(SnapshotTest, SaysHowMuchIsLeft) {
  Create("a");
  ConnectTo("a");
  Snapshot snapshot(*registry_, events_, filter_, kBoth, kOneEach);
  EXPECT_EQ(snapshot.bytes(), 0u);
  size_t before = 0;
  for (bool complete = false; !complete;) {
    complete = snapshot.Step();
    EXPECT_GE(snapshot.bytes(), before);
    before = snapshot.bytes();
  }
  EXPECT_GT(before, 100u);
  EXPECT_FALSE(snapshot.empty());
  EXPECT_EQ(EventsOf(snapshot).size(), 3u);
}

}  // namespace
}  // namespace portreeve::server
