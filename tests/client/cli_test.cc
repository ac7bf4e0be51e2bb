// Every verb, from its arguments to its output and exit status, against a gRPC
// server that plays the daemon.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "command_line/version.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/fake_daemon.h"

namespace portreeve::cli {
namespace {

using client::FakeDaemon;
using client::Refusal;
using grpc::Status;

v1::Listener Web() {
  v1::Listener listener;
  listener.set_name("listeners/web");
  v1::ListenerStatus& status = *listener.mutable_status();
  status.set_state(v1::LISTENER_STATE_CLOSED);
  status.set_close_cause(v1::CLOSE_CAUSE_CALLED);
  status.set_num_connections(2);
  auto& address = *status.mutable_listening_on()->mutable_inet();
  address.set_address("127.0.0.1");
  address.set_port(40123);
  return listener;
}

// Answers with Web().
template <typename Request>
Status AnswerWeb(const Request&, v1::Listener& listener) {
  listener = Web();
  return Status::OK;
}

TEST_F(CliTest, CreatePrintsNameAndRealAddress) {
  daemon_.create_listener.set_answer(AnswerWeb<v1::CreateListenerRequest>);
  EXPECT_EQ(Run({"create", "web", "--listen", "unix:x", "--echo"}),
            ExitStatus::kDone);
  EXPECT_EQ(out(), "listeners/web tcp:127.0.0.1:40123\n");
  EXPECT_EQ(err(), "");
  EXPECT_EQ(daemon_.create_listener.requests()[0].ShortDebugString(),
            "listener_id: \"web\" spec { where_to_listen { unix_socket { "
            "path: \"/home/x\" } } handler { echo { } } }");
}

TEST_F(CliTest, CreateValidateOnlySaysThatNothingWasCreated) {
  daemon_.create_listener.set_answer(AnswerWeb<v1::CreateListenerRequest>);
  EXPECT_EQ(Run({"create", "--listen", "tcp:*:0", "--echo", "--validate-only"}),
            ExitStatus::kDone);
  EXPECT_EQ(out(), "valid; nothing was created\n");
}

TEST_F(CliTest, GetShowsOneListener) {
  daemon_.get_listener.set_answer(AnswerWeb<v1::GetListenerRequest>);
  for (const char* name : {"web", "listeners/web"}) {
    EXPECT_EQ(Run({"get", name}), ExitStatus::kDone);
    EXPECT_EQ(daemon_.get_listener.requests().back().name(), "listeners/web");
  }
  EXPECT_EQ(out().substr(0, out().find('\n')),
            "name:                      listeners/web");
  EXPECT_EQ(Run({"get", "web", "-o", "json"}), ExitStatus::kDone);
  EXPECT_EQ(out().find("{\"name\":\"listeners/web\",\"uid\":\"\""), 0u);
  EXPECT_EQ(out().find('\n'), out().size() - 1);
}

TEST_F(CliTest, ListShowsEveryPage) {
  daemon_.list_listeners.set_answer([](const v1::ListListenersRequest& request,
                                       v1::ListListenersResponse& page) {
    *page.add_listeners() = Web();
    page.set_next_page_token(request.page_token().empty() ? "2" : "");
    return Status::OK;
  });
  EXPECT_EQ(Run({"list"}), ExitStatus::kDone);
  EXPECT_EQ(daemon_.list_listeners.requests()[1].page_token(), "2");
  const std::string line =
      "listeners/web  CLOSED  tcp:127.0.0.1:40123  -        2            0    "
      "0         -\n";
  EXPECT_EQ(out(),
            "NAME           STATE   ADDRESS              HANDLER  CONNECTIONS  "
            "MAX  ACCEPTED  LABELS\n" +
                line + line);
}

TEST_F(CliTest, UpdateSendsTheMask) {
  daemon_.update_listener.set_answer(AnswerWeb<v1::UpdateListenerRequest>);
  EXPECT_EQ(Run({"update", "web", "--max-connections", "5"}),
            ExitStatus::kDone);
  EXPECT_EQ(out(), "listeners/web updated\n");
  EXPECT_EQ(daemon_.update_listener.requests()[0].ShortDebugString(),
            "listener { name: \"listeners/web\" spec { max_connections: 5 } } "
            "update_mask { paths: \"spec.max_connections\" }");
  EXPECT_EQ(Run({"update", "web", "--max-connections", "5", "--validate-only"}),
            ExitStatus::kDone);
  EXPECT_EQ(out(), "valid; nothing was changed\n");
  EXPECT_TRUE(daemon_.update_listener.requests()[1].validate_only());
}

TEST_F(CliTest, CloseSaysHowAndWhatToWaitFor) {
  daemon_.close_listener.set_answer(AnswerWeb<v1::CloseListenerRequest>);
  const std::string text =
      "listeners/web CLOSED cause=CALLED connections=2 "
      "handlers-determined=no\n";
  EXPECT_EQ(Run({"close", "web"}), ExitStatus::kDone);
  EXPECT_EQ(out(), text);
  EXPECT_EQ(daemon_.close_listener.requests().back().ShortDebugString(),
            "name: \"listeners/web\"");
  const std::pair<const char*, const char*> kFlags[] = {
      {"--existing=leave", "existing_connections: EXISTING_CONNECTIONS_LEAVE"},
      {"--existing=close", "existing_connections: EXISTING_CONNECTIONS_CLOSE"},
      {"--existing=reset", "existing_connections: EXISTING_CONNECTIONS_RESET"},
      {"--wait-for=close-finished", "wait_for: WAIT_FOR_CLOSE_FINISHED"},
      {"--wait-for=close-started", "wait_for: WAIT_FOR_CLOSE_STARTED"},
      {"--wait-for=handlers-determined",
       "wait_for: WAIT_FOR_HANDLERS_DETERMINED"},
  };
  for (const auto& [flag, field] : kFlags) {
    EXPECT_EQ(Run({"close", flag, "web"}), ExitStatus::kDone);
    EXPECT_EQ(daemon_.close_listener.requests().back().ShortDebugString(),
              absl::StrCat("name: \"listeners/web\" ", field));
  }
}

TEST_F(CliTest, IsClosedTellsByItsExitStatus) {
  for (const bool closed : {true, false}) {
    daemon_.is_closed.set_answer(
        [closed](const v1::IsClosedRequest&, v1::IsClosedResponse& response) {
          response.set_is_closed(closed);
          return Status::OK;
        });
    const ExitStatus expected =
        closed ? ExitStatus::kDone : ExitStatus::kNotClosed;
    EXPECT_EQ(Run({"is-closed", "web"}), expected);
    EXPECT_EQ(out(), closed ? "closed\n" : "not closed\n");
    EXPECT_EQ(Run({"is-closed", "web", "-o", "json"}), expected);
    EXPECT_EQ(out(),
              closed ? "{\"isClosed\":true}\n" : "{\"isClosed\":false}\n");
  }
  daemon_.is_closed.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "no listeners/web",
                   "NOT_FOUND");
  });
  EXPECT_EQ(Run({"is-closed", "web"}), ExitStatus::kRefused);
  EXPECT_EQ(Run({"is-closed"}), ExitStatus::kUsage);
}

TEST_F(CliTest, CloseFinishedWaits) {
  daemon_.close_finished.set_answer(
      [](const v1::CloseFinishedRequest&, v1::CloseFinishedResponse& response) {
        *response.mutable_listener() = Web();
        return Status::OK;
      });
  EXPECT_EQ(Run({"close-finished", "web", "--wait-for", "close-started"}),
            ExitStatus::kDone);
  EXPECT_EQ(out().find("listeners/web CLOSED cause=CALLED"), 0u);
  EXPECT_EQ(daemon_.close_finished.requests()[0].wait_for(),
            v1::WAIT_FOR_CLOSE_STARTED);
  EXPECT_EQ(Run({"close-finished", "web", "-o", "json"}), ExitStatus::kDone);
  EXPECT_EQ(out().find("{\"listener\":{\"name\":\"listeners/web\""), 0u);
}

TEST_F(CliTest, CloseFinishedEndsAtItsTimeout) {
  daemon_.close_finished.set_answer([this](const auto&, auto&) {
    end_.WaitForNotification();
    return Status::OK;
  });
  EXPECT_EQ(Run({"close-finished", "web", "--timeout", "20ms"}),
            ExitStatus::kTimedOut);
  EXPECT_EQ(err(), absl::StrCat("portreeve: close-finished: no answer from ",
                                daemon_.address(),
                                " within --timeout; what was asked for may "
                                "still happen\n"));
}

// What a wait that was given up has waited for.
TEST_F(CliTest, AWaitThatIsGivenUpSaysWhatIsStillOpen) {
  const auto wait = [this](const auto&, auto&) {
    end_.WaitForNotification();
    return Status::OK;
  };
  daemon_.close_listener.set_answer(wait);
  daemon_.close_finished.set_answer(wait);
  v1::Listener listener = Web();
  daemon_.get_listener.set_answer(
      [&listener](const v1::GetListenerRequest&, v1::Listener& answer) {
        answer = listener;
        return Status::OK;
      });
  v1::ListenerStatus& status = *listener.mutable_status();
  const auto said = [this](const char* verb) {
    EXPECT_EQ(Run({verb, "web", "--timeout", "20ms"}), ExitStatus::kTimedOut);
    EXPECT_EQ(out(), "");
    return err();
  };
  status.set_state(v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(said("close-finished"),
            "portreeve: close-finished: --timeout has passed: listeners/web is "
            "LISTENING: nobody has closed it yet\n");
  status.set_is_closed(true);
  status.set_state(v1::LISTENER_STATE_CLOSING);
  EXPECT_EQ(said("close"),
            "portreeve: close: --timeout has passed: listeners/web is CLOSING: "
            "its socket is not closed yet\n");
  status.set_close_finished(true);
  status.set_state(v1::LISTENER_STATE_CLOSED);
  const std::string shows =
      " still open, which go on: portreeve connections listeners/web shows "
      "them\n";
  EXPECT_EQ(said("close"),
            "portreeve: close: --timeout has passed: listeners/web is CLOSED "
            "with 2 connections" +
                shows);
  status.set_num_connections(1);
  EXPECT_EQ(said("close-finished"),
            "portreeve: close-finished: --timeout has passed: listeners/web is "
            "CLOSED with 1 connection" +
                shows);
}

TEST_F(CliTest, AKillThatIsGivenUpSaysWhatItWaitsFor) {
  daemon_.close_connection.set_answer([this](const auto&, auto&) {
    end_.WaitForNotification();
    return Status::OK;
  });
  daemon_.get_connection.set_answer(
      [](const v1::GetConnectionRequest&, v1::Connection& connection) {
        connection.set_name("connections/a7");
        connection.set_state(v1::CONNECTION_STATE_CLOSING);
        connection.set_bytes_to_write(300);
        return Status::OK;
      });
  EXPECT_EQ(Run({"kill", "a7", "--timeout", "20ms"}), ExitStatus::kTimedOut);
  EXPECT_EQ(err(),
            "portreeve: kill: --timeout has passed: connections/a7 is CLOSING: "
            "300 bytes wait for its peer, for 30s at most; --reset ends it at "
            "once\n");
}

TEST_F(CliTest, LabelsOfJsonAreInTheOrderOfTheirKeys) {
  daemon_.get_listener.set_answer([](const v1::GetListenerRequest&,
                                     v1::Listener& listener) {
    for (char key = 'z'; key >= 'a'; --key) {
      (*listener.mutable_spec()->mutable_labels())[std::string(1, key)] = "v";
    }
    return Status::OK;
  });
  std::string labels;
  for (char key = 'a'; key <= 'z'; ++key) {
    absl::StrAppend(&labels, key == 'a' ? "" : ",", "\"", std::string(1, key),
                    "\":\"v\"");
  }
  EXPECT_EQ(Run({"get", "web", "-o", "json"}), ExitStatus::kDone);
  EXPECT_NE(out().find("\"labels\":{" + labels + "}"), std::string::npos)
      << out();
}

TEST_F(CliTest, DeleteForgets) {
  daemon_.delete_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  EXPECT_EQ(Run({"delete", "web"}), ExitStatus::kDone);
  EXPECT_EQ(out(), "listeners/web deleted\n");
  EXPECT_EQ(Run({"delete", "web", "-o", "json"}), ExitStatus::kDone);
  EXPECT_EQ(out(), "{}\n");
}

// Makes `listener` one of the daemon's file web.yaml.
void SetOfFile(v1::Listener& listener) {
  listener.set_name("listeners/web");
  (*listener.mutable_spec()->mutable_labels())["portreeve.file"] = "web.yaml";
  listener.mutable_status()->set_source(v1::LISTENER_SOURCE_FLAG);
}

constexpr char kComesBack[] =
    "listeners/web comes back at the next start of the daemon, as it is in the "
    "file web.yaml of its --listeners\n";

TEST_F(CliTest, DeleteAndCloseSayThatAListenerOfAFileComesBack) {
  daemon_.get_listener.set_answer(
      [](const v1::GetListenerRequest&, v1::Listener& listener) {
        SetOfFile(listener);
        return Status::OK;
      });
  daemon_.delete_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  EXPECT_EQ(Run({"delete", "web"}), ExitStatus::kDone);
  EXPECT_EQ(out(), "listeners/web deleted\n");
  EXPECT_EQ(err(), std::string("portreeve: delete: ") + kComesBack);
  daemon_.close_listener.set_answer(
      [](const v1::CloseListenerRequest&, v1::Listener& listener) {
        SetOfFile(listener);
        return Status::OK;
      });
  EXPECT_EQ(Run({"close", "web"}), ExitStatus::kDone);
  EXPECT_EQ(err(), std::string("portreeve: close: ") + kComesBack);
  // What is not deleted need not come back.
  daemon_.delete_listener.set_answer([](const auto&, auto&) {
    return Status(grpc::StatusCode::NOT_FOUND, "");
  });
  EXPECT_NE(Run({"delete", "web"}), ExitStatus::kDone);
  EXPECT_EQ(err().find("comes back"), std::string::npos) << err();
}

TEST_F(CliTest, OnlyAListenerThatTheDaemonOpensComesBack) {
  daemon_.get_listener.set_answer(
      [](const v1::GetListenerRequest&, v1::Listener& listener) {
        SetOfFile(listener);
        listener.mutable_status()->set_source(v1::LISTENER_SOURCE_CLIENT);
        return Status::OK;
      });
  daemon_.delete_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  EXPECT_EQ(Run({"delete", "web"}), ExitStatus::kDone);
  EXPECT_EQ(err(), "");
}

TEST_F(CliTest, ConnectionsOfAListenerOrAll) {
  daemon_.list_connections.set_answer(
      [](const v1::ListConnectionsRequest&, v1::ListConnectionsResponse& page) {
        page.add_connections()->set_name("connections/7");
        return Status::OK;
      });
  EXPECT_EQ(Run({"connections"}), ExitStatus::kDone);
  EXPECT_EQ(daemon_.list_connections.requests().back().listener(), "");
  EXPECT_NE(out().find("\nconnections/7  "), std::string::npos);
  EXPECT_EQ(Run({"connections", "web"}), ExitStatus::kDone);
  EXPECT_EQ(daemon_.list_connections.requests().back().listener(),
            "listeners/web");
}

TEST_F(CliTest, KillClosesOrResets) {
  daemon_.close_connection.set_answer(
      [](const v1::CloseConnectionRequest& request, v1::Connection& answer) {
        answer.set_name(request.name());
        answer.set_state(v1::CONNECTION_STATE_CLOSED);
        answer.set_close_reason(v1::CLOSE_REASON_CALLED);
        answer.set_bytes_sent(9);
        return Status::OK;
      });
  EXPECT_EQ(Run({"kill", "7"}), ExitStatus::kDone);
  EXPECT_EQ(out(), "connections/7 CLOSED reason=CALLED received=0 sent=9\n");
  EXPECT_EQ(daemon_.close_connection.requests()[0].mode(),
            v1::CLOSE_MODE_CLOSE);
  EXPECT_EQ(Run({"kill", "connections/7", "--reset"}), ExitStatus::kDone);
  EXPECT_EQ(daemon_.close_connection.requests()[1].mode(),
            v1::CLOSE_MODE_RESET);
}

Status TwoBursts(const v1::WatchEventsRequest&, FakeDaemon::Events& events) {
  for (const int size : {2, 1}) {
    v1::WatchEventsResponse burst;
    for (int i = 0; i < size; ++i) burst.add_events()->mutable_snapshot_done();
    events.Write(burst);
  }
  return Status::OK;
}

TEST_F(CliTest, WatchPrintsALineForEachEventAndFlushesIt) {
  daemon_.watch_events.set_answer(TwoBursts);
  EXPECT_EQ(
      Run({"watch", "--listener", "a", "--listener", "listeners/b", "--kind",
           "gap", "--kind", "listener_created", "--retry-for", "0s"}),
      ExitStatus::kUnreachable);
  const std::string line = "0 1970-01-01T00:00:00.000Z snapshot_done -\n";
  EXPECT_EQ(out(), line + line + line);
  EXPECT_EQ(out_.flushes(), 3);
  EXPECT_EQ(err(), absl::StrCat("portreeve: watching ", daemon_.address(),
                                "\nportreeve: watch: no connection to a daemon "
                                "at ",
                                daemon_.address(),
                                " (it shuts down); start one with portreeved, "
                                "or point to it with --server or "
                                "PORTREEVE_SERVER\n"));
  EXPECT_EQ(daemon_.watch_events.requests()[0].ShortDebugString(),
            "listeners: \"listeners/a\" listeners: \"listeners/b\" kinds: "
            "EVENT_KIND_GAP kinds: EVENT_KIND_LISTENER_CREATED "
            "progress_interval { seconds: 20 }");
}

TEST_F(CliTest, WatchPrintsAnObjectALine) {
  daemon_.watch_events.set_answer(TwoBursts);
  EXPECT_EQ(Run({"watch", "-o", "json", "--retry-for", "0s"}),
            ExitStatus::kUnreachable);
  const std::string line =
      "{\"revision\":\"0\",\"instanceId\":\"\",\"snapshotDone\":{}}\n";
  EXPECT_EQ(out(), line + line + line);
}

TEST_F(CliTest, WatchThatIsRefusedDoesNotSayThatItWatches) {
  daemon_.watch_events.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::UNAVAILABLE, "stopping", "SHUTTING_DOWN");
  });
  EXPECT_EQ(Run({"watch"}), ExitStatus::kRefused);
  EXPECT_EQ(err(),
            "portreeve: watch: SHUTTING_DOWN: stopping; try again once the "
            "daemon has been started anew\n");
}

TEST_F(CliTest, ARefusalIsOneLineWithItsReason) {
  daemon_.create_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::FAILED_PRECONDITION,
                   "bind tcp:127.0.0.1:80: Address already in use",
                   "ADDRESS_IN_USE", {{"address", "tcp:127.0.0.1:80"}});
  });
  EXPECT_EQ(Run({"create", "--listen", "tcp:127.0.0.1:80", "--echo"}),
            ExitStatus::kRefused);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err(),
            "portreeve: create: ADDRESS_IN_USE: bind tcp:127.0.0.1:80: Address "
            "already in use; choose another port, or find the owner with ss "
            "-ltnp\n");
}

TEST_F(CliTest, GlobalOptionsStandBeforeAndAfterTheVerb) {
  daemon_.list_listeners.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  const Environment nowhere = {.server = "unix:/nonexistent/p.sock"};
  const std::string bare = daemon_.address().substr(4);
  for (const Arguments& arguments : std::vector<Arguments>{
           {"--server", daemon_.address(), "-o", "json", "list"},
           {"list", "--server", daemon_.address(), "-o", "json"},
           {"-o", "json", "list", "--server=" + bare, "--timeout", "30s"},
           {"--timeout=30s", "list", "-ojson", "--server", bare}}) {
    EXPECT_EQ(Run(arguments, nowhere), ExitStatus::kDone) << err();
    EXPECT_EQ(out().substr(0, 15), "{\"listeners\":[]");
  }
}

TEST_F(CliTest, ADaemonThatIsNotThereIsNamed) {
  EXPECT_EQ(
      Run({"list"}, {.server = "unix:p.sock", .directory = "/nonexistent"}),
      ExitStatus::kUnreachable);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err().find("portreeve: list: no connection to a daemon at "
                       "unix:/nonexistent/p.sock ("),
            0u);
  EXPECT_EQ(err().find('\n'), err().size() - 1);
}

TEST_F(CliTest, WrongUsageAsksNothingOfTheDaemon) {
  const std::pair<Arguments, const char*> kWrong[] = {
      {{}, "portreeve: a verb is required; see portreeve --help\n"},
      {{"lsit"},
       "portreeve: 'lsit' is no verb; did you mean list?; see portreeve "
       "--help\n"},
      {{"frobnicate"},
       "portreeve: 'frobnicate' is no verb; see portreeve --help\n"},
      {{"list", "x"},
       "portreeve: list: 'x' was not expected; see portreeve list --help\n"},
      {{"list", "x", "y"},
       "portreeve: list: 'x' 'y' were not expected; see portreeve list "
       "--help\n"},
      {{"create", "--lisen", "tcp::1", "--echo"},
       "portreeve: create: there is no flag --lisen; did you mean --listen?; "
       "see portreeve create --help\n"},
      {{"--sevrer=x", "list"},
       "portreeve: list: there is no flag --sevrer; did you mean --server?; "
       "see portreeve list --help\n"},
      {{"list", "--timeout", "0"},
       "portreeve: list: --timeout: '0': expected more than 0; see portreeve "
       "list --help\n"},
      {{"list", "-o", "yaml"},
       "portreeve: list: -o,--output: 'yaml': expected table, wide or json; "
       "see "
       "portreeve list --help\n"},
      {{"get", "a/b"},
       "portreeve: get: NAME: 'a/b' is no name: expected ID, listeners/ID or "
       "connections/ID; see portreeve get --help\n"},
      {{"get", "connections/"},
       "portreeve: get: NAME: 'connections/' is no name: expected ID, "
       "listeners/ID or connections/ID; see portreeve get --help\n"},
      {{"is-closed", "connections/a7"},
       "portreeve: is-closed: LISTENER: 'connections/a7' is no name: expected "
       "ID or listeners/ID; see portreeve is-closed --help\n"},
      {{"get", "\xFF"},
       "portreeve: arguments must be UTF-8; see portreeve --help\n"},
      {{"update", "web"},
       "portreeve: update: nothing to change: give a flag; see portreeve "
       "update --help\n"},
  };
  for (const auto& [arguments, text] : kWrong) {
    EXPECT_EQ(Run(arguments), ExitStatus::kUsage);
    EXPECT_EQ(out(), "");
    EXPECT_EQ(err(), text);
  }
  EXPECT_EQ(Run({"list"}, {.server = "nowhere"}), ExitStatus::kUsage);
  EXPECT_EQ(err().find("portreeve: list: PORTREEVE_SERVER: 'nowhere'"), 0u);
}

TEST_F(CliTest, ListenersMayBeNamedLikeVerbs) {
  daemon_.get_listener.set_answer(AnswerWeb<v1::GetListenerRequest>);
  EXPECT_EQ(Run({"get", "list"}), ExitStatus::kDone) << err();
  EXPECT_EQ(daemon_.get_listener.requests()[0].name(), "listeners/list");
}

TEST_F(CliTest, EveryVerbHasHelpWithItsExitStatuses) {
  for (const char* verb :
       {"create", "list", "get", "update", "close", "is-closed",
        "close-finished", "delete", "connections", "kill", "watch", "attach",
        "dial", "apply", "diff", "export"}) {
    EXPECT_EQ(Run({verb, "--help"}), ExitStatus::kDone);
    EXPECT_NE(out().find(absl::StrCat("Usage: portreeve ", verb)),
              std::string::npos);
    EXPECT_NE(out().find("--server ADDRESS"), std::string::npos);
    EXPECT_NE(out().find("Exit status:"), std::string::npos);
    std::istringstream lines(out());
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), 80u) << line;
    }
    EXPECT_EQ(Run({"--help"}), ExitStatus::kDone);
    EXPECT_NE(out().find(absl::StrCat("\n  ", verb, "  ")), std::string::npos);
  }
  EXPECT_EQ(Run({"--version"}), ExitStatus::kDone);
  EXPECT_EQ(out(), absl::StrCat("portreeve ", kVersion, "\n"));
}

TEST_F(CliTest, OutputThatCannotBeWrittenIsAFailure) {
  daemon_.list_listeners.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  std::ostream closed(nullptr);
  EXPECT_EQ(cli::Run({"list"}, {.server = daemon_.address()}, closed, err_),
            ExitStatus::kFailed);
  EXPECT_EQ(err(),
            "portreeve: list: DATA_LOSS: the output cannot be written\n");
}

}  // namespace
}  // namespace portreeve::cli
