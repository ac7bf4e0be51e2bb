// The command line against a real daemon: attach, dial, and watch from the
// first revision.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "tests/integration/cli_process.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

using Words = std::vector<std::string>;

// A daemon with a remote listener, "web".
class CliStreamsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(daemon_.WaitUntilReady());
    const CliResult created =
        Run({"create", "web", "--listen", "tcp:127.0.0.1:0", "--remote"});
    ASSERT_EQ(created.exit_status, 0) << created.notes;
    // "listeners/web ADDRESS\n".
    address_ = created.output.substr(created.output.find(' ') + 1);
    address_.pop_back();
  }

  // `words` for a portreeve that knows the daemon.
  Words With(Words words) const {
    words.insert(words.begin(), {"--server", daemon_.Target()});
    return words;
  }
  CliResult Run(const Words& words, const std::string& input = "") const {
    return RunCli(With(words), input);
  }

  void AwaitWorker(CliProcess& worker) {
    ASSERT_TRUE(worker.WaitForNote("waiting for connections of listeners/web"))
        << worker.notes();
  }

  DaemonProcess daemon_;
  std::string address_;
};

constexpr char kWaiting[] =
    "portreeve: attach: waiting for connections of listeners/web\n";

TEST_F(CliStreamsTest, AttachWithCatEchoesMegabytesThatDialSends) {
  CliProcess worker(With({"attach", "web", "--", "cat"}));
  AwaitWorker(worker);
  std::string text(5'000'003, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i / 11);
  const CliResult dialled = Run({"dial", address_}, text);
  EXPECT_EQ(dialled.exit_status, 0) << dialled.notes;
  EXPECT_TRUE(dialled.output == text);
  EXPECT_EQ(dialled.notes.find("portreeve: dial: connected to " + address_),
            0u);

  EXPECT_EQ(
      Run({"close", "web", "--wait-for", "handlers-determined"}).exit_status,
      0);
  EXPECT_EQ(worker.WaitForExit(), 0);
  EXPECT_EQ(worker.notes(), kWaiting);
}

TEST_F(CliStreamsTest, TwoTerminalsTalk) {
  CliProcess worker(With({"attach", "web"}), "from the worker");
  AwaitWorker(worker);
  const CliResult dialled = Run({"dial", address_}, "from the other end");
  EXPECT_EQ(dialled.exit_status, 0) << dialled.notes;
  EXPECT_EQ(dialled.output, "from the worker");
  EXPECT_EQ(worker.WaitForExit(), 0) << worker.notes();
  EXPECT_EQ(worker.output(), "from the other end");
}

TEST_F(CliStreamsTest, AWorkerThatIsKilledCutsItsConnectionsOnly) {
  CliProcess worker(
      With({"attach", "web", "--", "sh", "-c", "echo served >&2; exec yes"}));
  AwaitWorker(worker);
  CliProcess dialled(With({"dial", address_}));
  ASSERT_TRUE(worker.WaitForNote("served"));
  worker.Signal(SIGKILL);
  EXPECT_EQ(dialled.WaitForExit(), 7);
  EXPECT_NE(dialled.notes().find("connection cut: PEER_RESET"),
            std::string::npos)
      << dialled.notes();

  CliProcess next(With({"attach", "web", "--", "cat"}));
  AwaitWorker(next);
  EXPECT_EQ(Run({"dial", address_}, "hello").output, "hello");
}

TEST_F(CliStreamsTest, AWorkerThatIsToldToStopCutsItsConnections) {
  for (const int signal : {SIGTERM, SIGINT}) {
    CliProcess worker(
        With({"attach", "web", "--", "sh", "-c", "echo served >&2; exec yes"}));
    AwaitWorker(worker);
    CliProcess dialled(With({"dial", address_}));
    ASSERT_TRUE(worker.WaitForNote("served"));
    worker.Signal(signal);
    EXPECT_EQ(worker.WaitForExit(), 0) << worker.notes();
    EXPECT_EQ(dialled.WaitForExit(), 7) << dialled.notes();
  }
}

TEST_F(CliStreamsTest, RefusalsSayWhatToDo) {
  const CliResult echo =
      Run({"create", "echo", "--listen", "tcp:127.0.0.1:0", "--echo"});
  ASSERT_EQ(echo.exit_status, 0) << echo.notes;
  const std::vector<std::pair<Words, const char*>> kRefused = {
      {{"attach", "echo"}, "portreeve: attach: NOT_REMOTE: "},
      {{"attach", "none"}, "portreeve: attach: NOT_FOUND: "},
      {{"dial", "tcp:169.254.169.254:80"}, "portreeve: dial: OUTSIDE_POLICY: "},
      {{"dial", "unix:/nonexistent"}, "portreeve: dial: "},
      {{"dial", address_, "--connect-timeout", "0s"},
       "portreeve: dial: CONNECT_TIMEOUT: "},
      {{"watch", "--from-revision", "1000"},
       "portreeve: watch: REVISION_UNKNOWN: "},
      {{"watch", "--instance-id", "another"},
       "portreeve: watch: INSTANCE_CHANGED: "}};
  for (const auto& [words, text] : kRefused) {
    const CliResult refused = Run(words);
    EXPECT_EQ(refused.exit_status, 4) << refused.notes;
    EXPECT_EQ(refused.notes.find(text), 0u) << refused.notes;
    EXPECT_NE(refused.notes.find("; "), std::string::npos) << refused.notes;
  }
}

// The kinds of the events in lines of `watch`.
Words Kinds(const std::string& lines) {
  Words kinds;
  for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    // "REVISION TIME KIND ...".
    const size_t kind = lines.find(' ', lines.find(' ', at) + 1) + 1;
    kinds.push_back(lines.substr(kind, lines.find(' ', kind) - kind));
  }
  return kinds;
}

TEST_F(CliStreamsTest, WatchFromTheFirstRevisionTellsAllThatWas) {
  {
    CliProcess worker(With({"attach", "web", "--", "cat"}));
    AwaitWorker(worker);
    EXPECT_EQ(Run({"dial", address_}, "x").output, "x");
    EXPECT_EQ(
        Run({"close", "web", "--wait-for", "handlers-determined"}).exit_status,
        0);
    EXPECT_EQ(worker.WaitForExit(), 0);
  }
  CliProcess all(With({"watch", "--from-revision", "1", "--listener", "web",
                       "--retry-for", "0s"}));
  ASSERT_TRUE(all.WaitForNote("watching"));
  CliProcess snapshot(With({"watch", "--snapshot", "--retry-for", "0s"}));
  ASSERT_TRUE(snapshot.WaitForNote("watching"));
  daemon_.Signal(SIGTERM);
  EXPECT_EQ(daemon_.WaitForExit(), 0);
  EXPECT_EQ(all.WaitForExit(), 3);
  EXPECT_EQ(Kinds(all.output()),
            (Words{"listener_created", "connection_accepted",
                   "connection_closed", "listener_close_started",
                   "listener_close_finished", "listener_handlers_determined"}));
  EXPECT_EQ(snapshot.WaitForExit(), 3);
  EXPECT_EQ(Kinds(snapshot.output()),
            (Words{"listener_created", "snapshot_done"}));
}

}  // namespace
}  // namespace portreeve::testing
