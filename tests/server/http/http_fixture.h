// HttpFixture: a server of HTTP on the test's own loop and clock, and clients
// that send it bytes.
#ifndef PORTREEVE_TESTS_SERVER_HTTP_HTTP_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_HTTP_HTTP_FIXTURE_H_

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "server/http/http_server.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_client.h"

namespace portreeve::testing {

// The body of an answer, which notes what it is told.
class NotingFeed final : public server::HttpFeed {
 public:
  void Start(server::HttpSink& started) override { sink = &started; }
  void OnDrained() override { ++drained; }
  void Stop() override {
    sink = nullptr;
    stopped = true;
  }
  void Put(const std::string& text) const {
    sink->Put(std::make_shared<const std::string>(text));
  }

  server::HttpSink* sink = nullptr;
  int drained = 0;
  bool stopped = false;
};

class HttpFixture : public LoopFixture {
 protected:
  // Pages: /hello says so, with its query; /later keeps what takes its answers;
  // /fails throws; /large has 16 MiB.
  server::HttpPages Pages() {
    server::HttpPages pages;
    pages["/hello"] = [](const server::HttpRequest& request,
                         server::HttpDone done) {
      std::string text = "hello";
      for (const auto& [key, value] : request.query) {
        text += " " + key + "=" + value;
      }
      done({200, text + "\n"});
    };
    pages["/later"] = [this](const server::HttpRequest& request,
                             server::HttpDone done) {
      peers_.push_back(request.peer);
      waiting_.push_back(std::move(done));
    };
    pages["/fails"] = [](const server::HttpRequest&, server::HttpDone) {
      throw std::runtime_error("a fault");
    };
    pages["/large"] = [](const server::HttpRequest&, server::HttpDone done) {
      done({200, std::string(16 << 20, 'x')});
    };
    return pages;
  }

  void Serve(server::HttpServer::Options options = {}) {
    ServeAt({Inet::Address(asio::ip::address_v4::loopback(), 0)},
            std::move(options));
  }
  void ServeAt(const server::HttpPlace& place,
               server::HttpServer::Options options = {}) {
    options.pages = Pages();
    options.pages.merge(more_pages_);
    server_ =
        std::make_unique<server::HttpServer>(executor(), std::move(options));
    const absl::Status listens = server_->Listen(place);
    ASSERT_TRUE(listens.ok()) << listens.message();
    ASSERT_TRUE(server_->Start().ok());
  }
  void TearDown() override { Stop(); }
  void Stop() {
    if (server_ == nullptr) return;
    Run(server_->Stop());
    server_.reset();
    waiting_.clear();
  }

  RawClient Connected() {
    RawClient client(loop(), [this](const std::function<bool()>& condition) {
      return RunUntil(condition);
    });
    EXPECT_EQ(client.Connect(server_->addresses().at(0)), "ok");
    return client;
  }
  RawClient Sent(const std::string& bytes) {
    RawClient client = Connected();
    EXPECT_EQ(client.Send(bytes), "ok");
    return client;
  }

  static std::string Get(const std::string& path,
                         const std::string& fields = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
  }

  // One answer: its status, its body after a blank, and " close" where the
  // connection does not go on; "EOF", or the name of an errno.
  static std::string Answer(RawClient& client, bool is_head = false) {
    std::string head;
    while (head.find("\r\n\r\n") == head.npos) {
      const std::string byte = client.Receive(1);
      if (byte.size() != 1) return head.empty() ? byte : head + "|" + byte;
      head += byte;
    }
    const std::string length = FieldOf(head, "Content-Length");
    const std::string body =
        is_head ? "" : client.ReceiveExactly(std::stoul(length));
    const bool closes =
        FieldOf(head, "Connection") == "close" ||
        (head.rfind("HTTP/1.0", 0) == 0 && FieldOf(head, "Connection").empty());
    return head.substr(9, 3) + " " + body.substr(0, body.find('\n')) +
           (closes ? " close" : "");
  }
  static std::string FieldOf(const std::string& head, const std::string& name) {
    const size_t begin = head.find("\r\n" + name + ": ");
    if (begin == head.npos) return "";
    const size_t value = begin + name.size() + 4;
    return head.substr(value, head.find("\r\n", value) - value);
  }
  // The answer to the only request of a connection, up to its end.
  std::string Ask(const std::string& bytes) {
    RawClient client = Sent(bytes);
    const std::string answer = Answer(client);
    client.CloseSending();
    EXPECT_EQ(client.Receive(), "EOF");
    return answer;
  }

  server::HttpPages more_pages_;
  std::unique_ptr<server::HttpServer> server_;
  std::vector<server::HttpDone> waiting_;
  std::vector<std::shared_ptr<const server::HttpPeer>> peers_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_HTTP_HTTP_FIXTURE_H_
