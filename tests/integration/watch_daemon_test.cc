// Where a watch of a daemon starts: from a list, from a snapshot, and after a
// restart.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/descriptor.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/integration/control_fixture.h"
#include "tests/integration/daemon_client.h"
#include "tests/integration/watcher.h"
#include "tests/server/event_sequence.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/full_unix_listener.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class WatchDaemonTest : public ::testing::Test {
 protected:
  WatchDaemonTest() {
    EXPECT_TRUE(daemon_.WaitUntilReady());
    channel_ = Connected(grpc::CreateChannel(
        daemon_.Target(), grpc::InsecureChannelCredentials()));
    listeners_ = v1::ListenerService::NewStub(channel_);
    control_ = std::make_unique<DaemonClient>(daemon_.Target());
  }

  std::set<std::string> ListedNames(v1::ListListenersResponse& response) {
    v1::ListListenersRequest request;
    request.set_page_size(1000);
    grpc::ClientContext context;
    EXPECT_EQ(Shown(listeners_->ListListeners(&context, request, &response)),
              "OK");
    std::set<std::string> names;
    for (const auto& listener : response.listeners()) {
      names.insert(listener.name());
    }
    return names;
  }

  DaemonProcess daemon_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ListenerService::Stub> listeners_;
  std::unique_ptr<DaemonClient> control_;
};

// What ListListeners shows and what follows its revision is all that there is.
TEST_F(WatchDaemonTest, AListAndWhatFollowsItAreEverything) {
  std::thread changes([this] {
    for (int i = 0; i < 60; ++i) {
      const auto listener = control_->Create("l" + std::to_string(i));
      if (i % 2 == 0) control_->CloseAndDelete(listener.name());
    }
  });
  v1::ListListenersResponse listed;
  std::set<std::string> names = ListedNames(listed);
  v1::WatchEventsRequest from;
  from.set_start_revision(listed.revision() + 1);
  from.set_instance_id(listed.instance_id());
  DaemonClient client(daemon_.Target());
  DaemonClient::Watch watch(client, from);
  changes.join();
  control_->Create("end");

  v1::Event event;
  int64_t next = listed.revision() + 1;
  do {
    ASSERT_TRUE(watch.Next(event));
    EXPECT_EQ(event.revision(), next++);
    if (event.has_listener_created()) {
      EXPECT_TRUE(names.insert(ListenerOf(event)).second);
    } else if (event.has_listener_deleted()) {
      EXPECT_EQ(names.erase(ListenerOf(event)), 1u);
    }
  } while (names.count("listeners/end") == 0);
  EXPECT_EQ(names, ListedNames(listed));
}

// Dialled connections are events, and in snapshots, of those who want all.
TEST_F(WatchDaemonTest, DialledConnectionsAreAmongTheEvents) {
  const auto echo = control_->Create("echo");
  DaemonClient client(daemon_.Target());
  DaemonClient::Watch all(client);
  v1::WatchEventsRequest filter;
  filter.add_listeners("listeners/echo");
  DaemonClient::Watch filtered(client, filter);

  const auto connections = v1::ConnectionService::NewStub(channel_);
  grpc::ClientContext context;
  const auto dial = connections->Dial(&context);
  v1::ClientFrame frame;
  auto& where = *frame.mutable_dial()->mutable_where_to_connect();
  where.mutable_inet()->set_host("127.0.0.1");
  where.mutable_inet()->set_port(echo.status().listening_on().inet().port());
  ASSERT_TRUE(dial->Write(frame));
  v1::ServerFrame opened;
  ASSERT_TRUE(dial->Read(&opened));
  ASSERT_TRUE(opened.has_opened());

  // Both ends, in either order.
  std::map<v1::Direction, v1::Connection> accepted;
  for (int i = 0; i < 2; ++i) {
    v1::Event event;
    ASSERT_TRUE(all.Next(event));
    ASSERT_TRUE(event.has_connection_accepted());
    const auto& connection = event.connection_accepted().connection();
    accepted[connection.direction()] = connection;
  }
  ASSERT_EQ(accepted.size(), 2u);
  const auto& outbound = accepted[v1::DIRECTION_OUTBOUND];
  EXPECT_EQ(outbound.name(), opened.opened().connection().name());
  EXPECT_EQ(outbound.listener(), "");
  EXPECT_EQ(accepted[v1::DIRECTION_INBOUND].listener(), "listeners/echo");

  const auto snapshot = [&](v1::WatchEventsRequest request) {
    request.set_initial_snapshot(true);
    DaemonClient::Watch watch(client, request);
    std::set<std::string> names;
    v1::Event event;
    while (watch.Next(event) && !event.has_snapshot_done()) {
      const auto& name = event.connection_accepted().connection().name();
      if (!name.empty()) names.insert(name);
    }
    return names;
  };
  const std::string inbound = accepted[v1::DIRECTION_INBOUND].name();
  EXPECT_EQ(snapshot({}), (std::set<std::string>{outbound.name(), inbound}));
  EXPECT_EQ(snapshot(filter), std::set<std::string>{inbound});

  context.TryCancel();
  std::map<std::string, v1::Connection> closed;
  for (int i = 0; i < 2; ++i) {
    v1::Event event;
    ASSERT_TRUE(all.Next(event));
    ASSERT_TRUE(event.has_connection_closed());
    const auto& connection = event.connection_closed().connection();
    closed[connection.name()] = connection;
  }
  EXPECT_EQ(closed[outbound.name()].direction(), v1::DIRECTION_OUTBOUND);
  for (const auto kind :
       {v1::Event::kConnectionAccepted, v1::Event::kConnectionClosed}) {
    v1::Event event;
    ASSERT_TRUE(filtered.Next(event));
    EXPECT_EQ(event.kind_case(), kind);
    EXPECT_EQ(ListenerOf(event), "listeners/echo");
  }
}

// What is being connected is listed, and is no event yet.
TEST_F(WatchDaemonTest, ADialThatIsUnderWayIsInNoSnapshot) {
  DaemonClient client(daemon_.Target());
  DaemonClient::Watch watch(client);
  const TemporaryFolder folder;
  FullUnixListener full(folder.File("full"));
  const auto connections = v1::ConnectionService::NewStub(channel_);
  grpc::ClientContext context;
  const auto dial = connections->Dial(&context);
  v1::ClientFrame frame;
  frame.mutable_dial()
      ->mutable_where_to_connect()
      ->mutable_unix_socket()
      ->set_path(folder.File("full"));
  ASSERT_TRUE(dial->Write(frame));
  v1::ListConnectionsResponse listed;
  ASSERT_TRUE(Await([&] {
    grpc::ClientContext list;
    EXPECT_EQ(Shown(connections->ListConnections(&list, {}, &listed)), "OK");
    return listed.connections_size() == 1;
  }));
  EXPECT_EQ(listed.connections(0).state(), v1::CONNECTION_STATE_OPENING);

  v1::WatchEventsRequest request;
  request.set_initial_snapshot(true);
  DaemonClient::Watch snapshot(client, request);
  v1::Event event;
  ASSERT_TRUE(snapshot.Next(event));
  EXPECT_TRUE(event.has_snapshot_done()) << event.DebugString();

  // There is room, which the daemon finds when it tries again.
  const Descriptor filler = full.Accept();
  v1::ServerFrame opened;
  ASSERT_TRUE(dial->Read(&opened));
  for (DaemonClient::Watch* each : {&watch, &snapshot}) {
    ASSERT_TRUE(each->Next(event));
    EXPECT_EQ(event.connection_accepted().connection().name(),
              listed.connections(0).name())
        << event.DebugString();
  }
  context.TryCancel();
}

// A daemon of its own folder, where it is found again after a restart.
class RestartTest : public ::testing::Test {
 protected:
  RestartTest() {
    char folder[] = "/tmp/portreeve-XXXXXX";
    folder_ = mkdtemp(folder);
    Restart();
  }
  ~RestartTest() override {
    daemon_.reset();
    unlink((folder_ + "/control").c_str());
    rmdir(folder_.c_str());
  }
  // The daemon that was there before is ending.
  void Restart() {
    if (daemon_) EXPECT_EQ(daemon_->WaitForExit(), 0);
    daemon_ = std::make_unique<DaemonProcess>(
        std::vector<std::string>{"--control", "unix:" + folder_ + "/control",
                                 "--listen", "tcp:127.0.0.1:0 echo"});
    EXPECT_TRUE(daemon_->WaitUntilReady());
  }

  // Watches the daemon until it has ended: its instance id.  Nothing is left of
  // the client, who could take the next daemon for this one.
  std::string WatchToTheEnd() {
    DaemonClient client(daemon_->Target());
    v1::WatchEventsRequest request;
    request.set_start_revision(1);
    DaemonClient::Watch watch(client, request);
    v1::Event event;
    EXPECT_TRUE(watch.Next(event));
    EXPECT_EQ(event.revision(), 1);
    daemon_->Signal(SIGTERM);
    std::vector<v1::Event> rest;
    EXPECT_TRUE(watch.Drain(rest).ok());
    EXPECT_FALSE(rest.empty());  // It was told how the listener ended.
    return event.instance_id();
  }

  std::string folder_;
  std::unique_ptr<DaemonProcess> daemon_;
};

TEST_F(RestartTest, IsNoticed) {
  const std::string old = WatchToTheEnd();
  Restart();

  // Whatever the revision says.
  for (const int64_t start : {int64_t{0}, int64_t{1}, int64_t{1000}}) {
    v1::WatchEventsRequest again;
    again.set_start_revision(start);
    again.set_instance_id(old);
    v1::WatchEventsResponse response;
    grpc::ClientContext context;
    const auto stub = v1::EventService::NewStub(OwnChannel(daemon_->Target()));
    const auto reader = stub->WatchEvents(&context, again);
    EXPECT_FALSE(reader->Read(&response));
    EXPECT_EQ(Shown(reader->Finish()), "9 / INSTANCE_CHANGED");
  }
  DaemonClient next(daemon_->Target());
  v1::WatchEventsRequest snapshot;
  snapshot.set_initial_snapshot(true);
  DaemonClient::Watch fresh(next, snapshot);
  v1::Event created, done;
  ASSERT_TRUE(fresh.Next(created));
  ASSERT_TRUE(fresh.Next(done));
  EXPECT_TRUE(created.has_listener_created());
  EXPECT_TRUE(done.has_snapshot_done());
  EXPECT_EQ(done.revision(), 1);
  EXPECT_NE(done.instance_id(), old);
}

}  // namespace
}  // namespace portreeve::testing
