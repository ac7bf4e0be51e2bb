// The port with mutual TLS.
#include <gtest/gtest.h>

#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>

#include "server/http/tls_context.h"
#include "tests/server/http/http_fixture.h"
#include "tests/testing/certificates.h"

namespace portreeve::testing {
namespace {

using server::TlsContext;

class HttpTlsTest : public HttpFixture {
 protected:
  void ServeTls() {
    server::HttpServer::Options options;
    options.tls = [this] { return tls_; };
    Serve(std::move(options));
  }
  void Use(const Certificate& own, const CertificateAuthority& client_ca) {
    const auto made =
        TlsContext::Make({own.certificate, own.key, client_ca.certificate()});
    ASSERT_TRUE(made.ok()) << made.status().message();
    tls_ = *made;
  }

  // All that a client with that certificate, if it has one, gets; or "refused".
  std::string Ask(const Certificate& own, const std::string& bytes) {
    return Run(AskOnLoop(this, own, bytes));
  }
  static Task<std::string> AskOnLoop(HttpTlsTest* self, Certificate own,
                                     std::string bytes) {
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.add_certificate_authority(asio::buffer(self->ca_.certificate()));
    context.set_verify_mode(asio::ssl::verify_peer);
    if (!own.certificate.empty()) {
      context.use_certificate_chain(asio::buffer(own.certificate));
      context.use_private_key(asio::buffer(own.key), asio::ssl::context::pem);
    }
    StreamSocket socket(self->loop().get_executor());
    socket.connect(std::get<Inet::Address>(self->server_->addresses().at(0)));
    asio::ssl::stream<StreamSocket> stream(std::move(socket), context);
    const auto [shaken] =
        co_await stream.async_handshake(asio::ssl::stream_base::client, kTuple);
    if (shaken) co_return "refused";
    const auto buffer = asio::buffer(bytes);
    (void)co_await asio::async_write(stream, buffer, kTuple);
    std::string all;
    char space[4096];
    while (true) {
      const auto into = asio::buffer(space);
      const auto [error, size] = co_await stream.async_read_some(into, kTuple);
      all.append(space, size);
      if (!error) continue;
      if (error == asio::error::eof) co_return all;
      // TLS 1.3 lets a client go on before its certificate was looked at.
      co_return all.empty() ? "refused" : all + "|" + error.message();
    }
  }
  static Task<> Ignore(Task<std::string> task) {
    (void)co_await std::move(task);
  }
  static Task<> Keep(Task<std::string> task, std::string& result) {
    result = co_await std::move(task);
  }
  static std::string StatusOf(const std::string& all) {
    return all.size() < 12 ? all : all.substr(9, 3);
  }
  static std::string Once(const std::string& path,
                          const std::string& host = "localhost") {
    return "GET " + path + " HTTP/1.1\r\nHost: " + host +
           "\r\nConnection: close\r\n\r\n";
  }

  const CertificateAuthority ca_{"ca"};
  const CertificateAuthority other_ca_{"another ca"};
  const Certificate none_{};
  std::shared_ptr<TlsContext> tls_;
};

TEST_F(HttpTlsTest, OnlyACertificateOfTheCaGetsIn) {
  Use(ca_.ForServer(), ca_);
  ServeTls();
  EXPECT_EQ(StatusOf(Ask(ca_.ForClient("vera"), Once("/hello"))), "200");
  EXPECT_EQ(Ask(none_, Once("/hello")), "refused");
  EXPECT_EQ(Ask(other_ca_.ForClient("vera"), Once("/hello")), "refused");
  EXPECT_EQ(Ask(ca_.Expired("vera"), Once("/hello")), "refused");
  RawClient plain = Sent(Get("/hello"));
  EXPECT_NE(plain.Receive().substr(0, 4), "HTTP");
}

TEST_F(HttpTlsTest, ThePagesLearnTheNames) {
  Use(ca_.ForServer(), ca_);
  ServeTls();
  const Certificate client =
      ca_.ForClient("vera",
                    "DNS:vera.example.org,URI:spiffe://a/b,IP:10.0.0.1,IP:::1,"
                    "email:v@example.org");
  Start(Ignore(AskOnLoop(this, client, Once("/later"))));
  RunUntil([&] { return waiting_.size() == 1; });
  EXPECT_TRUE(peers_[0]->is_secure);
  EXPECT_EQ(peers_[0]->names, (std::vector<std::string>{
                                  "vera", "vera.example.org", "spiffe://a/b",
                                  "10.0.0.1", "::1", "v@example.org"}));
  waiting_[0]({200, "ok\n"});
  RunUntil([&] { return tasks().empty(); });
}

TEST_F(HttpTlsTest, TheNamesOfTheServersCertificateAreItsOwn) {
  Use(ca_.ForClient("name", "DNS:*.example.org"), ca_);
  ServeTls();
  const Certificate vera = ca_.ForClient("vera");
  EXPECT_EQ(StatusOf(Ask(vera, Once("/hello", "a.example.org"))), "200");
  EXPECT_EQ(StatusOf(Ask(vera, Once("/hello", "name:443"))), "200");
  EXPECT_EQ(StatusOf(Ask(vera, Once("/hello", "example.org"))), "421");
}

TEST_F(HttpTlsTest, TheNextHandshakeIsMadeWithWhatIsGivenThen) {
  Use(ca_.ForServer(), ca_);
  ServeTls();
  EXPECT_EQ(Ask(other_ca_.ForClient("vera"), Once("/hello")), "refused");
  Use(ca_.ForServer(), other_ca_);
  EXPECT_EQ(StatusOf(Ask(other_ca_.ForClient("vera"), Once("/hello"))), "200");
  EXPECT_EQ(Ask(ca_.ForClient("vera"), Once("/hello")), "refused");
}

TEST_F(HttpTlsTest, ALargeAnswerComesWhole) {
  Use(ca_.ForServer(), ca_);
  ServeTls();
  const std::string all = Ask(ca_.ForClient("vera"), Once("/large"));
  EXPECT_GT(all.size(), 16u << 20);
  EXPECT_EQ(all.substr(all.size() - 3), "xxx");
}

TEST_F(HttpTlsTest, AHandshakeHasTheTimeOfAHeader) {
  Use(ca_.ForServer(), ca_);
  ServeTls();
  RawClient client = Connected();
  Settle();
  time().Advance(std::chrono::milliseconds(9999));
  Settle();
  EXPECT_EQ(client.Peek(), "nothing");
  time().Advance(std::chrono::milliseconds(1));
  Settle();
  EXPECT_EQ(client.Peek(), "EOF");
}

// Without it the client could not know whether somebody has cut its connection.
TEST_F(HttpTlsTest, WhoIsSilentForAMinuteIsToldTheEnd) {
  Use(ca_.ForServer(), ca_);
  ServeTls();
  std::string all;
  Start(Keep(AskOnLoop(this, ca_.ForClient("vera"), Get("/later")), all));
  RunUntil([&] { return waiting_.size() == 1; });
  waiting_[0]({200, "ok\n"});
  Settle();
  time().Advance(std::chrono::seconds(60));
  RunUntil([&] { return !all.empty(); });
  EXPECT_EQ(all.substr(all.find("\r\n\r\n")), "\r\n\r\nok\n");
}

TEST_F(HttpTlsTest, WhatIsNoPemIsAnError) {
  const Certificate own = ca_.ForServer();
  EXPECT_FALSE(TlsContext::Make({"", own.key, ca_.certificate()}).ok());
  EXPECT_FALSE(
      TlsContext::Make({own.certificate, "x", ca_.certificate()}).ok());
  EXPECT_FALSE(TlsContext::Make({own.certificate, own.key, ""}).ok());
}

}  // namespace
}  // namespace portreeve::testing
