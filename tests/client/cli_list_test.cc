// list and describe, against a gRPC server that plays the daemon.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/fake_daemon.h"

namespace portreeve::cli {
namespace {

using client::FakeDaemon;
using client::Refusal;
using grpc::Status;

class CliListTest : public CliTest {
 protected:
  static v1::Listener Named(const std::string& name) {
    v1::Listener listener;
    listener.set_name(name);
    listener.mutable_spec()->mutable_handler()->mutable_echo();
    listener.mutable_status()->set_state(v1::LISTENER_STATE_LISTENING);
    listener.mutable_status()->set_effective_backlog(7);
    return listener;
  }

  // A snapshot with these listeners, and what follows it.
  static void Tell(FakeDaemon::Events& events,
                   const std::vector<std::string>& names, int64_t revision) {
    v1::WatchEventsResponse response;
    for (const std::string& name : names) {
      *response.add_events()->mutable_listener_created()->mutable_listener() =
          Named(name);
    }
    response.add_events()->mutable_snapshot_done();
    for (v1::Event& event : *response.mutable_events()) {
      event.set_revision(revision);
      event.set_instance_id("one");
    }
    events.Write(response);
  }
  static void TellGap(FakeDaemon::Events& events) {
    v1::WatchEventsResponse response;
    v1::Event& event = *response.add_events();
    event.set_revision(9);
    event.mutable_gap();
    events.Write(response);
  }
};

TEST_F(CliListTest, WatchListsAnewWhatWasNotKept) {
  int call = 0;
  daemon_.watch_events.set_answer(
      [&call](const auto&, FakeDaemon::Events& events) {
        switch (++call) {
          case 1:
            Tell(events, {"listeners/a", "listeners/b"}, 5);
            TellGap(events);
            return Status::OK;
          case 2:
            Tell(events, {"listeners/b"}, 9);
            return Status(grpc::StatusCode::UNAVAILABLE, "cut");
          default:
            return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no more",
                           "ROLE_REQUIRED");
        }
      });
  EXPECT_EQ(Run({"list", "-w", "--progress-interval", "off"}),
            ExitStatus::kRefused);
  EXPECT_EQ(out(),
            "NAME         STATE      ADDRESS  HANDLER  CONNECTIONS  MAX  "
            "ACCEPTED  LABELS\n"
            "listeners/a  LISTENING  -        echo     0            0    0    "
            "     -\n"
            "listeners/b  LISTENING  -        echo     0            0    0    "
            "     -\n"
            "listeners/a  DELETED    -        echo     0            0    0    "
            "     -\n");
  const auto requests = daemon_.watch_events.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_TRUE(requests[0].initial_snapshot());
  EXPECT_EQ(requests[0].kinds_size(), 8);
  EXPECT_TRUE(requests[1].initial_snapshot());
  EXPECT_EQ(requests[1].instance_id(), "");
  EXPECT_FALSE(requests[2].initial_snapshot());
  EXPECT_EQ(requests[2].start_revision(), 10);
  EXPECT_EQ(requests[2].instance_id(), "one");
}

TEST_F(CliListTest, WideDoesWithoutStatistics) {
  daemon_.list_listeners.set_answer(
      [](const auto&, v1::ListListenersResponse& page) {
        *page.add_listeners() = Named("listeners/a");
        return Status::OK;
      });
  EXPECT_EQ(Run({"list", "-o", "wide"}), ExitStatus::kDone);
  EXPECT_NE(out().find("  -/7      -       -\n"), std::string::npos) << out();
}

TEST_F(CliListTest, NoOtherVerbIsWide) {
  EXPECT_EQ(Run({"get", "a", "-o", "wide"}), ExitStatus::kUsage);
  EXPECT_EQ(err(),
            "portreeve: get: -o wide: only list has that; see portreeve get "
            "--help\n");
  EXPECT_TRUE(daemon_.get_listener.requests().empty());
}

TEST_F(CliListTest, DescribeAsksTheKernelOfAConnection) {
  daemon_.get_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "none", "NOT_FOUND");
  });
  daemon_.get_connection.set_answer(
      [](const v1::GetConnectionRequest& request, v1::Connection& connection) {
        if (request.name() != "connections/c7") {
          return Refusal(grpc::StatusCode::NOT_FOUND, "none", "NOT_FOUND");
        }
        connection.set_name(request.name());
        connection.mutable_tcp_info()->set_state("ESTAB");
        return Status::OK;
      });
  for (const char* name : {"connections/c7", "c7"}) {
    EXPECT_EQ(Run({"describe", name, "-o", "json"}), ExitStatus::kDone);
    EXPECT_EQ(daemon_.get_connection.requests().back().ShortDebugString(),
              "name: \"connections/c7\" tcp_info: true");
    EXPECT_NE(out().find("\"state\":\"ESTAB\""), std::string::npos);
  }
  // Of what is neither, the error is that of the listener.
  EXPECT_EQ(Run({"describe", "c8"}), ExitStatus::kRefused);
  const size_t asked = daemon_.get_connection.requests().size();
  EXPECT_EQ(Run({"describe", "listeners/c7"}), ExitStatus::kRefused);
  EXPECT_EQ(daemon_.get_connection.requests().size(), asked);
}

}  // namespace
}  // namespace portreeve::cli
