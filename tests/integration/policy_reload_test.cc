// SIGHUP: the policy of a daemon that runs is read again.
#include <signal.h>

#include <map>
#include <string>
#include <vector>

#include "portreeve/v1/listener.pb.h"
#include "tests/integration/tls_fixture.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

std::string Identity(const std::string& name, const std::string& role) {
  return "identities { name: '" + name + "' role: ROLE_" + role + " }\n";
}

std::string CreateEcho(const std::string& id) {
  v1::CreateListenerRequest request;
  *request.mutable_spec() = EchoSpec();
  request.set_listener_id(id);
  return request.SerializeAsString();
}

class PolicyReloadDaemonTest : public TlsFixture {
 protected:
  PolicyReloadDaemonTest()
      : daemon_(Arguments(
            {"--policy", Write("policy", Identity("client", "OPERATOR"))})),
        channel_(Start()) {}

  // Waits until the daemon has said `text` of it, and not only of one before.
  void Reload(const std::string& policy, const std::string& text) {
    Write("policy", policy);
    daemon_.Signal(SIGHUP);
    EXPECT_NE(daemon_.WaitForErrorLine(text, ++num_said_[text]), "");
  }

  // The reason, or "OK".
  std::string Create(const std::string& id) {
    const auto status =
        Call(channel_, "/portreeve.v1.ListenerService/CreateListener",
             CreateEcho(id));
    return status.ok() ? "OK" : RefusalOf(status).reason;
  }

  DaemonProcess daemon_;

 private:
  Channel Start() {
    EXPECT_TRUE(daemon_.WaitUntilReady());
    return Secure(daemon_.Target(), ca_, client_);
  }

  std::map<std::string, int> num_said_;
  const Channel channel_;
};

// Over one connection.
TEST_F(PolicyReloadDaemonTest, RolesHoldFromTheNextCallOn) {
  EXPECT_EQ(Create("a"), "OK");
  Reload(Identity("client", "VIEWER"), "was read again");
  EXPECT_EQ(Create("b"), "ROLE_REQUIRED");
  Reload(Identity("client", "OPERATOR"), "was read again");
  EXPECT_EQ(Create("b"), "OK");
}

TEST_F(PolicyReloadDaemonTest, ListenersThatAreOutsideAreNamedAndStay) {
  EXPECT_EQ(Create("a"), "OK");
  Reload(Identity("client", "OPERATOR") + "listen { cidrs: '10.0.0.0/8' }",
         "outside of the policy now, but open: listeners/a");
  EXPECT_EQ(Create("b"), "OUTSIDE_POLICY");
  EXPECT_EQ(Create("a"), "LISTENER_EXISTS");
}

TEST_F(PolicyReloadDaemonTest, AWrongFileKeepsTheOneOfBefore) {
  Reload("identities { name: '' }", "the policy that was read before stays");
  EXPECT_EQ(Create("a"), "OK");
  Reload(Identity("client", "VIEWER"), "was read again");
  EXPECT_EQ(Create("b"), "ROLE_REQUIRED");
  daemon_.Signal(SIGTERM);
  EXPECT_EQ(daemon_.WaitForExit(), 0);
}

}  // namespace
}  // namespace portreeve::testing
