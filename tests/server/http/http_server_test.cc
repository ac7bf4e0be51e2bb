// What the port answers, by raw bytes.
#include "server/http/http_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "tests/server/http/http_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class HttpServerTest : public HttpFixture {};

TEST_F(HttpServerTest, GivesPages) {
  Serve();
  EXPECT_EQ(Ask(Get("/hello")), "200 hello");
  EXPECT_EQ(Ask(Get("/hello?a=1&b=%20")), "200 hello a=1 b= ");
  EXPECT_EQ(Ask(Get("/nothing")), "404 there is no such page");
  EXPECT_EQ(Ask(Get("/hello/")), "404 there is no such page");
}

TEST_F(HttpServerTest, HeadIsTheSameWithoutABody) {
  Serve();
  RawClient client = Sent("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(Answer(client, /*is_head=*/true), "200 ");
  EXPECT_EQ(client.Send("HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n"), "ok");
  EXPECT_EQ(Answer(client, /*is_head=*/true), "404 ");
  EXPECT_EQ(client.Send("HEAD / HTTP/1.1\r\nHost: evil\r\n\r\n"), "ok");
  EXPECT_EQ(Answer(client, /*is_head=*/true), "421  close");
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HttpServerTest, AConnectionGoesOn) {
  Serve();
  RawClient client = Connected();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Send(Get("/hello?i=" + std::to_string(i))), "ok");
    EXPECT_EQ(Answer(client), "200 hello i=" + std::to_string(i));
  }
  EXPECT_EQ(client.Send(Get("/hello", "Connection: close\r\n")), "ok");
  EXPECT_EQ(Answer(client), "200 hello close");
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HttpServerTest, Http10IsAnsweredOnce) {
  Serve();
  RawClient client = Sent("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(Answer(client), "200 hello close");
  EXPECT_EQ(client.Receive(), "EOF");
  RawClient keeper =
      Sent("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(Answer(keeper), "200 hello");
  EXPECT_EQ(keeper.Send("GET /hello HTTP/1.0\r\n\r\n"), "ok");
  EXPECT_EQ(Answer(keeper), "200 hello close");
}

TEST_F(HttpServerTest, RequestsThatAreSentAheadAreAnsweredInTheirOrder) {
  Serve();
  std::string ahead;
  for (int i = 0; i < 1000; ++i) ahead += Get("/hello?i=" + std::to_string(i));
  RawClient client = Sent(ahead);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(Answer(client), "200 hello i=" + std::to_string(i));
  }
}

TEST_F(HttpServerTest, WhatIsAskedLaterWaitsForTheAnswerBefore) {
  Serve();
  RawClient client = Sent(Get("/later") + Get("/hello"));
  RunUntil([&] { return waiting_.size() == 1; });
  EXPECT_EQ(client.Peek(), "nothing");
  std::thread([&] { waiting_[0]({200, "from another thread\n"}); }).join();
  EXPECT_EQ(Answer(client), "200 from another thread");
  EXPECT_EQ(Answer(client), "200 hello");
  waiting_[0]({200, "twice\n"});
  Settle();
  EXPECT_EQ(client.Peek(), "nothing");
}

TEST_F(HttpServerTest, WhoHasSentAnEndIsAnswered) {
  Serve();
  RawClient client = Sent(Get("/later") + Get("/hello"));
  client.CloseSending();
  RunUntil([&] { return waiting_.size() == 1; });
  Settle();
  waiting_[0]({200, "late\n"});
  EXPECT_EQ(Answer(client), "200 late");
  EXPECT_EQ(Answer(client), "200 hello");
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HttpServerTest, HalfARequestIsNone) {
  Serve();
  RawClient client = Sent("GET /hello HTTP/1.1\r\nHost: loc");
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HttpServerTest, AnotherNameIsRefused) {
  server::HttpServer::Options options;
  options.host_names = {"metrics.example.org"};
  Serve(std::move(options));
  const auto with = [&](const std::string& host) {
    const std::string answer =
        Ask("GET /hello HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    return answer.substr(0, 3);
  };
  EXPECT_EQ(with("127.0.0.1:1"), "200");
  EXPECT_EQ(with("[::1]"), "200");
  EXPECT_EQ(with("localhost"), "200");
  EXPECT_EQ(with("metrics.example.org:9464"), "200");
  EXPECT_EQ(with("evil.example.org"), "421");
  EXPECT_EQ(with(""), "421");
  // What the target says counts.
  EXPECT_EQ(Ask("GET http://evil/hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .substr(0, 3),
            "421");
  EXPECT_EQ(Ask("GET /hello HTTP/1.1\r\n\r\n"),
            "400 a request has one Host close");
}

TEST_F(HttpServerTest, AnotherMethodIsRefused) {
  Serve();
  EXPECT_EQ(Ask("POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                "5\r\n\r\nhello"),
            "405 this port only answers GET and HEAD close");
  EXPECT_EQ(Ask("quit\r\n\r\n").substr(0, 3), "400");
}

// The client sends more than is read, and learns why all the same.
TEST_F(HttpServerTest, AHeaderOf20KiBIsRefused) {
  Serve();
  EXPECT_EQ(Ask(Get("/hello", "X: " + std::string(20 << 10, 'x') + "\r\n")),
            "431 a header has at most 8192 bytes here close");
  EXPECT_EQ(Ask("GET /" + std::string(20 << 10, 'x') + " HTTP/1.1\r\n\r\n"),
            "431 a header has at most 8192 bytes here close");
}

TEST_F(HttpServerTest, APageThatFailsIsAnswered) {
  Serve();
  RawClient client = Sent(Get("/fails"));
  EXPECT_EQ(Answer(client), "500 this page has failed");
  EXPECT_EQ(client.Send(Get("/hello")), "ok");
  EXPECT_EQ(Answer(client), "200 hello");
  EXPECT_EQ(TakeLog().size(), 1u);
}

TEST_F(HttpServerTest, NoAnswerLetsOtherOriginsRead) {
  Serve();
  RawClient client =
      Sent(Get("/hello", "Origin: http://evil\r\nConnection: close\r\n"));
  std::string all;
  for (std::string some = client.Receive(); some != "EOF";
       some = client.Receive()) {
    all += some;
  }
  EXPECT_EQ(all.find("Access-Control"), all.npos) << all;
  EXPECT_EQ(FieldOf(all, "X-Content-Type-Options"), "nosniff");
}

TEST_F(HttpServerTest, AUnixSocketTellsWhoItsPeerIs) {
  const TemporaryFolder folder;
  const std::string path = folder.File("http");
  ServeAt({Unix::Address(path)});
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  RawClient client = Sent(Get("/later"));
  RunUntil([&] { return waiting_.size() == 1; });
  ASSERT_TRUE(peers_[0]->credentials.has_value());
  EXPECT_EQ(peers_[0]->credentials->uid, geteuid());
  EXPECT_FALSE(peers_[0]->is_secure);
  Stop();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST_F(HttpServerTest, AnAddressInUseIsAnError) {
  Serve();
  const absl::Status taken = server_->Listen({server_->addresses().at(0)});
  EXPECT_EQ(taken.code(), absl::StatusCode::kFailedPrecondition)
      << taken.message();
}

TEST_F(HttpServerTest, AnAnswerAfterTheEndIsNobodys) {
  Serve();
  RawClient gone = Sent(Get("/later"));
  RunUntil([&] { return waiting_.size() == 1; });
  gone.Reset();
  RawClient client = Sent(Get("/later"));
  RunUntil([&] { return waiting_.size() == 2; });
  const auto waiting = waiting_;
  waiting[0]({200, "to nobody\n"});
  Settle();
  Stop();
  waiting[1]({200, "too late\n"});
  Settle();
}

}  // namespace
}  // namespace portreeve::testing
