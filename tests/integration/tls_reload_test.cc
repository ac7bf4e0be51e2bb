// The files of TLS change while the daemon runs.
#include <signal.h>
#include <unistd.h>

#include <string>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/integration/tls_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

class TlsReloadTest : public TlsFixture {
 protected:
  TlsReloadTest()
      : daemon_(Arguments(
            {"--control", "tcp:127.0.0.1:0", "--control", "tcp:127.0.0.1:0"})) {
    EXPECT_TRUE(daemon_.WaitUntilReady());
  }

  // On each of the two addresses, since gRPC keeps a pair for each.
  void ExpectServed(const CertificateAuthority& server_ca,
                    const Certificate& client) {
    for (const std::string& target : Targets()) {
      const auto status = List(Secure(target, server_ca, client));
      EXPECT_TRUE(status.ok()) << target << ": " << status.error_message();
    }
  }
  void ExpectNoHandshake(const CertificateAuthority& server_ca,
                         const Certificate& client) {
    for (const std::string& target : Targets()) {
      EXPECT_EQ(List(Secure(target, server_ca, client)).error_code(),
                grpc::StatusCode::UNAVAILABLE)
          << target;
    }
  }

  DaemonProcess daemon_;

 private:
  std::vector<std::string> Targets() const {
    std::vector<std::string> targets;
    for (const std::string& address : daemon_.Printed("control ")) {
      targets.push_back(address.substr(4));
    }
    EXPECT_EQ(targets.size(), 2u);
    return targets;
  }
};

TEST_F(TlsReloadTest, ANewPairIsThatOfNewConnections) {
  const Channel before = Secure(daemon_.Target(), ca_, client_);
  EXPECT_TRUE(List(before).ok());
  ExpectServed(ca_, client_);
  ExpectNoHandshake(other_ca_, client_);
  WriteServer(other_ca_.ForServer());
  ExpectServed(other_ca_, client_);
  ExpectNoHandshake(ca_, client_);
  EXPECT_TRUE(List(before).ok());
  EXPECT_EQ(before->GetState(false), GRPC_CHANNEL_READY);
}

TEST_F(TlsReloadTest, ABrokenPairKeepsTheOldOneAndIsLoggedOnce) {
  const Certificate next = other_ca_.ForServer();
  Write("cert", next.certificate);
  ExpectServed(ca_, client_);
  ExpectServed(ca_, client_);
  EXPECT_NE(daemon_.WaitForErrorLine("--tls-key " + folder_.File("key") +
                                     ": does not belong to --tls-cert " +
                                     folder_.File("cert")),
            "");
  Write("key", next.key);
  ExpectServed(other_ca_, client_);
  daemon_.Signal(SIGTERM);
  EXPECT_EQ(daemon_.WaitForExit(), 0);
  const std::string& log = daemon_.error_output();
  const std::string line = "does not belong to";
  EXPECT_EQ(log.find(line), log.rfind(line)) << log;
}

TEST_F(TlsReloadTest, FilesThatAreGoneKeepTheOld) {
  for (const char* file : {"cert", "key", "ca"}) {
    EXPECT_EQ(unlink(folder_.File(file).c_str()), 0);
  }
  ExpectServed(ca_, client_);
  EXPECT_NE(daemon_.WaitForErrorLine("--tls-cert " + folder_.File("cert") +
                                     ": No such file or directory"),
            "");
}

TEST_F(TlsReloadTest, ANewClientCaRefusesTheClientsOfTheOld) {
  const Certificate next = other_ca_.ForClient("client");
  ExpectServed(ca_, client_);
  ExpectNoHandshake(ca_, next);
  Write("ca", other_ca_.certificate());
  ExpectNoHandshake(ca_, client_);
  ExpectServed(ca_, next);
  Write("ca", ca_.certificate() + other_ca_.certificate());
  ExpectServed(ca_, client_);
  ExpectServed(ca_, next);
}

// Lists with the sessions of `cache`; whether one was resumed.
absl::StatusOr<bool> ListResuming(const std::string& target,
                                  const CertificateAuthority& server_ca,
                                  const Certificate& client,
                                  grpc_ssl_session_cache* cache) {
  const grpc_arg argument = grpc_ssl_session_cache_create_channel_arg(cache);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetPointerWithVtable(argument.key, argument.value.pointer.p,
                                 argument.value.pointer.vtable);
  const grpc::SslCredentialsOptions options{server_ca.certificate(), client.key,
                                            client.certificate};
  const auto stub = v1::ListenerService::NewStub(grpc::CreateCustomChannel(
      target, grpc::SslCredentials(options), arguments));
  grpc::ClientContext context;
  v1::ListListenersResponse response;
  const auto status = stub->ListListeners(&context, {}, &response);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  const auto reused = context.auth_context()->FindPropertyValues(
      GRPC_SSL_SESSION_REUSED_PROPERTY);
  return reused.size() == 1 && reused[0] == "true";
}

// A session that is resumed does not show its certificate again.
TEST_F(TlsReloadTest, ANewClientCaRefusesTheSessionsOfTheOld) {
  auto* cache = grpc_ssl_session_cache_create_lru(8);
  const auto list = [&] {
    return ListResuming(daemon_.Target(), ca_, client_, cache);
  };
  ASSERT_TRUE(list().ok());
  const auto resumed = list();
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_TRUE(*resumed);
  Write("ca", other_ca_.certificate());
  EXPECT_FALSE(list().ok());
  grpc_ssl_session_cache_destroy(cache);
}

}  // namespace
}  // namespace portreeve::testing
