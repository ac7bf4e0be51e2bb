// The HTTP port of a daemon with TLS: with the files, the reload and the roles
// of the control plane.
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <vector>

#include "tests/integration/tls_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

namespace asio = boost::asio;

// The status and the first line of the body, "421 ..."; "refused" where the
// handshake fails.
std::string Ask(const DaemonProcess& daemon, const CertificateAuthority& ca,
                const Certificate& own, const std::string& path,
                const std::string& host = "localhost") {
  const std::string address = daemon.Printed("http ").at(0);
  const int port = std::stoi(address.substr(address.rfind(':') + 1));
  asio::io_context loop;
  asio::ssl::context context(asio::ssl::context::tls_client);
  context.add_certificate_authority(asio::buffer(ca.certificate()));
  context.set_verify_mode(asio::ssl::verify_peer);
  if (!own.certificate.empty()) {
    context.use_certificate_chain(asio::buffer(own.certificate));
    context.use_private_key(asio::buffer(own.key), asio::ssl::context::pem);
  }
  asio::ssl::stream<asio::ip::tcp::socket> stream(loop, context);
  stream.lowest_layer().connect(
      {asio::ip::address_v4::loopback(), static_cast<uint16_t>(port)});
  boost::system::error_code error;
  stream.handshake(asio::ssl::stream_base::client, error);
  if (error) return "refused";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + host +
                              "\r\nConnection: close\r\n\r\n";
  asio::write(stream, asio::buffer(request), error);
  std::string answer;
  asio::read(stream, asio::dynamic_buffer(answer), error);
  // TLS 1.3 lets a client go on before its certificate was looked at.
  if (answer.size() < 12) return "refused";
  const size_t body = answer.find("\r\n\r\n") + 4;
  return answer.substr(9, 3) + " " +
         answer.substr(body, answer.find('\n', body) - body);
}

class HttpTlsDaemonTest : public TlsFixture {
 protected:
  std::vector<std::string> WithHttp(
      const std::vector<std::string>& more = {}) const {
    auto arguments = Arguments({"--http", "tcp:0.0.0.0:0"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST_F(HttpTlsDaemonTest, OnlyACertificateOfTheCaGetsIn) {
  DaemonProcess daemon(WithHttp());
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(Ask(daemon, ca_, client_, "/healthz"), "200 ok");
  EXPECT_EQ(Ask(daemon, ca_, no_certificate_, "/healthz"), "refused");
  EXPECT_EQ(Ask(daemon, ca_, other_ca_.ForClient("client"), "/healthz"),
            "refused");
  // Not even health: that needs the connection.
  EXPECT_EQ(Ask(daemon, other_ca_, client_, "/healthz"), "refused");
}

TEST_F(HttpTlsDaemonTest, CertificatesHaveTheirRoles) {
  DaemonProcess daemon(WithHttp(
      {"--policy",
       Write("policy", "identities { name: 'vera' role: ROLE_VIEWER }")}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Certificate vera = ca_.ForClient("x", "DNS:vera");
  EXPECT_EQ(Ask(daemon, ca_, vera, "/").substr(0, 3), "200");
  EXPECT_EQ(Ask(daemon, ca_, client_, "/"),
            "403 client has no role; / needs the role viewer");
  EXPECT_EQ(Ask(daemon, ca_, client_, "/readyz"), "200 ready");
}

TEST_F(HttpTlsDaemonTest, FilesThatChangeHoldForTheNextHandshake) {
  DaemonProcess daemon(WithHttp());
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(Ask(daemon, ca_, client_, "/healthz"), "200 ok");
  WriteServer(other_ca_.ForServer());
  EXPECT_EQ(Ask(daemon, other_ca_, client_, "/healthz"), "200 ok");
  Write("key", "no key");
  EXPECT_EQ(Ask(daemon, other_ca_, client_, "/healthz"), "200 ok");
  EXPECT_NE(daemon.WaitForErrorLine("still using the old files"), "");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  // Both ports have the files from one source, which tells of each once.
  const std::string& errors = daemon.error_output();
  EXPECT_EQ(errors.find("TLS: reloaded"), errors.rfind("TLS: reloaded"));
}

TEST_F(HttpTlsDaemonTest, TheNamesOfTheCertificateAreItsOwn) {
  WriteServer(ca_.ForClient("name", "DNS:metrics.example.org"));
  DaemonProcess daemon(WithHttp());
  ASSERT_TRUE(daemon.WaitUntilReady());
  EXPECT_EQ(Ask(daemon, ca_, client_, "/healthz", "metrics.example.org"),
            "200 ok");
  EXPECT_EQ(Ask(daemon, ca_, client_, "/healthz", "example.org").substr(0, 3),
            "421");
}

}  // namespace
}  // namespace portreeve::testing
