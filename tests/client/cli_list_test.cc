// list and describe, against a gRPC server that plays the daemon.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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
  // Events with these revisions, and that there are no others so far.
  static void TellAll(FakeDaemon::Events& events,
                      const std::vector<v1::Event>& told) {
    v1::WatchEventsResponse response;
    for (const v1::Event& event : told) {
      *response.add_events() = event;
      response.mutable_events()->rbegin()->set_revision(response.events_size());
    }
    response.add_events()->mutable_progress();
    events.Write(response);
  }
  static v1::Event Closed(const std::string& connection) {
    v1::Event event;
    event.mutable_connection_closed()->mutable_connection()->set_name(
        connection);
    return event;
  }
  static v1::Event Failed(const std::string& connection) {
    v1::Event event;
    event.mutable_handler_error()->set_connection(connection);
    return event;
  }
  static v1::Event Gap() {
    v1::Event event;
    event.mutable_gap();
    return event;
  }
  // The revisions of the events that were described.
  std::vector<std::string> Described() const {
    std::vector<std::string> revisions;
    const std::string text = out();
    std::istringstream lines(text.substr(text.find("newest events\n")));
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      revisions.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
    return revisions;
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

TEST_F(CliListTest, WideHasTheStatisticsOfEachListenerThatTheyHave) {
  daemon_.list_listeners.set_answer(
      [](const auto&, v1::ListListenersResponse& page) {
        for (const char* name : {"listeners/a", "listeners/b", "listeners/c"}) {
          *page.add_listeners() = Named(name);
        }
        return Status::OK;
      });
  // What there is comes in parts.
  daemon_.watch_stats.set_answer([](const auto&, FakeDaemon::Stats& stats) {
    for (const char* name : {"listeners/b", "listeners/a"}) {
      v1::WatchStatsResponse part;
      v1::ListenerStats& of_one = *part.add_listeners();
      of_one.set_name(name);
      *of_one.mutable_status() = Named(name).status();
      of_one.mutable_status()->set_bytes_sent_total(name[10]);
      part.set_has_more(name[10] == 'b');
      stats.Write(part);
    }
    return Status::OK;
  });
  EXPECT_EQ(Run({"list", "-o", "wide"}), ExitStatus::kDone);
  std::vector<std::string> sent;
  std::istringstream lines(out());
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> cells =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    ASSERT_EQ(cells.size(), 15u);
    sent.push_back(cells[0] + " " + cells[11]);
  }
  // "a" is 97.
  EXPECT_EQ(sent,
            (std::vector<std::string>{"NAME SENT", "listeners/a 97",
                                      "listeners/b 98", "listeners/c 0"}));
}

TEST_F(CliListTest, WideTellsWhyItHasNoStatistics) {
  daemon_.list_listeners.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  daemon_.watch_stats.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no", "ROLE_REQUIRED");
  });
  EXPECT_EQ(Run({"list", "-o", "wide"}), ExitStatus::kRefused);
  EXPECT_EQ(out(), "");
}

TEST_F(CliListTest, WatchEndsWhereNobodyTakesWhatItPrints) {
  daemon_.watch_events.set_answer([](const auto&, FakeDaemon::Events& events) {
    Tell(events, {"listeners/a"}, 5);
    return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no", "ROLE_REQUIRED");
  });
  for (const char* output : {"table", "wide", "json"}) {
    std::ostream nowhere(nullptr);
    std::ostringstream err;
    EXPECT_EQ(cli::Run({"list", "-w", "-o", output},
                       {.server = daemon_.address(), .directory = "/home"},
                       nowhere, err),
              ExitStatus::kFailed);
    EXPECT_EQ(err.str(),
              "portreeve: list: DATA_LOSS: the output cannot be written\n");
  }
}

TEST_F(CliListTest, WatchDoesNotPrintSignsOfLife) {
  daemon_.watch_events.set_answer([](const auto&, FakeDaemon::Events& events) {
    v1::WatchEventsResponse response;
    response.add_events()->mutable_progress();
    events.Write(response);
    return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no", "ROLE_REQUIRED");
  });
  EXPECT_EQ(Run({"list", "-w", "-o", "json"}), ExitStatus::kRefused);
  EXPECT_EQ(out(), "");
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

TEST_F(CliListTest, DescribeShowsTheNewestEventsOfAListener) {
  daemon_.get_listener.set_answer([](const auto&, v1::Listener& listener) {
    listener = Named("listeners/a");
    return Status::OK;
  });
  daemon_.watch_events.set_answer([](const auto&, FakeDaemon::Events& events) {
    TellAll(events, std::vector<v1::Event>(25, Closed("connections/c1")));
    return Status::OK;
  });
  EXPECT_EQ(Run({"describe", "a"}), ExitStatus::kDone);
  std::vector<std::string> newest;
  for (int i = 6; i <= 25; ++i) newest.push_back(absl::StrCat(i));
  EXPECT_EQ(Described(), newest);
  EXPECT_EQ(daemon_.watch_events.requests().at(0).ShortDebugString(),
            "start_revision: 1 listeners: \"listeners/a\" progress_interval { "
            "seconds: 1 }");
}

TEST_F(CliListTest, DescribeShowsTheEventsOfAConnectionAlone) {
  daemon_.get_connection.set_answer(
      [](const auto&, v1::Connection& connection) {
        connection.set_name("connections/c7");
        connection.set_listener("listeners/a");
        return Status::OK;
      });
  daemon_.get_listener.set_answer([](const auto&, v1::Listener& listener) {
    listener = Named("listeners/a");
    return Status::OK;
  });
  daemon_.watch_events.set_answer([](const auto&, FakeDaemon::Events& events) {
    v1::Event accepted;
    accepted.mutable_connection_accepted()->mutable_connection()->set_name(
        "connections/c7");
    v1::Event other = accepted;
    other.mutable_connection_accepted()->mutable_connection()->set_name(
        "connections/c77");
    // What was lost may have been about it.
    TellAll(events, {Gap(), other, accepted, Failed("connections/c8"),
                     Failed("connections/c7"), Closed("connections/c"),
                     Closed("connections/c7")});
    return Status::OK;
  });
  EXPECT_EQ(Run({"describe", "connections/c7"}), ExitStatus::kDone);
  EXPECT_EQ(Described(), (std::vector<std::string>{"1", "3", "5", "7"}));
  EXPECT_EQ(daemon_.watch_events.requests().at(0).listeners(0), "listeners/a");
  EXPECT_NE(out().find("  listener        listeners/a (echo)\n"),
            std::string::npos);
  // It outlives its listener.
  daemon_.get_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "none", "NOT_FOUND");
  });
  EXPECT_EQ(Run({"describe", "connections/c7"}), ExitStatus::kDone);
  EXPECT_NE(out().find("  listener        listeners/a (deleted)\n"),
            std::string::npos);
  daemon_.get_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no", "ROLE_REQUIRED");
  });
  EXPECT_EQ(Run({"describe", "connections/c7"}), ExitStatus::kRefused);
}

}  // namespace
}  // namespace portreeve::cli
