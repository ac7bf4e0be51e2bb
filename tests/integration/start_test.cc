// How portreeved starts, and how it refuses to.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/integration/daemon_client.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

void ExpectEcho(int port) {
  PlainClient client(port);
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");
}

// What a start that fails leaves: its exit status, and one line with `reason`
// in it.
constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
void ExpectRefused(DaemonProcess& daemon, const std::string& reason,
                   int exit_status = kFailed) {
  EXPECT_FALSE(daemon.WaitUntilReady());
  EXPECT_EQ(daemon.WaitForExit(), exit_status);
  const std::string& error = daemon.error_output();
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  EXPECT_EQ(error.rfind("portreeved: ", 0), 0u) << error;
  EXPECT_NE(error.find(reason), std::string::npos) << error;
}

bool IsSocket(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

class StartTest : public ::testing::Test {
 protected:
  const TemporaryFolder folder_;
};

TEST_F(StartTest, PrintsWhatServesAndServesIt) {
  DaemonProcess upstream({"--listen", "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(upstream.WaitUntilReady());
  const std::string port = std::to_string(upstream.ListenerPort(0));
  const std::string file = folder_.File("discard");
  DaemonProcess daemon({"--listen", "tcp:localhost:0 echo", "--listen",
                        "tcp:*:0 forward tcp:127.0.0.1:" + port, "--listen",
                        "unix:" + file + " discard"});
  ASSERT_TRUE(daemon.WaitUntilReady());

  const auto listeners = daemon.Printed("listener listeners/");
  ASSERT_EQ(listeners.size(), 3u);
  EXPECT_NE(listeners[0].find(" tcp:127.0.0.1:"), std::string::npos);
  EXPECT_NE(listeners[1].find(" tcp:0.0.0.0:"), std::string::npos);
  EXPECT_NE(listeners[2].find(" unix:" + file), std::string::npos);
  ExpectEcho(daemon.ListenerPort(0));
  ExpectEcho(daemon.ListenerPort(1));
  EXPECT_TRUE(IsSocket(file));
  EXPECT_EQ(DaemonClient(daemon.Target()).List().listeners_size(), 3);
}

TEST_F(StartTest, ServesOnSeveralControlAddresses) {
  const std::string file = folder_.File("control");
  DaemonProcess daemon(
      {"--control", "tcp:[::1]:0", "--control", "unix:" + file});
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(daemon.Printed("control ").at(1), "unix:" + file);
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(DaemonClient(daemon.Target()).List().instance_id(),
            DaemonClient("unix:" + file).List().instance_id());
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  EXPECT_FALSE(IsSocket(file));
}

TEST_F(StartTest, ASecondDaemonOnTheSamePortFailsAndHarmsNothing) {
  DaemonProcess first({"--listen", "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(first.WaitUntilReady());
  const std::string address = first.Printed("control ").at(0);
  DaemonProcess second({"--control", address});
  ExpectRefused(second, address + ": Address already in use");
  EXPECT_EQ(DaemonClient(first.Target()).List().listeners_size(), 1);
  ExpectEcho(first.ListenerPort(0));
}

TEST_F(StartTest, ASecondDaemonOnTheSameSocketFailsAndHarmsNothing) {
  const std::string address = "unix:" + folder_.File("control");
  DaemonProcess first({"--control", address});
  ASSERT_TRUE(first.WaitUntilReady());
  DaemonProcess second({"--control", address});
  ExpectRefused(second, address + ": Address already in use");
  EXPECT_EQ(DaemonClient(address).List().listeners_size(), 0);
}

TEST_F(StartTest, TakesOverTheFilesOfAKilledDaemon) {
  const std::string control = folder_.File("control");
  const std::string echo = folder_.File("echo");
  const std::vector<std::string> arguments = {
      "--control", "unix:" + control, "--listen", "unix:" + echo + " echo"};
  {
    DaemonProcess killed(arguments);
    ASSERT_TRUE(killed.WaitUntilReady());
    killed.Signal(SIGKILL);
    EXPECT_EQ(killed.WaitForExit(), 128 + SIGKILL);
  }
  EXPECT_TRUE(IsSocket(control));
  EXPECT_TRUE(IsSocket(echo));
  DaemonProcess next(arguments);
  ASSERT_TRUE(next.WaitUntilReady());
  EXPECT_EQ(DaemonClient("unix:" + control).List().listeners_size(), 1);
}

TEST_F(StartTest, LeavesAFileThatIsNoSocketAlone) {
  const std::string file = folder_.File("text");
  std::ofstream(file) << "precious";
  DaemonProcess daemon({"--control", "unix:" + file});
  ExpectRefused(daemon, file);
  std::string content;
  std::ifstream(file) >> content;
  EXPECT_EQ(content, "precious");
}

// The successor's socket at the same path is not the first daemon's to remove.
TEST_F(StartTest, LeavesASuccessorsControlSocketAlone) {
  const std::string file = folder_.File("control");
  DaemonProcess first({"--control", "unix:" + file});
  ASSERT_TRUE(first.WaitUntilReady());
  ASSERT_EQ(unlink(file.c_str()), 0);
  DaemonProcess second({"--control", "unix:" + file});
  ASSERT_TRUE(second.WaitUntilReady());
  first.Signal(SIGTERM);
  EXPECT_EQ(first.WaitForExit(), 0);
  EXPECT_EQ(DaemonClient("unix:" + file).List().listeners_size(), 0);
}

TEST_F(StartTest, RefusesAnOpenAddressUnlessInsecureIsSaid) {
  DaemonProcess refused({"--control", "tcp:0.0.0.0:0"});
  ExpectRefused(refused, "--insecure", kWrongUsage);
  DaemonProcess daemon({"--control", "tcp:0.0.0.0:0", "--insecure"});
  EXPECT_TRUE(daemon.WaitUntilReady());
}

// What is at fault is named, and no other address.
TEST_F(StartTest, AUnixControlAddressThatFailsIsNamedWithItsError) {
  const std::string file = folder_.File("none/control");
  DaemonProcess daemon(
      {"--control", "tcp:127.0.0.1:0", "--control", "unix:" + file});
  ExpectRefused(daemon, "unix:" + file + ": No such file or directory");
  EXPECT_EQ(daemon.error_output().find("tcp:"), std::string::npos);
  const std::string folder = folder_.File("folder");
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  DaemonProcess other(
      {"--control", "tcp:127.0.0.1:0", "--control", "unix:" + folder});
  ExpectRefused(other, "unix:" + folder + ": ");
}

TEST_F(StartTest, ServesOnAnAbstractControlAddress) {
  const std::string name = "portreeve-test-" + std::to_string(getpid());
  DaemonProcess daemon({"--control", "unix:@" + name});
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(daemon.Printed("control ").at(0), "unix:@" + name);
  EXPECT_EQ(DaemonClient("unix-abstract:" + name).List().listeners_size(), 0);
  DaemonProcess second({"--control", "unix:@" + name});
  ExpectRefused(second, "unix:@" + name + ": Address already in use");
}

TEST_F(StartTest, AListenerThatFailsStopsTheStart) {
  DaemonProcess first({"--listen", "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(first.WaitUntilReady());
  const std::string file = folder_.File("control");
  const std::string taken =
      "tcp:127.0.0.1:" + std::to_string(first.ListenerPort(0));
  DaemonProcess second(
      {"--control", "unix:" + file, "--listen", taken + " echo"});
  ExpectRefused(second, taken + ": Address already in use");
  EXPECT_FALSE(IsSocket(file));
}

TEST_F(StartTest, AWrongFlagIsOneLine) {
  DaemonProcess daemon({"--drain", "soon"});
  ExpectRefused(daemon, "--drain \"soon\"", kWrongUsage);
  DaemonProcess unknown({"--frobnicate"});
  ExpectRefused(unknown, "--frobnicate", kWrongUsage);
  DaemonProcess misspelt({"--contrl", "tcp:127.0.0.1:0"});
  ExpectRefused(misspelt, "did you mean --control?", kWrongUsage);
}

TEST_F(StartTest, TakesFlagsFromAFile) {
  const std::string file = folder_.File("conf");
  std::ofstream(file) << "control unix:" << folder_.File("control")
                      << "\nlisten \"tcp:127.0.0.1:0 echo\"\n";
  // The daemon gets a --control, which is the command line's.
  DaemonProcess daemon({"--config", file});
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(daemon.Printed("control ").size(), 1u);
  EXPECT_FALSE(IsSocket(folder_.File("control")));
  ExpectEcho(daemon.ListenerPort(0));
}

TEST_F(StartTest, AWrongFileOfFlagsIsOneLine) {
  const std::string file = folder_.File("conf");
  std::ofstream(file) << "# a comment\ndrain soon\n";
  DaemonProcess wrong({"--config", file});
  ExpectRefused(wrong, "portreeved: " + file + ":2: --drain \"soon\"",
                kWrongUsage);
  unlink(file.c_str());
  DaemonProcess none({"--config", file});
  ExpectRefused(none, "--config \"" + file + "\": No such file", kWrongUsage);
  // Nobody writes to it, and nobody waits for that.
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  DaemonProcess fifo({"--config", file});
  ExpectRefused(fifo, "it is not a regular file", kWrongUsage);
}

}  // namespace
}  // namespace portreeve::testing
