// What the variables of sd_listen_fds(3) mean.  What is done with the sockets
// is in tests/integration/service_manager_test.py.
#include "server/daemon/inherited.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using Passed = std::vector<PassedDescriptor>;

TEST(ListenVariablesTest, Table) {
  constexpr pid_t kSelf = 4711;
  struct Case {
    ListenVariables variables;
    Passed passed;
    std::string error = {};  // How it begins.
  };
  const std::vector<Case> cases = {
      {{}, {}},
      {{"4711", {}, {}}, {}},
      {{{}, "1", "control"}, {}},
      {{"4712", "1", "control"}, {}},
      // What is not ours is not looked at.
      {{"4712", "many", "a:b:c"}, {}},
      {{"4711", "0", {}}, {}},
      {{"4711", "0", ""}, {}},
      {{"4711", "1", {}}, {{3, "unknown"}}},
      {{"4711", "1", ""}, {{3, ""}}},
      {{"4711", "1", "control"}, {{3, "control"}}},
      {{"4711", "3", "control:control:listener-web"},
       {{3, "control"}, {4, "control"}, {5, "listener-web"}}},
      {{"4711", "2", {}}, {{3, "unknown"}, {4, "unknown"}}},
      {{"", "1", {}}, {}, "LISTEN_PID \"\": "},
      {{"self", "1", {}}, {}, "LISTEN_PID \"self\": "},
      {{"0", "1", {}}, {}, "LISTEN_PID \"0\": "},
      {{"4711", "", {}}, {}, "LISTEN_FDS \"\": "},
      {{"4711", "-1", {}}, {}, "LISTEN_FDS \"-1\": "},
      {{"4711", "1.5", {}}, {}, "LISTEN_FDS \"1.5\": "},
      {{"4711", "1048577", {}}, {}, "LISTEN_FDS \"1048577\": "},
      {{"4711", "99999999999999999999", {}}, {}, "LISTEN_FDS "},
      {{"4711", "2", "control"}, {}, "LISTEN_FDNAMES \"control\": "},
      {{"4711", "1", "a:b"}, {}, "LISTEN_FDNAMES \"a:b\": "},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const auto passed = ParseListenVariables(cases[i].variables, kSelf);
    if (cases[i].error.empty()) {
      ASSERT_TRUE(passed.ok()) << passed.status();
      EXPECT_EQ(*passed, cases[i].passed);
    } else {
      EXPECT_EQ(passed.status().message().substr(0, cases[i].error.size()),
                cases[i].error);
    }
  }
}

TEST(ListenVariablesTest, AreTakenOutOfTheEnvironment) {
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    setenv(name, name, 1);
  }
  const ListenVariables taken = ListenVariables::Take();
  EXPECT_EQ(taken.pid, "LISTEN_PID");
  EXPECT_EQ(taken.fds, "LISTEN_FDS");
  EXPECT_EQ(taken.names, "LISTEN_FDNAMES");
  const ListenVariables again = ListenVariables::Take();
  EXPECT_FALSE(again.pid || again.fds || again.names);
}

}  // namespace
}  // namespace portreeve::server
