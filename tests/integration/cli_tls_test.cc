// The command line against a real daemon with TLS: the flags, the environment,
// and what it says of handshakes that fail.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/integration/cli_process.h"
#include "tests/integration/tls_fixture.h"
#include "tests/testing/certificates.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

using Words = std::vector<std::string>;

class CliTlsTest : public TlsFixture {
 protected:
  CliTlsTest()
      : daemon_(Arguments(
            {"--policy",
             Write("policy",
                   "identities { name: \"viewer\" role: ROLE_VIEWER }")})) {}

  void SetUp() override { ASSERT_TRUE(daemon_.WaitUntilReady()); }

  Words Ca(const CertificateAuthority& ca) const {
    return {"--tls-ca", Write("client-ca.pem", ca.certificate())};
  }
  Words Own(const Certificate& own) const {
    return {"--tls-cert", Write("client.pem", own.certificate), "--tls-key",
            Write("client.key", own.key)};
  }

  CliResult List(const Words& flags, const Words& more = {}) const {
    Words words = {"list", "--server", daemon_.Target()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), more.begin(), more.end());
    return RunCli(words);
  }

  DaemonProcess daemon_;
};

TEST_F(CliTlsTest, FlagsOpenTheDoor) {
  const CliResult listed = List(Ca(ca_), Own(ca_.ForClient("viewer")));
  EXPECT_EQ(listed.exit_status, 0) << listed.notes;
}

TEST_F(CliTlsTest, TheEnvironmentOpensItToo) {
  const Words own = Own(ca_.ForClient("viewer"));
  setenv("PORTREEVE_TLS_CA", Ca(ca_)[1].c_str(), 1);
  setenv("PORTREEVE_TLS_CERT", own[1].c_str(), 1);
  setenv("PORTREEVE_TLS_KEY", own[3].c_str(), 1);
  setenv("PORTREEVE_TLS_SERVER_NAME", "localhost", 1);
  const CliResult listed = List({});
  EXPECT_EQ(listed.exit_status, 0) << listed.notes;
  for (const char* name : {"PORTREEVE_TLS_CA", "PORTREEVE_TLS_CERT",
                           "PORTREEVE_TLS_KEY", "PORTREEVE_TLS_SERVER_NAME"}) {
    unsetenv(name);
  }
}

TEST_F(CliTlsTest, ARoleThatIsTooLowIsTold) {
  Words words = {"delete", "web", "--server", daemon_.Target()};
  for (const std::string& word : Ca(ca_)) words.push_back(word);
  for (const std::string& word : Own(ca_.ForClient("viewer"))) {
    words.push_back(word);
  }
  const CliResult refused = RunCli(words);
  EXPECT_EQ(refused.exit_status, 4);
  EXPECT_EQ(refused.notes.find("portreeve: delete: ROLE_REQUIRED: "), 0u);
  EXPECT_NE(refused.notes.find("--tls-cert"), std::string::npos);
}

TEST_F(CliTlsTest, HandshakesThatFailPointToTheFlags) {
  const Words own = Own(ca_.ForClient("viewer"));
  const struct {
    const char* what;
    CliResult result;
  } kCases[] = {
      {"no TLS", List({})},
      {"no certificate", List(Ca(ca_))},
      {"another CA", List(Ca(other_ca_), own)},
      {"another name", List(Ca(ca_), {own[0], own[1], own[2], own[3],
                                      "--tls-server-name", "example.org"})},
      {"expired", List(Ca(ca_), Own(ca_.Expired("viewer")))},
  };
  for (const auto& [what, result] : kCases) {
    SCOPED_TRACE(what);
    EXPECT_EQ(result.exit_status, 3) << result.notes;
    EXPECT_NE(result.notes.find("--tls-ca"), std::string::npos) << result.notes;
  }
}

}  // namespace
}  // namespace portreeve::testing
