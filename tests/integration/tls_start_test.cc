// How portreeved refuses to start with wrong files of TLS, policy and audit.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "tests/integration/tls_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

using TlsStartTest = TlsFixture;

// One line with `reason` in it; status 2 where the command line is wrong.
constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
void ExpectRefused(const std::vector<std::string>& arguments,
                   const std::string& reason, int exit_status = kFailed) {
  DaemonProcess daemon(arguments);
  EXPECT_FALSE(daemon.WaitUntilReady());
  EXPECT_EQ(daemon.WaitForExit(), exit_status);
  const std::string& error = daemon.error_output();
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  EXPECT_EQ(error.rfind("portreeved: " + reason, 0), 0u)
      << error << ", not " << reason;
}

TEST_F(TlsStartTest, AWrongFileOfTlsIsOneLine) {
  Write("key", ca_.ForServer().key);
  ExpectRefused(Arguments(), "--tls-key " + folder_.File("key") +
                                 ": does not belong to --tls-cert " +
                                 folder_.File("cert"));
  WriteServer(server_);
  Write("ca", "text");
  ExpectRefused(Arguments(), "--tls-client-ca " + folder_.File("ca") +
                                 ": has no certificate in PEM");
  unlink(folder_.File("cert").c_str());
  ExpectRefused(Arguments(), "--tls-cert " + folder_.File("cert") +
                                 ": No such file or directory");
}

TEST_F(TlsStartTest, AWrongPolicyIsOneLine) {
  const std::string file = Write("policy", "identities {\n  nmae: \"x\"\n}\n");
  ExpectRefused({"--policy", file}, "--policy: " + file + ":2:");
  ExpectRefused({"--policy", folder_.File("none")}, "--policy: ");
}

TEST_F(TlsStartTest, AnAuditThatCannotBeWrittenIsOneLine) {
  ExpectRefused({"--audit", folder_.path()}, "--audit: ");
  ExpectRefused({"--audit", folder_.File("none/audit")}, "--audit: ");
}

TEST_F(TlsStartTest, TlsTakesThePlaceOfInsecure) {
  ExpectRefused({"--control", "tcp:0.0.0.0:0"}, "--control \"tcp:0.0.0.0:0\"",
                kWrongUsage);
  ExpectRefused(Arguments({"--insecure"}), "--insecure: ", kWrongUsage);
  DaemonProcess daemon(Arguments({"--control", "tcp:0.0.0.0:0"}));
  EXPECT_TRUE(daemon.WaitUntilReady());
}

// What a daemon warns of that does nothing.
std::vector<std::string> Warnings(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--log-level", "warning"});
  DaemonProcess daemon(std::move(arguments));
  EXPECT_TRUE(daemon.WaitUntilReady());
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  std::istringstream log(daemon.error_output());
  std::vector<std::string> warnings;
  for (std::string line; std::getline(log, line);) {
    warnings.push_back(line.substr(line.find(' ') + 1));  // Without its time.
  }
  return warnings;
}

TEST_F(TlsStartTest, WarnsOfWhatIsWideOpenAndOfNothingElse) {
  using Lines = std::vector<std::string>;
  const std::string any_certificate =
      "warning TLS without --policy: every certificate from --tls-client-ca is "
      "an admin";
  Lines expected;
  if (geteuid() == 0) {
    expected.push_back(
        "warning running as root without --policy: whoever reaches a control "
        "address can listen and connect as root");
  }
  EXPECT_EQ(Warnings({}), expected);
  expected.push_back(any_certificate);
  EXPECT_EQ(Warnings(Arguments()), expected);
  const std::string empty = Write("empty", "");
  EXPECT_EQ(Warnings({"--policy", empty}), Lines());
  EXPECT_EQ(Warnings(Arguments({"--policy", empty})),
            Lines{"warning the policy has no identities: no certificate may do "
                  "anything"});
  const std::string policy =
      Write("policy", "identities { name: \"client\" role: ROLE_ADMIN }");
  EXPECT_EQ(Warnings(Arguments({"--policy", policy})), Lines());
}

TEST_F(TlsStartTest, RelativePathsCountFromTheWorkingDirectory) {
  char directory[4096];
  ASSERT_NE(getcwd(directory, sizeof directory), nullptr);
  std::string to_root;
  for (const char* c = directory; *c != '\0'; ++c) {
    if (*c == '/') to_root += "../";
  }
  const auto relative = [&](const std::string& name) {
    return to_root + folder_.File(name).substr(1);
  };
  Write("policy", "");
  DaemonProcess daemon({"--tls-cert", relative("cert"), "--tls-key",
                        relative("key"), "--tls-client-ca", relative("ca"),
                        "--policy", relative("policy"), "--audit",
                        relative("audit")});
  EXPECT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(access(folder_.File("audit").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace portreeve::testing
