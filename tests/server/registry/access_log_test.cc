// Which connections leave which lines in the access log.
#include "server/registry/access_log.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/api/names.h"
#include "server/registry/held_connection.h"
#include "server/registry/registry.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::FakeClientStream;
using ::portreeve::testing::RawClient;
using ::portreeve::testing::RawListener;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// Gives the value of a key, without the quotation marks; "" where it is absent.
std::string Get(const std::string& line, const std::string& key) {
  const std::string name = absl::StrCat("\"", key, "\":");
  size_t at = line.find(name);
  if (at == line.npos) return "";
  at += name.size();
  if (line[at] != '"')
    return line.substr(at, line.find_first_of(",}", at) - at);
  return line.substr(at + 1, line.find('"', at + 1) - at - 1);
}

class AccessLogTest : public RegistryTest {
 protected:
  AccessLogTest() { registry_->LogAccessesTo(log_); }

  v1::Listener CreateWith(const std::string& id, v1::AccessLogMode mode,
                          int every = 0) {
    v1::CreateListenerRequest request = Request(id);
    Set(*request.mutable_spec(), mode, every);
    const auto listener = TryCreate(request);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *listener;
  }
  void UpdateTo(const std::string& id, v1::AccessLogMode mode, int every = 0) {
    v1::UpdateListenerRequest request;
    Set(*request.mutable_listener()->mutable_spec(), mode, every);
    request.mutable_update_mask()->add_paths("spec.access_log");
    const auto updated = UpdateNow(*registry_, id, request);
    EXPECT_TRUE(updated.ok()) << updated.status();
  }
  static void Set(v1::ListenerSpec& spec, v1::AccessLogMode mode, int every) {
    spec.mutable_access_log()->set_mode(mode);
    if (every == 0) return;
    spec.mutable_access_log()->mutable_every()->set_seconds(every);
  }

  // A client whose connection the registry has.
  RawClient Open(const v1::Listener& listener) {
    const size_t before = num_connections();
    RawClient client = Connect(listener);
    RunUntil([&] { return num_connections() == before + 1; });
    return client;
  }
  void End(RawClient& client) {
    const size_t before = num_connections();
    client.Close();
    RunUntil([&] { return num_connections() == before - 1; });
    Settle();
  }

  std::vector<std::string> TakeLines() { return std::exchange(lines_, {}); }
  // "close:a1", in their order.
  std::vector<std::string> TakeEventsOfLines() {
    std::vector<std::string> events;
    for (const std::string& line : TakeLines()) {
      events.push_back(
          absl::StrCat(Get(line, "event"), ":", Get(line, "connection")));
    }
    return events;
  }
  std::string LastConnection() {
    return ConnectionName(registry_->connections().entries().rbegin()->first)
        .substr(sizeof("connections/") - 1);
  }

  std::vector<std::string> lines_;
  AccessLog log_{{"team", "a\"b", "none"},
                 [this](std::optional<std::string_view> line) {
                   ASSERT_TRUE(line.has_value());
                   lines_.emplace_back(*line);
                 }};
};

TEST_F(AccessLogTest, ALineIsWhatTheEventOfTheCloseTells) {
  RawClient client = Open(Create("web"));
  EXPECT_EQ(client.Send("hello"), "ok");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  EXPECT_THAT(TakeLines(), SizeIs(0));
  TakeEvents();
  End(client);
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  const v1::Connection& closed = events[0].connection_closed().connection();
  const auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(Get(lines[0], "event"), "close");
  EXPECT_EQ(Get(lines[0], "listener"), "web");
  EXPECT_EQ("connections/" + Get(lines[0], "connection"), closed.name());
  EXPECT_EQ(Get(lines[0], "received"), "5");
  EXPECT_EQ(Get(lines[0], "sent"), "5");
  EXPECT_EQ(Get(lines[0], "reason"), "PEER_CLOSED");
  EXPECT_THAT(lines[0], Not(HasSubstr("\"connect\"")));
  EXPECT_THAT(lines[0], Not(HasSubstr("\"labels\"")));
}

// Of one that another process carries on nobody knows here how long it took to
// connect.
TEST_F(AccessLogTest, OneThatIsHeldWasConnectedElsewhere) {
  ConnectionHolder* const holder = nullptr;
  struct {
    HeldConnection connection;
    char behind[1024] = {};
  } held{{executor(), 1, AnyAddress(), AnyAddress(), HeldCounts(), holder}};
  ConnectionFacts facts;
  facts.is_held = true;
  facts.upstream = std::make_shared<const AnyAddress>();
  log_.Tell(AccessEvent::kClose, held.connection, facts, "web", "");
  const auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], HasSubstr("\"upstream\""));
  EXPECT_THAT(lines[0], Not(HasSubstr("\"connect\"")));
}

TEST_F(AccessLogTest, TheModes) {
  RawClient off = Open(CreateWith("off", v1::ACCESS_LOG_MODE_OFF));
  End(off);
  EXPECT_THAT(TakeLines(), SizeIs(0));
  RawClient close = Open(CreateWith("close", v1::ACCESS_LOG_MODE_ON_CLOSE));
  EXPECT_THAT(TakeLines(), SizeIs(0));
  End(close);
  EXPECT_THAT(TakeLines(), SizeIs(1));
  RawClient both =
      Open(CreateWith("both", v1::ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE));
  const std::string id = LastConnection();
  EXPECT_THAT(TakeEventsOfLines(), ElementsAre("open:" + id));
  End(both);
  EXPECT_THAT(TakeEventsOfLines(), ElementsAre("close:" + id));
}

TEST_F(AccessLogTest, ADroppedConnectionLeavesALine) {
  for (const bool is_on : {true, false}) {
    v1::CreateListenerRequest request = Request(is_on ? "on" : "off");
    request.mutable_spec()->set_drop_incoming_connections(true);
    if (!is_on) Set(*request.mutable_spec(), v1::ACCESS_LOG_MODE_OFF, 0);
    const auto listener = TryCreate(request);
    ASSERT_TRUE(listener.ok());
    RawClient client = Connect(*listener);
    client.Receive();
    Settle();
    const auto lines = TakeLines();
    ASSERT_THAT(lines, SizeIs(is_on ? 1 : 0));
    if (!is_on) continue;
    EXPECT_EQ(Get(lines[0], "event"), "drop");
    EXPECT_EQ(Get(lines[0], "reason"), "DROPPED");
    EXPECT_EQ(Get(lines[0], "listener"), "on");
  }
}

TEST_F(AccessLogTest, AnUpdateHoldsForWhatIsAcceptedAfterwards) {
  const v1::Listener listener = Create("web");
  RawClient first = Open(listener);
  const std::string first_id = LastConnection();
  UpdateTo("web", v1::ACCESS_LOG_MODE_OFF);
  RawClient second = Open(listener);
  UpdateTo("web", v1::ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE);
  RawClient third = Open(listener);
  const std::string third_id = LastConnection();
  EXPECT_THAT(TakeEventsOfLines(), ElementsAre("open:" + third_id));
  End(second);
  EXPECT_THAT(TakeLines(), SizeIs(0));
  UpdateTo("web", v1::ACCESS_LOG_MODE_OFF);
  End(first);
  End(third);
  EXPECT_THAT(TakeEventsOfLines(),
              ElementsAre("close:" + first_id, "close:" + third_id));
}

TEST_F(AccessLogTest, EveryIsCountedFromTheAcceptOfEach) {
  const v1::Listener listener =
      CreateWith("web", v1::ACCESS_LOG_MODE_ON_OPEN_AND_CLOSE, 10);
  RawClient a = Open(listener);
  const std::string a_id = LastConnection();
  time().Advance(seconds(4));
  RawClient b = Open(listener);
  const std::string b_id = LastConnection();
  EXPECT_THAT(TakeEventsOfLines(), ElementsAre("open:" + a_id, "open:" + b_id));
  time().Advance(seconds(5));
  EXPECT_THAT(TakeLines(), SizeIs(0));
  time().Advance(seconds(1));
  EXPECT_THAT(TakeEventsOfLines(), ElementsAre("alive:" + a_id));
  time().Advance(seconds(14));
  EXPECT_THAT(TakeEventsOfLines(),
              ElementsAre("alive:" + b_id, "alive:" + a_id, "alive:" + b_id));
  EXPECT_EQ(a.Send("hello"), "ok");
  EXPECT_EQ(a.ReceiveExactly(5), "hello");
  time().Advance(seconds(6));
  const auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(Get(lines[0], "received"), "5");
  EXPECT_EQ(Get(lines[0], "reason"), "");
  End(a);
  End(b);
  EXPECT_THAT(TakeEventsOfLines(),
              ElementsAre("close:" + a_id, "close:" + b_id));
}

// Nothing wakes the loop but what is due.
TEST_F(AccessLogTest, TheTimerOfEveryIsThatOfAnOpenConnection) {
  const v1::Listener listener =
      CreateWith("web", v1::ACCESS_LOG_MODE_ON_CLOSE, 10);
  EXPECT_EQ(time().earliest(), TimePoint::max());
  RawClient a = Open(listener);
  time().Advance(seconds(4));
  RawClient b = Open(listener);
  End(a);
  EXPECT_EQ(time().earliest(), time().Now() + seconds(10));
  End(b);
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

TEST_F(AccessLogTest, AnUpdateOfEveryHoldsForWhatIsAcceptedAfterwards) {
  const v1::Listener listener = Create("web");
  RawClient none = Open(listener);
  UpdateTo("web", v1::ACCESS_LOG_MODE_ON_CLOSE, 10);
  RawClient ten = Open(listener);
  const std::string ten_id = LastConnection();
  UpdateTo("web", v1::ACCESS_LOG_MODE_ON_CLOSE, 3);
  RawClient three = Open(listener);
  const std::string three_id = LastConnection();
  UpdateTo("web", v1::ACCESS_LOG_MODE_OFF);
  RawClient off = Open(listener);
  time().Advance(seconds(10));
  EXPECT_THAT(TakeEventsOfLines(),
              ElementsAre("alive:" + three_id, "alive:" + three_id,
                          "alive:" + three_id, "alive:" + ten_id));
  for (RawClient* client : {&none, &ten, &three, &off}) End(*client);
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

TEST_F(AccessLogTest, LinesHaveTheLabelsThatAreNamedAndTheListenerHasNow) {
  v1::CreateListenerRequest request = Request("web");
  auto& labels = *request.mutable_spec()->mutable_labels();
  labels["team"] = "blue\n";
  labels["a\"b"] = "\xd0\xb6";
  labels["secret"] = "x";
  const auto listener = TryCreate(request);
  ASSERT_TRUE(listener.ok());
  RawClient client = Open(*listener);
  RawClient later = Open(*listener);
  End(client);
  auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], HasSubstr(",\"labels\":{\"team\":\"blue\\n\","
                                  "\"a\\\"b\":\"\xd0\xb6\"}}"));
  v1::UpdateListenerRequest update;
  (*update.mutable_listener()->mutable_spec()->mutable_labels())["team"] =
      "red";
  update.mutable_update_mask()->add_paths("spec.labels");
  ASSERT_TRUE(UpdateNow(*registry_, "web", update).ok());
  End(later);
  lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], HasSubstr(",\"labels\":{\"team\":\"red\"}}"));
}

// What a later cause has overruled is in no line.
TEST_F(AccessLogTest, TheReasonIsThatOfTheEvent) {
  RawClient client = Connect(Create("web"));
  RunUntil([&] { return num_connections() == 1; });
  FloodUnread(client);
  client.CloseSending();  // PEER_CLOSED.
  Settle();
  TakeEvents();
  time().Advance(seconds(121));
  ASSERT_TRUE(RunUntil([&] { return num_connections() == 0; }));
  Settle();
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].connection_closed().connection().close_reason(),
            v1::CLOSE_REASON_BUFFER_AGE);
  const auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(Get(lines[0], "reason"), "BUFFER_AGE");
}

TEST_F(AccessLogTest, AForwardHasItsUpstreamAndHowLongConnectingTook) {
  RawListener upstream(loop(), [this](const auto& f) { return RunUntil(f); });
  v1::CreateListenerRequest request = Request("web");
  auto& inet = *request.mutable_spec()
                    ->mutable_handler()
                    ->mutable_forward()
                    ->mutable_upstream()
                    ->mutable_inet();
  inet.set_host("127.0.0.1");
  inet.set_port(upstream.inet_address().port());
  const std::string address = absl::StrCat("127.0.0.1:", inet.port());
  const auto listener = TryCreate(request);
  ASSERT_TRUE(listener.ok());
  RawClient client = Open(*listener);
  ASSERT_TRUE(RunUntil([&] {
    const auto live = registry_->connections().entries().begin()->second;
    return live->facts.upstream != nullptr;
  }));
  client.Reset();
  ASSERT_TRUE(RunUntil([&] { return num_connections() == 0; }));
  upstream.Close();
  // Here nobody answers.
  RawClient refused = Connect(*listener);
  ASSERT_TRUE(RunUntil([&] { return lines_.size() == 2; }));
  const auto lines = TakeLines();
  EXPECT_EQ(Get(lines[0], "upstream"), address);
  EXPECT_EQ(Get(lines[0], "connect"), "0");  // The clock stands still.
  EXPECT_EQ(Get(lines[0], "reason"), "PEER_RESET");
  EXPECT_EQ(Get(lines[1], "upstream"), address);
  EXPECT_EQ(Get(lines[1], "connect"), "");
  EXPECT_EQ(Get(lines[1], "reason"), "UPSTREAM_UNREACHABLE");
}

TEST_F(AccessLogTest, ADialLeavesALineWithoutAListener) {
  RawListener peer(loop(), [this](const auto& f) { return RunUntil(f); });
  const auto stream = std::make_shared<FakeClientStream>(executor());
  v1::ClientFrame::Dial dial;
  auto& inet = *dial.mutable_where_to_connect()->mutable_inet();
  inet.set_host("127.0.0.1");
  inet.set_port(peer.inet_address().port());
  Start(registry_->dialler().Serve(
      stream, dial, [](const std::string&, const absl::Status&) {}));
  Settle();
  ASSERT_EQ(num_connections(), 1u);
  const std::string id = LastConnection();
  stream->Break();
  ASSERT_TRUE(RunUntil([&] { return num_connections() == 0; }));
  Settle();
  const auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], Not(HasSubstr("\"listener\"")));
  EXPECT_EQ(Get(lines[0], "connection"), id);
  EXPECT_EQ(Get(lines[0], "event"), "close");
  EXPECT_EQ(Get(lines[0], "reason"), "CANCELLED");
  peer.Close();
}

TEST_F(AccessLogTest, AShutdownLeavesTheLines) {
  RawClient client = Open(Create("web"));
  registry_->BeginShutdown();
  registry_->CloseAllConnections(ExistingConnections::kReset);
  ASSERT_TRUE(RunUntil([&] { return num_connections() == 0; }));
  Settle();
  const auto lines = TakeLines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(Get(lines[0], "reason"), "SHUTDOWN");
}

}  // namespace
}  // namespace portreeve::server
