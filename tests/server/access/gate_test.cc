// Who may call what, over real connections with and without TLS.
#include "server/access/gate.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "portreeve/v1/listener.grpc.pb.h"
#include "server/api/errors.h"
#include "server/calls/grpc_status.h"
#include "server/control/control_calls.h"
#include "server/control/control_connection.h"
#include "server/control/control_table.h"
#include "tests/testing/audit_lines.h"
#include "tests/testing/certificates.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::AuditLines;
using ::portreeve::testing::Certificate;
using ::portreeve::testing::CertificateAuthority;
using ::portreeve::testing::TemporaryFolder;

constexpr char kIdentities[] = R"(
  identities { name: "vera" role: ROLE_VIEWER }
  identities { name: "otto" role: ROLE_OPERATOR }
  identities { name: "anna" role: ROLE_ADMIN }
  identities { name: "otto.example.org" role: ROLE_OPERATOR }
  identities { name: "spiffe://example.org/anna" role: ROLE_ADMIN }
)";

// Asks the gate about the method that the request names, and answers with the
// caller.
class GateService final : public v1::ListenerService::Service {
 public:
  explicit GateService(Gate& gate) : gate_(gate) {}

  grpc::Status GetListener(grpc::ServerContext* context,
                           const v1::GetListenerRequest* request,
                           v1::Listener* response) override {
    const auto caller = gate_.Admit(*context, request->name());
    if (!caller.ok()) return ToGrpc(caller.status());
    response->set_name(caller->who);
    identity_ = caller->identity;
    gate_.Audit(*caller, "listeners/x", absl::OkStatus());
    return grpc::Status::OK;
  }

  // Of the caller that was admitted last.
  std::string identity() const { return identity_; }

 private:
  Gate& gate_;
  std::string identity_;
};

class GateTest : public ::testing::Test {
 protected:
  // Before the first call.
  void Start(Gate::Certificates certificates, const std::string& policy = "") {
    auto read = Policy::FromText(policy, "policy");
    ASSERT_TRUE(read.ok());
    policy_.Replace(*read);
    gate_ = std::make_unique<Gate>(policy_, certificates, &audit_.log());
    service_ = std::make_unique<GateService>(*gate_);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &plain_port_);
    builder.AddListeningPort("[::1]:0", grpc::InsecureServerCredentials(),
                             &plain_port6_);
    builder.AddListeningPort("unix:" + folder_.File("control"),
                             grpc::InsecureServerCredentials());
    builder.AddListeningPort("127.0.0.1:0", ServerTls(), &tls_port_);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  // Who the caller is, or the refusal.
  std::string Plain(const std::string& method) {
    return Call("127.0.0.1:" + std::to_string(plain_port_),
                grpc::InsecureChannelCredentials(), method);
  }
  std::string PlainOverIPv6(const std::string& method) {
    return Call("[::1]:" + std::to_string(plain_port6_),
                grpc::InsecureChannelCredentials(), method);
  }
  std::string OverUnixSocket(const std::string& method) {
    return Call("unix:" + folder_.File("control"),
                grpc::InsecureChannelCredentials(), method);
  }
  std::string Tls(const Certificate& certificate, const std::string& method) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = authority_.certificate();
    options.pem_private_key = certificate.key;
    options.pem_cert_chain = certificate.certificate;
    return Call("127.0.0.1:" + std::to_string(tls_port_),
                grpc::SslCredentials(options), method);
  }

  std::string LastIdentity() const { return service_->identity(); }

  std::vector<std::string> Audited() const {
    std::vector<std::string> lines;
    for (const std::string& line : audit_.lines()) {
      lines.push_back(line.substr(line.find("\"who\"")));  // After the time.
    }
    return lines;
  }

  const CertificateAuthority& authority() const { return authority_; }

  LivePolicy policy_;

 private:
  std::shared_ptr<grpc::ServerCredentials> ServerTls() const {
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority_.certificate();
    const Certificate own = authority_.ForServer();
    options.pem_key_cert_pairs.push_back({own.key, own.certificate});
    return grpc::SslServerCredentials(options);
  }

  static std::string Call(
      const std::string& target,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      const std::string& method) {
    grpc::ChannelArguments arguments;
    // A connection of its own for each call.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto stub = v1::ListenerService::NewStub(
        grpc::CreateCustomChannel(target, credentials, arguments));
    grpc::ClientContext context;
    v1::GetListenerRequest request;
    request.set_name(method);
    v1::Listener response;
    const grpc::Status status = stub->GetListener(&context, request, &response);
    if (status.ok()) return response.name();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_NE(status.error_details().find("ROLE_REQUIRED"), std::string::npos);
    return status.error_message();
  }

  const TemporaryFolder folder_;
  const CertificateAuthority authority_{"Test CA"};
  AuditLines audit_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<GateService> service_;
  std::unique_ptr<grpc::Server> server_;
  int plain_port_ = 0;
  int plain_port6_ = 0;
  int tls_port_ = 0;
};

TEST_F(GateTest, WithoutTlsEveryClientIsAnAdmin) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  for (const MethodAccess& access : AccessTable()) {
    const std::string method(access.method);
    EXPECT_EQ(Plain(method).rfind("ipv4:127.0.0.1:", 0), 0u) << method;
    EXPECT_EQ(OverUnixSocket(method).rfind("unix:", 0), 0u) << method;
  }
}

TEST_F(GateTest, WithoutAPolicyEveryCertificateIsAnAdmin) {
  Start(Gate::Certificates::kAreAdmins);
  for (const MethodAccess& access : AccessTable()) {
    EXPECT_EQ(Tls(authority().ForClient("nobody"), std::string(access.method)),
              "nobody");
  }
}

TEST_F(GateTest, AnotherPolicyHoldsFromTheNextCallOn) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  const Certificate vera = authority().ForClient("vera");
  EXPECT_NE(Tls(vera, "CreateListener"), "vera");
  const auto next = Policy::FromText(
      "identities { name: 'vera' role: ROLE_OPERATOR }", "policy");
  ASSERT_TRUE(next.ok());
  policy_.Replace(*next);
  EXPECT_EQ(Tls(vera, "CreateListener"), "vera");
  EXPECT_NE(Tls(authority().ForClient("otto"), "GetListener"), "otto");
}

TEST_F(GateTest, WithAPolicyARoleMayWhatTheTableSays) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  struct Row {
    const char* name;
    v1::Role role;
    const char* text;
  };
  for (const Row& row : {Row{"vera", v1::ROLE_VIEWER, "the role viewer"},
                         Row{"otto", v1::ROLE_OPERATOR, "the role operator"},
                         Row{"anna", v1::ROLE_ADMIN, "the role admin"},
                         Row{"nobody", v1::ROLE_UNSPECIFIED, "no role"}}) {
    const Certificate certificate = authority().ForClient(row.name);
    for (const MethodAccess& access : AccessTable()) {
      const std::string method(access.method);
      const std::string needed = access.role == v1::ROLE_VIEWER  ? "viewer"
                                 : access.role == v1::ROLE_ADMIN ? "admin"
                                                                 : "operator";
      EXPECT_EQ(Tls(certificate, method),
                row.role >= access.role
                    ? row.name
                    : std::string(row.name) + " has " + row.text + "; " +
                          method + " needs the role " + needed);
    }
  }
}

TEST_F(GateTest, EveryNameOfACertificateCounts) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  const std::string method = "CreateListener";
  // The name with the role is who it is.
  EXPECT_EQ(
      Tls(authority().ForClient("nobody", "DNS:otto.example.org"), method),
      "otto.example.org");
  EXPECT_EQ(Tls(authority().ForClient("", "DNS:otto.example.org"), method),
            "otto.example.org");
  EXPECT_EQ(Tls(authority().ForClient("vera", "URI:spiffe://example.org/anna"),
                method),
            "spiffe://example.org/anna");
  EXPECT_EQ(Tls(authority().ForClient("otto", "DNS:vera"), method), "otto");
  EXPECT_EQ(Tls(authority().ForClient("nobody", "DNS:none"), method),
            "nobody has no role; CreateListener needs the role operator");
}

// Rather than those of a client without TLS.
TEST_F(GateTest, ACertificateWithoutNamesHasNoRole) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  EXPECT_EQ(Tls(authority().ForClient(""), "GetListener"),
            "a certificate without names has no role; GetListener needs the "
            "role viewer");
}

// The port is another one for each call.
TEST_F(GateTest, ACallerIsTheSameOnEveryConnection) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  for (int i = 0; i < 2; ++i) {
    Plain("GetListener");
    EXPECT_EQ(LastIdentity(), "ipv4:127.0.0.1");
    const std::string who = OverUnixSocket("GetListener");
    EXPECT_EQ(LastIdentity(), who);
    Tls(authority().ForClient("otto"), "GetListener");
    EXPECT_EQ(LastIdentity(), "tls:otto");
    Tls(authority().ForClient("nobody", "DNS:otto.example.org"), "GetListener");
    EXPECT_EQ(LastIdentity(), "tls:otto.example.org");
  }
}

TEST_F(GateTest, ACallerOfIPv6HasNoPort) {
  Start(Gate::Certificates::kAreAdmins);
  PlainOverIPv6("GetListener");
  EXPECT_EQ(LastIdentity(), "ipv6:[::1]");
}

// Such a name may look like that of another caller.
TEST_F(GateTest, ACertificateIsNoAddress) {
  Start(Gate::Certificates::kAreAdmins);
  EXPECT_EQ(Tls(authority().ForClient("ipv4:127.0.0.1"), "GetListener"),
            "ipv4:127.0.0.1");
  EXPECT_EQ(LastIdentity(), "tls:ipv4:127.0.0.1");
}

// Neither has its role, nor looks like it in an audit.
TEST_F(GateTest, ACertificateIsNoUser) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, R"(
    identities { name: "unix:root" role: ROLE_ADMIN }
    identities { name: "unix:@root" role: ROLE_ADMIN }
    identities { name: "otto" role: ROLE_OPERATOR }
  )");
  for (const std::string name :
       {"unix:root", "unix:@root", "unix:uid=0(root)"}) {
    EXPECT_EQ(
        Tls(authority().ForClient(name), "GetListener"),
        "tls:" + name + " has no role; GetListener needs the role viewer");
  }
  EXPECT_EQ(
      Tls(authority().ForClient("unix:root", "URI:unix:root"),
          "DeleteListener"),
      "tls:unix:root has no role; DeleteListener needs the role operator");
  ASSERT_EQ(Audited().size(), 1u);
  EXPECT_EQ(Audited()[0].rfind("\"who\":\"tls:unix:root\"", 0), 0u);
  EXPECT_EQ(Tls(authority().ForClient("unix:root", "DNS:otto"), "GetListener"),
            "otto");
}

// Nobody has asked who that is.
TEST_F(GateTest, AUnixClientThatNobodyHasSeenIsNoUser) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy,
        "identities { name: 'unix:root' role: ROLE_ADMIN }");
  EXPECT_NE(OverUnixSocket("GetListener").find("has no role"),
            std::string::npos);
  EXPECT_EQ(Plain("GetListener").rfind("ipv4:127.0.0.1:", 0), 0u);
}

TEST_F(GateTest, ChangesAndRefusedChangesAreAudited) {
  Start(Gate::Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  const Certificate vera = authority().ForClient("vera");
  const Certificate otto = authority().ForClient("otto");
  for (const char* method : {"GetListener", "DeleteListener"}) {
    Tls(vera, method);
    Tls(otto, method);
  }
  Tls(authority().ForClient("nobody"), "GetListener");  // Refused; reads.
  EXPECT_EQ(Audited(),
            (std::vector<std::string>{
                R"("who":"vera","method":"portreeve.v1.ListenerService/)"
                R"(DeleteListener","name":"","result":"ROLE_REQUIRED"})",
                R"("who":"otto","method":"portreeve.v1.ListenerService/)"
                R"(DeleteListener","name":"listeners/x","result":"OK"})"}));
}

// Asks the gate before and after the connection of the call is shut down.
class CutService final : public v1::ListenerService::CallbackService {
 public:
  explicit CutService(const Gate& gate) : gate_(gate) {}

  grpc::ServerUnaryReactor* GetListener(grpc::CallbackServerContext* context,
                                        const v1::GetListenerRequest*,
                                        v1::Listener*) override {
    before_.set_value(gate_.Admit(*context, "GetListener").status());
    ConnectionOf(*context)->ShutDown();
    after_.set_value(gate_.Admit(*context, "GetListener").status());
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  absl::Status Before() { return before_.get_future().get(); }
  absl::Status After() { return after_.get_future().get(); }

 private:
  const Gate& gate_;
  std::promise<absl::Status> before_;
  std::promise<absl::Status> after_;
};

// gRPC still makes calls of what it has read of it.
TEST(GateOfCountedCallsTest, AConnectionThatWasShutDownIsRefused) {
  const Gate gate(Policy(), Gate::Certificates::kAreAdmins, nullptr);
  ControlTable table;
  CutService service(gate);
  grpc::ServerBuilder builder;
  CountCalls(builder, table);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  int ends[2];
  ASSERT_EQ(
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
      0);
  table.Add(std::make_shared<ControlConnection>(
      ControlConnection::Client{"fd:" + std::to_string(ends[0]), "unix:", false,
                                ucred{getpid(), getuid(), getgid()}},
      Descriptor(fcntl(ends[0], F_DUPFD_CLOEXEC, 0))));
  grpc::AddInsecureChannelFromFd(server.get(), ends[0]);
  const auto stub = v1::ListenerService::NewStub(
      grpc::CreateInsecureChannelFromFd("test", ends[1]));
  grpc::ClientContext context;
  v1::Listener response;
  EXPECT_EQ(stub->GetListener(&context, {}, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(service.Before().ok());
  EXPECT_EQ(service.After(),
            absl::UnavailableError("the connection has ended"));
  server->Shutdown();
  server->Wait();
}

TEST(GateWithoutAuditTest, AuditsNothing) {
  const Gate gate(Policy(), Gate::Certificates::kAreAdmins, nullptr);
  gate.Audit({"who", "identity", &AccessOf("Dial")}, "", absl::OkStatus());
}

}  // namespace
}  // namespace portreeve::server
