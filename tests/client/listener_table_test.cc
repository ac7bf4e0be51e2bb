// What `portreeve list` prints, and `list --watch` of each event.
#include "client/cli/listener_table.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/listener_changes.h"

namespace portreeve::cli {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

v1::Listener Of(const std::string& text) {
  v1::Listener listener;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &listener));
  return listener;
}

v1::Listener Web() {
  return Of(R"(
      name: "listeners/web" uid: "u-1"
      spec { handler { echo {} } max_connections: 10
             labels { key: "b" value: "2" } labels { key: "a" value: "1" } }
      status {
        state: LISTENER_STATE_LISTENING
        listening_on { inet { address: "127.0.0.1" port: 40123 } }
        num_connections: 3 effective_backlog: 50 accepted_total: 7
        dropped_total: 1 handler_errors_total: 2 bytes_received_total: 11
        bytes_sent_total: 12 backlog_connections: 4
        opened_time { seconds: 990000 }
        closed_by_reason { key: "UPSTREAM_UNREACHABLE" value: 3 }
        closed_by_reason { key: "PEER_CLOSED" value: 1 }
        closed_by_reason { key: "UPSTREAM_UNREACHABLE/DNS_FAILURE" value: 3 }
      })");
}

v1::Listener UnixOne() {
  return Of(R"(
      name: "listeners/a"
      spec { handler { echo {} } max_connections: 1
        where_to_listen { unix_socket { path: "/a b\n" } } }
      status { state: LISTENER_STATE_LISTENING effective_backlog: 9
               listening_on { unix_socket { path: "/a b\n" } } })");
}

TEST(ListenerTableTest, ListsListeners) {
  ListenerTable table(ListenerColumns::kUsual);
  EXPECT_EQ(table.Lines({Web(), UnixOne()}, true, kNow),
            "NAME           STATE      ADDRESS              HANDLER  "
            "CONNECTIONS  MAX  ACCEPTED  LABELS\n"
            "listeners/web  LISTENING  tcp:127.0.0.1:40123  echo     "
            "3            10   7         a=1,b=2\n"
            "listeners/a    LISTENING  unix:/a_b\\n          echo     "
            "0            1    0         -\n");
}

TEST(ListenerTableTest, AnEmptyListIsItsHeader) {
  EXPECT_EQ(ListenerTable(ListenerColumns::kUsual).Lines({}, false, kNow),
            "NAME  STATE  ADDRESS  HANDLER  CONNECTIONS  MAX  ACCEPTED  "
            "LABELS\n");
}

TEST(ListenerTableTest, WideHasMoreBetweenTheSameColumns) {
  ListenerTable table(ListenerColumns::kWide);
  v1::Listener closed = UnixOne();
  closed.mutable_status()->set_state(v1::LISTENER_STATE_CLOSED);
  closed.mutable_status()->mutable_opened_time()->set_seconds(1);
  closed.mutable_status()->clear_effective_backlog();
  EXPECT_EQ(
      table.Lines({Web(), UnixOne(), closed}, true, kNow),
      "NAME           STATE      ADDRESS              HANDLER  CONNECTIONS  "
      "MAX  ACCEPTED  DROPPED  ERRORS  CLOSED  RECEIVED  SENT  BACKLOG  "
      "UPTIME    LABELS\n"
      "listeners/web  LISTENING  tcp:127.0.0.1:40123  echo     3            "
      "10   7         1        2       4       11        12    4/50     "
      "2h46m40s  a=1,b=2\n"
      "listeners/a    LISTENING  unix:/a_b\\n          echo     0            "
      "1    0         0        0       0       0         0     -/9      "
      "-         -\n"
      "listeners/a    CLOSED     unix:/a_b\\n          echo     0            "
      "1    0         0        0       0       0         0     -        "
      "-         -\n");
  // Where it is not known how many wait.
  EXPECT_NE(table.Lines({Web()}, false, kNow).find("  -/50  "),
            std::string::npos);
  // Nobody waits for one that does not listen.
  v1::Listener failed = Web();
  failed.mutable_status()->set_state(v1::LISTENER_STATE_FAILED);
  failed.mutable_status()->clear_backlog_connections();
  EXPECT_NE(table.Lines({failed}, true, kNow).find("  -/50  "),
            std::string::npos);
}

TEST(ListenerTableTest, NoNumberIsTooLarge) {
  v1::Listener web = Web();
  auto& closes = *web.mutable_status()->mutable_closed_by_reason();
  closes["PEER_CLOSED"] = std::numeric_limits<int64_t>::max();
  EXPECT_NE(ListenerTable(ListenerColumns::kWide)
                .Lines({web}, true, kNow)
                .find(" 9223372036854775807  11 "),
            std::string::npos);
}

TEST(ListenerTableTest, LaterLinesKeepTheColumnsAsFarAsTheyFit) {
  ListenerTable table(ListenerColumns::kUsual);
  table.Lines({UnixOne()}, false, kNow);
  EXPECT_EQ(table.Line(UnixOne(), kNow),
            "listeners/a  LISTENING  unix:/a_b\\n  echo     0            1    0"
            "         -\n");
  EXPECT_EQ(table.DeletedLine(Web(), kNow),
            "listeners/web  DELETED    tcp:127.0.0.1:40123  echo     3         "
            "   10   7         a=1,b=2\n");
}

class ListenerChangesTest : public ::testing::Test {
 protected:
  static v1::Listener Named(const std::string& id, v1::ListenerState state,
                            const std::string& uid = "u") {
    v1::Listener listener;
    listener.set_name(absl::StrCat("listeners/", id));
    listener.set_uid(uid);
    listener.mutable_spec()->mutable_handler()->mutable_echo();
    listener.mutable_status()->set_state(state);
    return listener;
  }

  // Gives the name and the state in each line; "=" for the header.
  std::string Take(const v1::Event& event) {
    std::string shown;
    std::istringstream lines(changes_.Take(event, kNow));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream cells(line);
      std::string name;
      std::string state;
      cells >> name >> state;
      shown += name == "NAME" ? "=" : absl::StrCat(name.substr(10), " ", state);
      shown += ";";
    }
    return shown;
  }
  std::string Created(const v1::Listener& listener) {
    v1::Event event;
    *event.mutable_listener_created()->mutable_listener() = listener;
    return Take(event);
  }
  std::string Closed(const v1::Listener& listener) {
    v1::Event event;
    *event.mutable_listener_close_finished()->mutable_listener() = listener;
    return Take(event);
  }
  std::string Determined(const v1::Listener& listener) {
    v1::Event event;
    *event.mutable_listener_handlers_determined()->mutable_listener() =
        listener;
    return Take(event);
  }
  std::string Deleted(const v1::Listener& listener) {
    v1::Event event;
    *event.mutable_listener_deleted()->mutable_listener() = listener;
    return Take(event);
  }
  std::string Done() {
    v1::Event event;
    event.mutable_snapshot_done();
    return Take(event);
  }

  const v1::Listener a_ = Named("a", v1::LISTENER_STATE_LISTENING);
  const v1::Listener b_ = Named("b", v1::LISTENER_STATE_LISTENING);
  const v1::Listener closed_a_ = Named("a", v1::LISTENER_STATE_CLOSED);
  ListenerChanges changes_{ListenerColumns::kUsual};
};

TEST_F(ListenerChangesTest, TheTableComesFirstAndThenALineForEachChange) {
  EXPECT_EQ(Created(b_), "");
  EXPECT_EQ(Created(a_), "");
  EXPECT_EQ(Done(), "=;a LISTENING;b LISTENING;");
  v1::Event event;
  *event.mutable_listener_updated()->mutable_listener() = b_;
  EXPECT_EQ(Take(event), "b LISTENING;");
  EXPECT_EQ(Created(Named("c", v1::LISTENER_STATE_LISTENING)), "c LISTENING;");
  *event.mutable_listener_close_started()->mutable_listener() =
      Named("a", v1::LISTENER_STATE_CLOSING);
  EXPECT_EQ(Take(event), "a CLOSING;");
  EXPECT_EQ(Closed(closed_a_), "a CLOSED;");
  EXPECT_EQ(Deleted(closed_a_), "a DELETED;");
  *event.mutable_listener_failed()->mutable_listener() =
      Named("d", v1::LISTENER_STATE_FAILED);
  EXPECT_EQ(Take(event), "d FAILED;");
  *event.mutable_listener_restored()->mutable_listener() =
      Named("d", v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(Take(event), "d LISTENING;");
}

TEST_F(ListenerChangesTest, TheEndOfItsHandlersIsToldWhereItShows) {
  Done();
  v1::Listener closed = closed_a_;
  closed.mutable_status()->set_num_connections(1);
  EXPECT_EQ(Closed(closed), "a CLOSED;");
  EXPECT_EQ(Determined(closed_a_), "a CLOSED;");
  EXPECT_EQ(Determined(closed_a_), "");
  EXPECT_EQ(Deleted(closed_a_), "a DELETED;");
  EXPECT_EQ(Determined(closed_a_), "");
  // Its name is another one's.
  EXPECT_EQ(Created(Named("a", v1::LISTENER_STATE_LISTENING, "u-2")),
            "a LISTENING;");
  EXPECT_EQ(Determined(closed_a_), "");
}

TEST_F(ListenerChangesTest, OfASnapshotThatIsCutNothingIsLeft) {
  EXPECT_EQ(Created(a_), "");
  changes_.OnSnapshotBegun();
  EXPECT_EQ(Created(b_), "");
  EXPECT_EQ(Done(), "=;b LISTENING;");
}

TEST_F(ListenerChangesTest, WhatWasToldIsNotToldAgainByALaterSnapshot) {
  Created(a_);
  Created(b_);
  Done();
  const v1::Listener c = Named("c", v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(Created(c), "c LISTENING;");
  EXPECT_EQ(Closed(closed_a_), "a CLOSED;");
  EXPECT_EQ(Deleted(b_), "b DELETED;");
  changes_.OnSnapshotBegun();
  Created(closed_a_);
  Created(c);
  EXPECT_EQ(Done(), "");
}

// Before and after a snapshot each of three listeners may not be there, listen,
// be closed, or be another one of its name.
TEST_F(ListenerChangesTest, ALaterSnapshotTellsExactlyWhatIsDifferent) {
  const std::vector<std::string> kIds = {"a", "b", "c"};
  const auto in_state = [](const std::string& id, int state) {
    return Named(
        id,
        state == 2 ? v1::LISTENER_STATE_CLOSED : v1::LISTENER_STATE_LISTENING,
        state == 3 ? "another" : "u");
  };
  const auto digit = [](int number, size_t i) { return number >> (2 * i) & 3; };
  for (int before = 0; before < 64; ++before) {
    for (int after = 0; after < 64; ++after) {
      changes_ = ListenerChanges(ListenerColumns::kUsual);
      for (size_t i = 0; i < kIds.size(); ++i) {
        const int state = digit(before, i);
        if (state != 0) Created(in_state(kIds[i], state));
      }
      Done();
      changes_.OnSnapshotBegun();
      std::string gone;
      std::string expected;
      for (size_t i = 0; i < kIds.size(); ++i) {
        const int now = digit(after, i);
        if (now != 0) EXPECT_EQ(Created(in_state(kIds[i], now)), "");
        if (now == digit(before, i)) continue;
        if (now == 0) {
          gone += kIds[i] + " DELETED;";
        } else {
          expected += kIds[i] + (now == 2 ? " CLOSED;" : " LISTENING;");
        }
      }
      EXPECT_EQ(Done(), gone + expected) << before << " " << after;
    }
  }
}

}  // namespace
}  // namespace portreeve::cli
