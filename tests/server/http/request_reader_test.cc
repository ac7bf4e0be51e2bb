#include "server/http/request_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace portreeve::server {
namespace {

void Put(RequestReader& reader, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto space = reader.Space();
    const size_t count = std::min(space.size(), bytes.size());
    ASSERT_GT(count, 0u);
    std::memcpy(space.data(), bytes.data(), count);
    reader.Add(count);
    bytes.remove_prefix(count);
  }
}

std::string Shown(const RequestReader::Next& next) {
  if (std::holds_alternative<RequestReader::NeedsMore>(next)) return "more";
  if (const auto* refused = std::get_if<RequestReader::Refused>(&next)) {
    return std::to_string(refused->answer.status);
  }
  const auto& request = std::get<HttpRequest>(next);
  std::string shown = request.is_head ? "HEAD " : "GET ";
  shown += request.path;
  for (const auto& [key, value] : request.query) {
    shown += " " + key + "=" + value;
  }
  shown += " " + std::to_string(request.version);
  shown += " host=" + request.host.value_or("(none)");
  return shown + (request.keep_alive ? " on" : " close");
}

// All that is made of `bytes` where they come in one piece; the last is "more",
// or what was refused.
std::vector<std::string> All(std::string_view bytes) {
  RequestReader reader;
  Put(reader, bytes);
  std::vector<std::string> all;
  do {
    all.push_back(Shown(reader.Take()));
  } while (all.back().size() > 4);
  return all;
}
std::string First(std::string_view bytes) { return All(bytes).front(); }

TEST(RequestReaderTest, TakesWhatIsAsked) {
  EXPECT_EQ(First("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / 11 host=a on");
  EXPECT_EQ(First("HEAD /x/y HTTP/1.1\r\nhost:a:1 \r\n\r\n"),
            "HEAD /x/y 11 host=a:1 on");
  EXPECT_EQ(First("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            "GET / 11 host=a close");
  EXPECT_EQ(First("GET / HTTP/1.0\r\n\r\n"), "GET / 10 host=(none) close");
  EXPECT_EQ(First("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            "GET / 10 host=(none) on");
}

TEST(RequestReaderTest, SaysWhatTheClientHas) {
  RequestReader reader;
  Put(reader,
      "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/\"y\"\r\n\r\n");
  const auto next = reader.Take();
  ASSERT_TRUE(std::holds_alternative<HttpRequest>(next));
  EXPECT_EQ(std::get<HttpRequest>(next).if_none_match, "\"x\", W/\"y\"");
}

TEST(RequestReaderTest, DecodesTheQuery) {
  const auto query = [](const std::string& target) {
    return First("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
  };
  EXPECT_EQ(query("/m?listener=a&listener=b%2fc&&x"),
            "GET /m listener=a listener=b/c x= 11 host=a on");
  EXPECT_EQ(query("/m?a=b=c+d"), "GET /m a=b=c d 11 host=a on");
  EXPECT_EQ(query("/m?"), "GET /m 11 host=a on");
  for (const char* bad : {"/?a=%", "/?a=%4", "/?%zz=1"}) {
    EXPECT_EQ(query(bad), "400") << bad;
  }
}

TEST(RequestReaderTest, ATargetMayNameTheHost) {
  const auto of = [](const std::string& target) {
    return First("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  };
  EXPECT_EQ(of("http://evil/x?a=1"), "GET /x a=1 11 host=evil on");
  EXPECT_EQ(of("HTTPS://evil:80"), "GET / 11 host=evil:80 on");
  for (const char* bad : {"x", "*", "evil:80", "ftp://evil/", "?a=1"}) {
    EXPECT_EQ(of(bad), "400") << bad;
  }
}

TEST(RequestReaderTest, RefusesOtherMethodsAndBodies) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "CONNECT",
                             "TRACE", "PATCH", "get", "FOO"}) {
    EXPECT_EQ(First(std::string(method) + " / HTTP/1.1\r\nHost: a\r\n\r\n"),
              "405")
        << method;
  }
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(First(start + "Content-Length: 0\r\n\r\n"), "GET / 11 host=a on");
  for (const char* field :
       {"Content-Length: 1", "Content-Length: 99999999999",
        "Transfer-Encoding: chunked", "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip"}) {
    EXPECT_EQ(First(start + field + "\r\n\r\n"), "413") << field;
  }
  EXPECT_EQ(First("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            "405");
}

TEST(RequestReaderTest, WhatIsRefusedIsAnsweredAsItWasAsked) {
  for (const char* field : {"Content-Length: 1", "Host: a\r\nHost: b"}) {
    RequestReader reader;
    Put(reader, std::string("HEAD / HTTP/1.0\r\n") + field + "\r\n\r\n");
    const auto next = reader.Take();
    const auto& refused = std::get<RequestReader::Refused>(next);
    EXPECT_EQ(refused.version, 10) << field;
    EXPECT_TRUE(refused.is_head) << field;
  }
}

TEST(RequestReaderTest, RefusesWhatIsNone) {
  for (const char* bytes :
       {"GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET /\r\n\r\n", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: "
        "2\r\n\r\n"}) {
    EXPECT_EQ(First(bytes), "400") << bytes;
  }
  for (const char* version : {"HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTQ/1.1"}) {
    EXPECT_EQ(First("GET / " + std::string(version) + "\r\nHost: a\r\n\r\n"),
              "505")
        << version;
  }
}

TEST(RequestReaderTest, AHeaderHas8KiBAtMost) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const auto of_size = [&](size_t size) {
    return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(First(of_size(8192)), "GET / 11 host=a on");
  RequestReader reader;
  Put(reader, of_size(8193).substr(0, 8192));
  EXPECT_EQ(Shown(reader.Take()), "431");
  RequestReader in_pieces;
  std::string last = "more";
  const std::string large = of_size(8193);
  for (size_t i = 0; i < large.size() && last == "more"; i += 1000) {
    Put(in_pieces, std::string_view(large).substr(i, i == 8000 ? 192 : 1000));
    EXPECT_LE(in_pieces.Space().size(), 8192u - i);
    last = Shown(in_pieces.Take());
  }
  EXPECT_EQ(last, "431");
  RequestReader without_end;
  Put(without_end, std::string(8191, 'x'));
  EXPECT_EQ(Shown(without_end.Take()), "more");
  Put(without_end, "x");
  EXPECT_EQ(Shown(without_end.Take()), "431");
}

// Also where each of them has as much as it may have.
TEST(RequestReaderTest, TakesOneRequestAfterTheOther) {
  EXPECT_EQ(All("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
                "GET /b HTTP/1.1\r\nHost: b\r\n\r\nGET /c"),
            (std::vector<std::string>{"GET /a 11 host=a on",
                                      "GET /b 11 host=b on", "more"}));
  EXPECT_EQ(All("\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n\r\n"),
            (std::vector<std::string>{"GET /a 11 host=a on", "more"}));
}

TEST(RequestReaderTest, DoesNotDependOnHowTheBytesCome) {
  const std::string bytes =
      "\r\nGET /a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
      "HEAD /b HTTP/1.0\r\nHost: b\r\nX: y\r\n\r\n"
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
      "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto whole = All(bytes);
  ASSERT_EQ(whole.size(), 4u);
  EXPECT_EQ(whole.back(), "405");
  for (size_t step = 1; step < bytes.size(); ++step) {
    RequestReader reader;
    std::vector<std::string> all;
    for (size_t i = 0; i < bytes.size(); i += step) {
      Put(reader, std::string_view(bytes).substr(i, step));
      for (std::string next = Shown(reader.Take()); next != "more";
           next = Shown(reader.Take())) {
        all.push_back(next);
        if (next == "405") break;
      }
    }
    EXPECT_EQ(all, whole) << step;
  }
}

TEST(RequestReaderTest, KnowsWhetherARequestHasBegun) {
  RequestReader reader;
  EXPECT_TRUE(reader.empty());
  Put(reader, "\r\n");
  EXPECT_EQ(Shown(reader.Take()), "more");
  EXPECT_TRUE(reader.empty());
  Put(reader, "G");
  EXPECT_EQ(Shown(reader.Take()), "more");
  EXPECT_FALSE(reader.empty());
  Put(reader, "ET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(Shown(reader.Take()), "GET / 11 host=a on");
  EXPECT_TRUE(reader.empty());
}

}  // namespace
}  // namespace portreeve::server
