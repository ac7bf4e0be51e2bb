// What signals do to portreeved, beside ending it (shutdown_test.cc).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "tests/integration/daemon_client.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class SignalsTest : public ::testing::Test {
 protected:
  std::string audit() const { return folder_.File("audit"); }
  std::vector<std::string> Arguments() const {
    return {"--listen", "tcp:127.0.0.1:0 echo", "--audit", audit()};
  }
  void MoveAway(const std::string& to) {
    ASSERT_EQ(std::rename(audit().c_str(), folder_.File(to).c_str()), 0);
  }
  // Waits until it is there.
  void ExpectOpenedAnew(DaemonProcess& daemon) {
    EXPECT_NE(daemon.WaitForErrorLine("opened anew: " + audit()), "");
    EXPECT_EQ(access(audit().c_str(), F_OK), 0);
  }

  const TemporaryFolder folder_;
};

void ExpectEcho(PlainClient& client) {
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");
}

TEST_F(SignalsTest, ThoseThatMeanNothingEndNothing) {
  DaemonProcess daemon(Arguments());
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient client(daemon.ListenerPort(0));
  for (const int number : {SIGUSR1, SIGPIPE, SIGXFSZ, SIGTTOU}) {
    daemon.Signal(number);
    ExpectEcho(client);
  }
  client.Close();
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

TEST_F(SignalsTest, HangupsOpenTheAuditAnewAndEndNothing) {
  DaemonProcess daemon(Arguments());
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient client(daemon.ListenerPort(0));
  MoveAway("audit.1");
  for (int i = 0; i < 20; ++i) daemon.Signal(SIGHUP);
  ExpectOpenedAnew(daemon);
  ExpectEcho(client);
  client.Close();
  // The last thing before its end.
  MoveAway("audit.2");
  daemon.Signal(SIGHUP);
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  EXPECT_EQ(access(audit().c_str(), F_OK), 0);
}

TEST_F(SignalsTest, AHangupDuringTheDrain) {
  auto arguments = Arguments();
  arguments.insert(arguments.end(), {"--drain", "10m"});
  DaemonProcess daemon(arguments);
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  PlainClient client(daemon.ListenerPort(0));
  ExpectEcho(client);
  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  MoveAway("audit.1");
  daemon.Signal(SIGHUP);
  ExpectOpenedAnew(daemon);
  ExpectEcho(client);
  client.Close();
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

TEST_F(SignalsTest, ManyUntilTheLastMoment) {
  DaemonProcess daemon(Arguments());
  ASSERT_TRUE(daemon.WaitUntilReady());
  siginfo_t ended{};
  while (ended.si_pid == 0) {
    for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGUSR1}) {
      daemon.Signal(number);
    }
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(daemon.pid()), &ended,
                     WEXITED | WNOHANG | WNOWAIT),
              0);
  }
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

// It is held up in its start by a file that nobody has written yet.
TEST_F(SignalsTest, SignalsBeforeItIsReady) {
  const std::string policy = folder_.File("policy");
  ASSERT_EQ(mkfifo(policy.c_str(), 0600), 0);
  auto arguments = Arguments();
  arguments.insert(arguments.end(), {"--policy", policy});
  DaemonProcess daemon(arguments);
  {
    const Descriptor writer(open(policy.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(writer.is_open());
    MoveAway("audit.1");
    for (const int number : {SIGHUP, SIGUSR1}) daemon.Signal(number);
  }
  ASSERT_TRUE(daemon.WaitUntilReady());
  ExpectOpenedAnew(daemon);
  // What is no file any more holds up nobody.
  EXPECT_NE(daemon.WaitForErrorLine("cannot be read again"), "");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

}  // namespace
}  // namespace portreeve::testing
