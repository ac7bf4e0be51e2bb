// The port with mutual TLS.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "server/http/feed_writer.h"
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

  using TlsSocket = asio::ssl::stream<StreamSocket>;

  asio::ssl::context ContextOf(const Certificate& own) const {
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.add_certificate_authority(asio::buffer(ca_.certificate()));
    context.set_verify_mode(asio::ssl::verify_peer);
    if (!own.certificate.empty()) {
      context.use_certificate_chain(asio::buffer(own.certificate));
      context.use_private_key(asio::buffer(own.key), asio::ssl::context::pem);
    }
    return context;
  }

  // All that a client with that certificate, if it has one, gets; or "refused".
  std::string Ask(const Certificate& own, const std::string& bytes) {
    return Run(AskOnLoop(this, own, bytes));
  }
  static Task<std::string> AskOnLoop(HttpTlsTest* self, Certificate own,
                                     std::string bytes) {
    auto context = self->ContextOf(own);
    StreamSocket socket(self->loop().get_executor());
    socket.connect(std::get<Inet::Address>(self->server_->addresses().at(0)));
    TlsSocket stream(std::move(socket), context);
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
  // A client that has sent `bytes`, and reads when it is told to.
  std::unique_ptr<TlsSocket> Greeted(const Certificate& own,
                                     const std::string& bytes) {
    auto context = ContextOf(own);
    StreamSocket socket(loop().get_executor());
    const auto address = std::get<Inet::Address>(server_->addresses().at(0));
    socket.open(address.protocol());
    // So that the kernel keeps little for it.
    socket.set_option(asio::socket_base::receive_buffer_size(4096));
    socket.connect(address);
    auto stream = std::make_unique<TlsSocket>(std::move(socket), context);
    Run(Greet(*stream, bytes));
    return stream;
  }
  static Task<> Greet(TlsSocket& stream, std::string bytes) {
    const auto [error] =
        co_await stream.async_handshake(asio::ssl::stream_base::client, kTuple);
    EXPECT_FALSE(error);
    const auto buffer = asio::buffer(bytes);
    (void)co_await asio::async_write(stream, buffer, kTuple);
  }
  // What comes up to `end`, or what has come and "|" and why no more does.
  static Task<std::string> ReadUntil(TlsSocket& stream, std::string end) {
    std::string all;
    while (all.find(end) == all.npos) {
      char byte;
      const auto into = asio::buffer(&byte, 1);
      const auto [error, size] = co_await stream.async_read_some(into, kTuple);
      if (error) co_return all + "|" + error.message();
      all.append(&byte, size);
    }
    co_return all;
  }
  static Task<> ShutDown(TlsSocket& stream) {
    (void)co_await stream.async_shutdown(kTuple);
  }
  // Why no more comes.
  static Task<std::string> Drain(TlsSocket& stream) {
    std::vector<char> space(65536);
    while (true) {
      const auto into = asio::buffer(space);
      const auto [error, size] = co_await stream.async_read_some(into, kTuple);
      if (error) co_return error.message();
    }
  }

  // Pages whose answers are streams.
  void ServeFeeds() {
    Use(ca_.ForServer(), ca_);
    more_pages_["/feed"] = [this](const server::HttpRequest&,
                                  const server::HttpDone& done) {
      feeds_.push_back(std::make_shared<NotingFeed>());
      server::HttpAnswer answer{200, ""};
      answer.feed = feeds_.back();
      done(std::move(answer));
    };
    ServeTls();
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
  std::vector<std::shared_ptr<NotingFeed>> feeds_;
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

TEST_F(HttpTlsTest, AStreamSendsWhatIsPutAndTellsItsEnd) {
  ServeFeeds();
  const auto client = Greeted(ca_.ForClient("vera"), Get("/feed"));
  EXPECT_EQ(StatusOf(Run(ReadUntil(*client, "\r\n\r\n"))), "200");
  Settle();
  NotingFeed& feed = *feeds_.at(0);
  for (const char* piece : {"one", "two"}) {
    feed.Put(piece);
    EXPECT_EQ(Run(ReadUntil(*client, piece)), piece);
    Settle();
    EXPECT_EQ(feed.sink->waiting(), 0u);
  }
  EXPECT_EQ(feed.drained, 2);
  time().Advance(std::chrono::seconds(15));
  EXPECT_EQ(Run(ReadUntil(*client, "\n\n")), ": \n\n");
  feed.Put("last");
  feed.sink->End();
  EXPECT_EQ(Run(ReadUntil(*client, "last")), "last");
  EXPECT_EQ(Run(ReadUntil(*client, "more")), "|End of file");
  EXPECT_TRUE(feed.stopped);
}

TEST_F(HttpTlsTest, WhoLeavesAStreamIsNoticedAtOnce) {
  ServeFeeds();
  // By the end of TLS, and by that of the connection alone.
  for (const bool says_so : {true, false}) {
    const auto client = Greeted(ca_.ForClient("vera"), Get("/feed"));
    (void)Run(ReadUntil(*client, "\r\n\r\n"));
    Settle();
    EXPECT_FALSE(feeds_.back()->stopped);
    if (says_so) {
      Run(ShutDown(*client));
    } else {
      client->next_layer().close();
    }
    EXPECT_TRUE(RunUntil([&] { return feeds_.back()->stopped; }));
  }
}

TEST_F(HttpTlsTest, WhoDoesNotReadAStreamIsResetWhenTooMuchWaits) {
  ServeFeeds();
  const Certificate vera = ca_.ForClient("vera");
  const auto begun = [&](size_t count) {
    return RunUntil([&] {
      return feeds_.size() == count && feeds_.back()->sink != nullptr;
    });
  };
  // Else the order of the two is not certain.
  const auto client = Greeted(vera, Get("/feed"));
  ASSERT_TRUE(begun(1));
  const auto reader = Greeted(vera, Get("/feed"));
  (void)Run(ReadUntil(*reader, "\r\n\r\n"));
  ASSERT_TRUE(begun(2));
  NotingFeed& stalled = *feeds_[0];
  const std::string piece(32 * 1024, 'x');
  size_t most = 0;
  for (size_t put = 0; !stalled.stopped && put < 64u << 20;
       put += piece.size()) {
    most = std::max(most, stalled.sink->waiting());
    stalled.Put(piece);
    Settle();
  }
  EXPECT_TRUE(stalled.stopped);
  EXPECT_LE(most, server::FeedWriter::kMostWaiting);
  EXPECT_GT(most, server::FeedWriter::kMostWaiting - piece.size());
  EXPECT_EQ(Run(Drain(*client)), "Connection reset by peer");
  // The other one has not noticed.
  feeds_[1]->Put("still there");
  EXPECT_EQ(Run(ReadUntil(*reader, "there")), "still there");
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
