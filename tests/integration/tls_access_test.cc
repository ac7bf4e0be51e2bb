// Who may call what of a daemon with TLS and a policy.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "portreeve/v1/daemon.pb.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/access/access_table.h"
#include "tests/integration/tls_fixture.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

constexpr char kIdentities[] = R"(
  identities { name: "viewer" role: ROLE_VIEWER }
  identities { name: "operator.example" role: ROLE_OPERATOR }
  identities { name: "admin" role: ROLE_ADMIN }
)";

class TlsAccessTest : public TlsFixture {
 protected:
  std::vector<std::string> WithPolicy(
      const std::vector<std::string>& more = {}) const {
    auto arguments = Arguments(more);
    arguments.insert(arguments.end(),
                     {"--policy", Write("policy", kIdentities)});
    return arguments;
  }

  const Certificate viewer_ = ca_.ForClient("viewer");
  const Certificate operator_ = ca_.ForClient("robot", "DNS:operator.example");
  const Certificate admin_ = ca_.ForClient("admin");
};

std::string MethodName(const server::MethodAccess& access) {
  return "/" + std::string(access.service) + "/" + std::string(access.method);
}

// What every method answers to at once, and by which nothing happens.
std::string HarmlessRequest(const server::MethodAccess& access) {
  if (access.method == "UpgradeDaemon") {
    v1::UpgradeDaemonRequest request;
    request.set_validate_only(true);
    return request.SerializeAsString();
  }
  if (access.method != "WatchEvents") return "";
  v1::WatchEventsRequest request;
  request.set_start_revision(-1);
  return request.SerializeAsString();
}

void ExpectNoHandshake(const grpc::Status& status) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE)
      << status.error_message();
  EXPECT_EQ(status.error_details(), "");
}

void ExpectAdmitted(const grpc::Status& status) {
  const auto code = status.error_code();
  EXPECT_TRUE(code == grpc::StatusCode::OK ||
              code == grpc::StatusCode::INVALID_ARGUMENT ||
              code == grpc::StatusCode::NOT_FOUND)
      << code << " " << status.error_message();
}

void ExpectRoleRequired(const grpc::Status& status) {
  const Refusal refusal = RefusalOf(status);
  EXPECT_EQ(refusal.code, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(refusal.reason, "ROLE_REQUIRED") << refusal.message;
}

TEST_F(TlsAccessTest, EveryMethodForEveryClient) {
  DaemonProcess daemon(WithPolicy({"--audit", folder_.File("audit")}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const std::string target = daemon.Target();
  const struct {
    const char* name;
    Channel channel;
    std::optional<v1::Role> role;  // Nothing: no handshake.
  } clients[] = {
      {"plaintext", Plain(target), {}},
      {"no certificate", Secure(target, ca_, no_certificate_), {}},
      {"another CA", Secure(target, ca_, other_ca_.ForClient("admin")), {}},
      {"expired", Secure(target, ca_, ca_.Expired("admin")), {}},
      {"unlisted", Secure(target, ca_, client_), v1::ROLE_UNSPECIFIED},
      {"viewer", Secure(target, ca_, viewer_), v1::ROLE_VIEWER},
      {"operator", Secure(target, ca_, operator_), v1::ROLE_OPERATOR},
      {"admin", Secure(target, ca_, admin_), v1::ROLE_ADMIN},
  };
  ASSERT_FALSE(server::AccessTable().empty());
  for (const auto& [name, channel, role] : clients) {
    for (const server::MethodAccess& access : server::AccessTable()) {
      SCOPED_TRACE(name + (" calls " + MethodName(access)));
      const auto status =
          Call(channel, MethodName(access), HarmlessRequest(access));
      if (!role) {
        ExpectNoHandshake(status);
      } else if (*role < access.role) {
        ExpectRoleRequired(status);
      } else {
        ExpectAdmitted(status);
      }
    }
  }
}

TEST_F(TlsAccessTest, AUnixSocketBesideTlsIsPlainAndAdmin) {
  const std::string address = "unix:" + folder_.File("control");
  DaemonProcess daemon(
      WithPolicy({"--control", "tcp:127.0.0.1:0", "--control", address}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  ExpectNoHandshake(List(Plain(daemon.Target())));
  const Channel channel = Plain(address);
  for (const server::MethodAccess& access : server::AccessTable()) {
    SCOPED_TRACE(MethodName(access));
    ExpectAdmitted(Call(channel, MethodName(access), HarmlessRequest(access)));
  }
}

TEST_F(TlsAccessTest, EveryTcpAddressSpeaksTls) {
  DaemonProcess daemon(WithPolicy(
      {"--control", "tcp:0.0.0.0:0", "--control", "tcp:127.0.0.1:0"}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  for (const std::string& address : daemon.Printed("control ")) {
    const std::string target = "127.0.0.1" + address.substr(address.rfind(':'));
    EXPECT_TRUE(List(Secure(target, ca_, viewer_)).ok()) << address;
    ExpectNoHandshake(List(Secure(target, ca_, no_certificate_)));
    ExpectNoHandshake(List(Plain(target)));
  }
}

TEST_F(TlsAccessTest, WithoutAPolicyEveryCertificateIsAdmin) {
  DaemonProcess daemon(Arguments());
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Secure(daemon.Target(), ca_, client_);
  for (const server::MethodAccess& access : server::AccessTable()) {
    SCOPED_TRACE(MethodName(access));
    ExpectAdmitted(Call(channel, MethodName(access), HarmlessRequest(access)));
  }
  EXPECT_NE(daemon.WaitForErrorLine("TLS without --policy"), "");
}

TEST_F(TlsAccessTest, APolicyWithoutIdentitiesLetsNoCertificateIn) {
  DaemonProcess daemon(Arguments({"--policy", Write("policy", "")}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_NE(daemon.WaitForErrorLine("the policy has no identities"), "");
  ExpectRoleRequired(List(Secure(daemon.Target(), ca_, admin_)));
}

std::string CreateEcho(const std::string& id) {
  v1::CreateListenerRequest request;
  *request.mutable_spec() = EchoSpec();
  request.set_listener_id(id);
  return request.SerializeAsString();
}

// The fields of a line of the audit; the time is there.
std::string Shown(const std::string& line) {
  google::protobuf::Struct audit;
  const auto parsed = google::protobuf::util::JsonStringToMessage(line, &audit);
  EXPECT_TRUE(parsed.ok()) << line;
  const auto field = [&](const std::string& name) {
    return audit.fields().count(name) == 0
               ? "(no " + name + ")"
               : audit.fields().at(name).string_value();
  };
  EXPECT_NE(field("time"), "");
  return field("who") + " " + field("method") + " " + field("name") + " " +
         field("result");
}

TEST_F(TlsAccessTest, AuditsWhoTriedWhat) {
  const std::string file = folder_.File("audit");
  const std::string create = "/portreeve.v1.ListenerService/CreateListener";
  DaemonProcess daemon(WithPolicy({"--audit", file}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const std::string target = daemon.Target();
  EXPECT_TRUE(
      Call(Secure(target, ca_, operator_), create, CreateEcho("web")).ok());
  ExpectRoleRequired(
      Call(Secure(target, ca_, viewer_), create, CreateEcho("mail")));
  EXPECT_TRUE(List(Secure(target, ca_, viewer_)).ok());
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  std::ifstream audit(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(audit, line);) {
    lines.push_back(Shown(line));
  }
  EXPECT_EQ(lines,
            (std::vector<std::string>{
                "operator.example portreeve.v1.ListenerService/CreateListener "
                "listeners/web OK",
                "viewer portreeve.v1.ListenerService/CreateListener  "
                "ROLE_REQUIRED"}));
}

TEST_F(TlsAccessTest, AuditsToStandardErrorByDefault) {
  DaemonProcess daemon(WithPolicy());
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_TRUE(Call(Secure(daemon.Target(), ca_, admin_),
                   "/portreeve.v1.ListenerService/CreateListener",
                   CreateEcho("web"))
                  .ok());
  EXPECT_EQ(Shown(daemon.WaitForErrorLine("CreateListener")),
            "admin portreeve.v1.ListenerService/CreateListener listeners/web "
            "OK");
}

}  // namespace
}  // namespace portreeve::testing
