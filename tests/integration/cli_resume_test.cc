// The command line under a daemon that goes away and comes again.
#include <gtest/gtest.h>
#include <signal.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/integration/cli_process.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

using Words = std::vector<std::string>;

class CliResumeTest : public ::testing::Test {
 protected:
  CliResumeTest() {
    daemon_.emplace();
    EXPECT_TRUE(daemon_->WaitUntilReady());
    target_ = daemon_->Target();
  }

  // Kills the daemon, and starts another one at its address.
  void Restart() {
    daemon_->Signal(SIGKILL);
    daemon_->WaitForExit();
    daemon_.emplace(Words{"--control", "tcp:" + target_});
    ASSERT_TRUE(daemon_->WaitUntilReady());
  }

  Words With(Words words) const {
    words.insert(words.begin(), {"--server", target_});
    return words;
  }
  // Gives the address.
  std::string Create(const std::string& id) {
    const CliResult created =
        RunCli(With({"create", id, "--listen", "tcp:127.0.0.1:0", "--remote"}));
    EXPECT_EQ(created.exit_status, 0) << created.notes;
    std::string address = created.output.substr(created.output.find(' ') + 1);
    if (!address.empty()) address.pop_back();
    return address;
  }

  std::optional<DaemonProcess> daemon_;
  std::string target_;
};

TEST_F(CliResumeTest, AWatchGoesOnWithTheFirstEventOfTheNextDaemon) {
  CliProcess watch(With({"watch", "--listener", "web", "--timeout", "25s"}));
  ASSERT_TRUE(watch.WaitForNote("there is no listeners/web; waiting for one"));
  Create("web");
  Restart();
  Create("web");
  ASSERT_TRUE(watch.WaitForNote("lost ("));
  ASSERT_TRUE(watch.WaitForNote("revisions begin at 1 again"));
  ASSERT_TRUE(watch.WaitForNote("back: watching on"));
  // What follows ends it: it has what came before.
  CliProcess next(With({"watch", "--from-revision", "1", "--retry-for", "0s"}));
  ASSERT_TRUE(next.WaitForNote("watching"));
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->WaitForExit(), 0);
  EXPECT_EQ(next.WaitForExit(), 3);
  ASSERT_TRUE(watch.WaitForNote("lost (it shuts down)"));
  watch.Signal(SIGINT);
  EXPECT_EQ(watch.WaitForExit(), 128 + SIGINT);
  const std::string output = watch.output();
  const size_t first = output.find("listener_created listeners/web");
  ASSERT_NE(first, std::string::npos);
  EXPECT_NE(output.find("listener_created listeners/web", first + 1),
            std::string::npos)
      << output;
  EXPECT_EQ(output.find("progress"), std::string::npos);
}

TEST_F(CliResumeTest, AWatchOfOneInstanceEndsWithIt) {
  const CliResult listed = RunCli(With({"-o", "json", "list"}));
  const std::string key = "\"instanceId\":\"";
  const size_t at = listed.output.find(key) + key.size();
  const std::string instance =
      listed.output.substr(at, listed.output.find('"', at) - at);
  CliProcess watch(With({"watch", "--instance-id", instance}));
  ASSERT_TRUE(watch.WaitForNote("watching"));
  Restart();
  EXPECT_EQ(watch.WaitForExit(), 4);
  EXPECT_NE(watch.notes().find("INSTANCE_CHANGED"), std::string::npos);
}

TEST_F(CliResumeTest, AWorkerServesAgain) {
  Create("web");
  CliProcess worker(With({"attach", "web", "--", "cat"}));
  ASSERT_TRUE(worker.WaitForNote("waiting for connections of listeners/web"));
  Restart();
  ASSERT_TRUE(worker.WaitForNote("lost ("));
  const std::string address = Create("web");
  ASSERT_TRUE(worker.WaitForNote("back: waiting for connections"));
  EXPECT_EQ(RunCli(With({"dial", address}), "hello").output, "hello");
  EXPECT_EQ(RunCli(With({"close", "web", "--wait-for", "handlers-determined"}))
                .exit_status,
            0);
  EXPECT_EQ(worker.WaitForExit(), 0) << worker.notes();
}

// Also where it ends in order, and closes its listeners before.
TEST_F(CliResumeTest, NothingEndsWithZeroBecauseTheDaemonWentAway) {
  for (const int signal : {SIGKILL, SIGTERM}) {
    Create("web");
    CliProcess watch(With({"watch", "--retry-for", "0s"}));
    CliProcess worker(
        With({"attach", "web", "--retry-for", "0s", "--", "cat"}));
    CliProcess terminal(With({"attach", "web", "--retry-for", "0s"}));
    ASSERT_TRUE(watch.WaitForNote("watching"));
    ASSERT_TRUE(worker.WaitForNote("waiting for"));
    ASSERT_TRUE(terminal.WaitForNote("waiting for"));
    daemon_->Signal(signal);
    daemon_->WaitForExit();
    EXPECT_EQ(watch.WaitForExit(), 3) << watch.notes();
    EXPECT_EQ(worker.WaitForExit(), 3) << worker.notes();
    EXPECT_EQ(terminal.WaitForExit(), 3) << terminal.notes();
    daemon_.emplace(Words{"--control", "tcp:" + target_});
    ASSERT_TRUE(daemon_->WaitUntilReady());
  }
}

TEST_F(CliResumeTest, TheTimeoutOfAWatchEndsItQuietly) {
  const CliResult watch = RunCli(With({"watch", "--timeout", "500ms"}));
  EXPECT_EQ(watch.exit_status, 5);
  EXPECT_EQ(watch.notes, "portreeve: watching tcp:" + target_ + "\n");
}

}  // namespace
}  // namespace portreeve::testing
