// Many watchers of one daemon, in every manner, while much happens.
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "portreeve/v1/event.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/integration/daemon_client.h"
#include "tests/integration/watcher.h"
#include "tests/server/event_sequence.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

constexpr int kClients = 4;
constexpr int kConnections = 3000;  // Of all clients.
constexpr int kListeners = 40;

class WatchersTest : public ::testing::Test {
 protected:
  WatchersTest() : daemon_({"--listen", "tcp:127.0.0.1:0 echo"}) {
    EXPECT_TRUE(daemon_.WaitUntilReady());
    control_ = std::make_unique<DaemonClient>(daemon_.Target());
  }

  // A part of all connections, one after another.
  void Connect(int count) {
    const int port = daemon_.ListenerPort(0);
    for (int i = 0; i < count; ++i) {
      PlainClient client(port);
      client.Send("hello");
      ASSERT_EQ(client.Receive(), "hello");
    }
  }
  // Half of all connections, from kClients at once, and half of the listeners.
  void HalfOfTheStorm(const std::string& prefix) {
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([this] { Connect(kConnections / 2 / kClients); });
    }
    for (int i = 0; i < kListeners / 2; ++i) {
      const auto listener = control_->Create(prefix + std::to_string(i));
      if (i % 2 == 0) control_->CloseAndDelete(listener.name());
    }
    for (auto& client : clients) client.join();
  }

  std::unique_ptr<Watcher> Start(Watcher::Manner manner) {
    return std::make_unique<Watcher>(daemon_.Target(), std::move(manner));
  }

  DaemonProcess daemon_;
  std::unique_ptr<DaemonClient> control_;
};

// Many at once, over one connection, as after an interruption: what they ask
// for are messages, and no flood.
TEST_F(WatchersTest, RequestsThatNameManyListenersAreMessages) {
  v1::WatchEventsRequest request;
  for (int i = 0; i < 1'000; ++i) {
    request.add_listeners("listeners/" + std::string(60, 'x') +
                          std::to_string(i));
  }
  const auto channel = Connected(grpc::CreateChannel(
      daemon_.Target(), grpc::InsecureChannelCredentials()));
  const auto stub = v1::EventService::NewStub(channel);
  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader;
  };
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 60; ++i) {
    watches.push_back(std::make_unique<Watch>());
    Watch& watch = *watches.back();
    watch.reader = stub->WatchEvents(&watch.context, request);
    // It counts.
    watch.reader->WaitForInitialMetadata();
  }
  for (const auto& watch : watches) {
    watch->context.TryCancel();
    EXPECT_EQ(watch->reader->Finish().error_code(),
              grpc::StatusCode::CANCELLED);
  }
}

Watcher::Manner Stalls(const std::shared_future<void>& until) {
  Watcher::Manner manner;
  manner.stalls_until = until;
  return manner;
}

Watcher::Manner Reconnects(unsigned seed) {
  Watcher::Manner manner;
  manner.reconnects = seed;
  return manner;
}

// Every filter lets the end pass.
Watcher::Manner Wants(std::set<v1::EventKind> kinds,
                      const std::vector<std::string>& listeners) {
  Watcher::Manner manner;
  if (!kinds.empty()) kinds.insert(v1::EVENT_KIND_LISTENER_CREATED);
  for (const auto kind : kinds) manner.filter.add_kinds(kind);
  for (const auto& name : listeners) manner.filter.add_listeners(name);
  if (!listeners.empty()) manner.filter.add_listeners(Watcher::kEnd);
  return manner;
}

// The part of the record that passes a filter.
std::map<int64_t, std::string> Filtered(
    const std::map<int64_t, std::string>& record,
    const v1::WatchEventsRequest& filter) {
  std::set<std::string> listeners(filter.listeners().begin(),
                                  filter.listeners().end());
  std::set<std::string> kinds;
  for (const int kind : filter.kinds()) {
    std::string name;  // "EVENT_KIND_LISTENER_CREATED"
    for (const char c :
         v1::EventKind_Name(kind).substr(std::string("EVENT_KIND_").size())) {
      name += static_cast<char>(tolower(c));
    }
    kinds.insert(name);
  }
  std::map<int64_t, std::string> passing;
  for (const auto& [revision, encoded] : record) {
    v1::Event event;
    EXPECT_TRUE(event.ParseFromString(encoded));
    if ((kinds.empty() || kinds.count(KindOf(event)) > 0) &&
        (listeners.empty() || listeners.count(ListenerOf(event)) > 0)) {
      passing.emplace(revision, encoded);
    }
  }
  return passing;
}

// Fails the test unless every connection of the record is accepted and then
// closed, once each.
void CheckConnections(const std::map<int64_t, std::string>& record) {
  std::set<std::string> open, closed;
  for (const auto& [revision, encoded] : record) {
    v1::Event event;
    EXPECT_TRUE(event.ParseFromString(encoded));
    if (event.has_connection_accepted()) {
      const auto& name = event.connection_accepted().connection().name();
      EXPECT_EQ(closed.count(name), 0u);
      EXPECT_TRUE(open.insert(name).second);
    } else if (event.has_connection_closed()) {
      const auto& connection = event.connection_closed().connection();
      EXPECT_EQ(open.erase(connection.name()), 1u);
      EXPECT_TRUE(closed.insert(connection.name()).second);
      EXPECT_EQ(connection.bytes_received(), 5);
      EXPECT_EQ(connection.bytes_sent(), 5);
    }
  }
  EXPECT_EQ(open.size() + closed.size(), size_t{kConnections});
}

TEST_F(WatchersTest, EachGetsEverythingInOrder) {
  std::promise<void> half, whole;
  const auto at_half = half.get_future().share();
  const auto at_whole = whole.get_future().share();
  const std::string first = daemon_.Printed("listener ").at(0);
  const std::string echo = first.substr(0, first.find(' '));

  std::vector<std::unique_ptr<Watcher>> whole_watchers, filtered_watchers;
  for (int i = 0; i < 4; ++i) whole_watchers.push_back(Start({}));
  for (int i = 0; i < 2; ++i) whole_watchers.push_back(Start(Stalls(at_half)));
  for (int i = 0; i < 4; ++i) whole_watchers.push_back(Start(Stalls(at_whole)));
  for (unsigned i = 1; i <= 5; ++i) {
    whole_watchers.push_back(Start(Reconnects(i)));
  }
  std::vector<Watcher::Manner> filters = {
      Wants({v1::EVENT_KIND_CONNECTION_CLOSED}, {}),
      Wants({v1::EVENT_KIND_LISTENER_DELETED}, {}),
      Wants({}, {echo}),
      Wants({v1::EVENT_KIND_CONNECTION_ACCEPTED}, {echo, "listeners/a0"}),
      Wants({v1::EVENT_KIND_CONNECTION_CLOSED}, {}),
  };
  filters[3].stalls_until = at_whole;
  filters[4].reconnects = 6;
  for (const auto& manner : filters) filtered_watchers.push_back(Start(manner));

  HalfOfTheStorm("a");
  half.set_value();
  HalfOfTheStorm("b");
  whole.set_value();
  control_->Create("end");

  for (const auto& watcher : whole_watchers) watcher->Join();
  const auto& record = whole_watchers.front()->seen();
  const int64_t last = whole_watchers.front()->last_revision();
  EXPECT_EQ(record.size(), static_cast<size_t>(last));
  CheckConnections(record);
  for (const auto& watcher : whole_watchers) {
    EXPECT_EQ(watcher->last_revision(), last);
    EXPECT_EQ(watcher->missing(), 0);  // All of it is kept.
    EXPECT_TRUE(watcher->seen() == record);
    EXPECT_EQ(watcher->instance_id(), whole_watchers.front()->instance_id());
  }
  for (size_t i = 0; i < filters.size(); ++i) {
    filtered_watchers[i]->Join();
    EXPECT_EQ(filtered_watchers[i]->last_revision(), last);
    EXPECT_TRUE(filtered_watchers[i]->seen() ==
                Filtered(record, filters[i].filter))
        << i;
  }
  EXPECT_GT(whole_watchers.back()->num_calls(), 1);
}

}  // namespace
}  // namespace portreeve::testing
