// What the variables of sd_notify(3) and sd_watchdog_enabled(3) mean.  What is
// sent is in tests/integration/service_manager_test.py.
#include "server/daemon/notify.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;

TEST(NotifySocketTest, Table) {
  const size_t begin = offsetof(sockaddr_un, sun_path);
  struct Case {
    std::string text;
    size_t size;  // 0: it is refused.
  };
  for (const auto& [text, size] : std::vector<Case>{
           {"/run/systemd/notify", begin + 20},
           {"@name", begin + 5},
           {"/" + std::string(106, 'x'), begin + 108},
           {"/" + std::string(107, 'x'), 0},
           {"@" + std::string(107, 'x'), begin + 108},
           {"@" + std::string(108, 'x'), 0},
           {"", 0},
           {"/", 0},
           {"@", 0},
           {"run/notify", 0},
           {"vsock:2:1234", 0},
       }) {
    SCOPED_TRACE(text);
    const auto address = ParseNotifySocket(text);
    ASSERT_EQ(address.ok(), size != 0) << address.status();
    if (size == 0) continue;
    EXPECT_EQ(address->size, size);
    EXPECT_EQ(address->address.sun_path[0], text[0] == '@' ? '\0' : '/');
    EXPECT_EQ(std::string(address->address.sun_path + 1, text.size() - 1),
              text.substr(1));
  }
}

TEST(WatchdogVariablesTest, Table) {
  constexpr pid_t kSelf = 4711;
  struct Case {
    std::optional<std::string> usec;
    std::optional<std::string> pid;
    std::optional<Duration> period;
    bool is_wrong = false;
  };
  const std::vector<Case> cases = {
      {{}, {}, {}},
      {{}, "4711", {}},
      {"30000000", {}, microseconds(30'000'000)},
      {"1", "4711", microseconds(1)},
      {"1", "4712", {}},
      {"nonsense", "4712", {}},
      {"9223372036854775807", {}, hours(24 * 365)},
      {"0", {}, {}, true},
      {"-1", {}, {}, true},
      {"", {}, {}, true},
      {"3s", {}, {}, true},
      {"1", "self", {}, true},
      {"1", "0", {}, true},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    NotifyVariables variables;
    variables.watchdog_usec = cases[i].usec;
    variables.watchdog_pid = cases[i].pid;
    const auto period = ParseWatchdog(variables, kSelf);
    ASSERT_EQ(period.ok(), !cases[i].is_wrong) << period.status();
    if (period.ok()) {
      EXPECT_EQ(*period, cases[i].period);
    }
  }
}

TEST(NotifyVariablesTest, AreTakenOutOfTheEnvironment) {
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    setenv(name, name, 1);
  }
  const NotifyVariables taken = NotifyVariables::Take();
  EXPECT_EQ(taken.socket, "NOTIFY_SOCKET");
  EXPECT_EQ(taken.watchdog_usec, "WATCHDOG_USEC");
  EXPECT_EQ(taken.watchdog_pid, "WATCHDOG_PID");
  const NotifyVariables again = NotifyVariables::Take();
  EXPECT_FALSE(again.socket || again.watchdog_usec || again.watchdog_pid);
}

}  // namespace
}  // namespace portreeve::server
