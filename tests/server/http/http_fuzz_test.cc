// Random bytes and mutated requests: the same ones in each run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "server/http/request_reader.h"
#include "tests/server/http/http_fixture.h"

namespace portreeve::testing {
namespace {

using server::HttpRequest;
using server::RequestReader;

class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}
  // 0 to most - 1.
  size_t Below(size_t most) { return random_() % most; }

 private:
  std::mt19937 random_;
};

const std::vector<std::string>& Seeds() {
  static const std::vector<std::string> seeds = {
      "GET /hello?a=1&b=%20c HTTP/1.1\r\nHost: localhost:9464\r\nUser-Agent: "
      "Prometheus/2.42\r\nAccept-Encoding: gzip\r\n\r\n",
      "HEAD /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "GET http://[::1]:80/hello HTTP/1.1\r\nHost: x\r\nConnection: "
      "close\r\n\r\n",
      "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n0\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  };
  return seeds;
}

std::string RandomBytes(Dice& dice, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(dice.Below(256));
  return bytes;
}

// One change; `bytes` is not empty.
void Mutate(Dice& dice, std::string& bytes) {
  static const std::vector<std::string> kWords = {
      "\r\n",
      "\n",
      "\r",
      ":",
      " ",
      "%",
      "%00",
      "?",
      "&",
      "Host: localhost\r\n",
      "Content-Length: 18446744073709551616\r\n",
      "Content-Length: -1\r\n",
      "Connection: close, keep-alive\r\n",
      "HTTP/1.1",
      "\r\n\r\n",
      "\x00",
      "@"};
  const size_t at = dice.Below(bytes.size());
  switch (dice.Below(6)) {
    case 0:
      bytes[at] = static_cast<char>(dice.Below(256));
      return;
    case 1:
      bytes.erase(at, 1 + dice.Below(8));
      break;
    case 2:
      bytes.insert(at, kWords[dice.Below(kWords.size())]);
      break;
    case 3:
      bytes.insert(at, bytes.substr(at, 1 + dice.Below(64)));
      break;
    case 4:
      bytes.insert(at, std::string(dice.Below(9000), 'x'));
      break;
    default:
      bytes.resize(at);
  }
  if (bytes.empty()) bytes = "G";
}

std::string Input(Dice& dice) {
  if (dice.Below(8) == 0) return RandomBytes(dice, 1 + dice.Below(300));
  std::string bytes;
  for (size_t i = 0; i <= dice.Below(3); ++i) {
    bytes += Seeds()[dice.Below(Seeds().size())];
  }
  for (size_t i = dice.Below(6); i > 0; --i) Mutate(dice, bytes);
  return bytes;
}

// What is made of `bytes` that come in pieces of at most `step`.
std::string Outcome(const std::string& bytes, size_t step) {
  RequestReader reader;
  std::string outcome;
  for (size_t i = 0; i < bytes.size();) {
    const auto space = reader.Space();
    const size_t count = std::min({space.size(), bytes.size() - i, step});
    EXPECT_GT(count, 0u);
    std::memcpy(space.data(), &bytes[i], count);
    reader.Add(count);
    i += count;
    while (true) {
      const auto next = reader.Take();
      if (std::holds_alternative<RequestReader::NeedsMore>(next)) break;
      if (const auto* refused = std::get_if<RequestReader::Refused>(&next)) {
        return outcome + std::to_string(refused->answer.status);
      }
      const auto& request = std::get<HttpRequest>(next);
      EXPECT_EQ(request.path.substr(0, 1), "/");
      EXPECT_TRUE(request.host || request.version == 10);
      outcome += request.path + " ";
    }
  }
  return outcome;
}

TEST(HttpFuzzTest, AReaderMakesTheSameOfBytesHoweverTheyCome) {
  Dice dice(1);
  size_t num_requests = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::string bytes = Input(dice);
    const std::string whole = Outcome(bytes, bytes.size());
    ASSERT_EQ(Outcome(bytes, 1 + dice.Below(50)), whole) << bytes;
    if (!whole.empty() && whole.front() == '/') ++num_requests;
  }
  // Else the inputs were too far from requests to show anything.
  EXPECT_GT(num_requests, 3'000u);
}

class HttpServerFuzzTest : public HttpFixture {};

TEST_F(HttpServerFuzzTest, WhateverComesTheNextClientIsServed) {
  Serve();
  Dice dice(2);
  for (int i = 0; i < 2'000; ++i) {
    RawClient client = Connected();
    const std::string bytes = Input(dice);
    // What the server does not read it may have ended by then.
    (void)client.Send(bytes.substr(0, dice.Below(bytes.size()) + 1));
    if (dice.Below(2) == 0) Settle();
    switch (dice.Below(3)) {
      case 0:
        client.Reset();
        break;
      case 1:
        client.CloseSending();
        EXPECT_EQ(client.Drain().end, "EOF") << bytes;
        break;
      default:
        client.Close();
    }
  }
  EXPECT_EQ(Ask(Get("/hello")), "200 hello");
  TakeLog();
}

}  // namespace
}  // namespace portreeve::testing
