// The lines of the access log, byte by byte.
#include "server/events/access_line.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace portreeve::server {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

AnyAddress Tcp(const std::string& address, int port) {
  return Inet::Address(asio::ip::make_address(address),
                       static_cast<uint16_t>(port));
}

int64_t Nanos(const std::string& time) {
  absl::Time parsed;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, time, &parsed, &error));
  return absl::ToUnixNanos(parsed);
}

class AccessLineTest : public ::testing::Test {
 protected:
  AccessLineTest() {
    connection_.id = 236;
    connection_.peer = &peer_;
    connection_.local = &local_;
    connection_.upstream = &upstream_;
    connection_.bytes_received = 585;
    connection_.bytes_sent = 586;
    connection_.close_reason = v1::CLOSE_REASON_PEER_CLOSED;
    connection_.create_time = Nanos("2026-11-26T19:43:07.595Z");
    entry_.time =
        connection_.create_time + nanoseconds(milliseconds(104)).count();
    entry_.connection = &connection_;
    entry_.listener_id = "web";
    entry_.connect = microseconds(700);
    entry_.labels = R"({"team":"blue"})";
  }

  std::string Line() { return std::string(lines_.Of(entry_)); }

  // What the line has as its duration.
  std::string Lasting(Duration duration) {
    entry_.time = connection_.create_time + duration.count();
    const std::string line = Line();
    constexpr char kKey[] = "\"duration\":";
    const size_t at = line.find(kKey) + sizeof(kKey) - 1;
    return line.substr(at, line.find(',', at) - at);
  }

  // What a reader of JSON has as the peer.
  std::string PeerRead(const std::string& path) {
    peer_ = Unix::Address(path);
    const std::string line = Line();
    EXPECT_EQ(line.find('\n'), line.npos);
    google::protobuf::Struct fields;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &fields).ok())
        << line;
    EXPECT_EQ(fields.fields_size(), 13) << line;
    return fields.fields().at("peer").string_value();
  }

  AnyAddress peer_ = Tcp("10.0.0.9", 51814);
  AnyAddress local_ = Tcp("10.0.0.1", 80);
  AnyAddress upstream_ = Tcp("10.0.1.4", 8080);
  ConnectionRecord connection_;
  AccessEntry entry_;
  AccessLine lines_;
};

TEST_F(AccessLineTest, AClose) {
  EXPECT_EQ(Line(),
            R"({"time":"2026-11-26T19:43:07.699Z","event":"close",)"
            R"("listener":"web","connection":"c236","peer":"10.0.0.9:51814",)"
            R"("local":"10.0.0.1:80","upstream":"10.0.1.4:8080",)"
            R"("received":585,"sent":586,"duration":0.104,"connect":0.0007,)"
            R"("reason":"PEER_CLOSED","labels":{"team":"blue"}})");
}

TEST_F(AccessLineTest, WhatIsNotThereIsLeftOut) {
  connection_.id = 7;
  connection_.upstream = nullptr;
  connection_.bytes_received = connection_.bytes_sent = 0;
  entry_.listener_id = "";
  entry_.connect.reset();
  entry_.labels = "";
  EXPECT_EQ(Line(), R"({"time":"2026-11-26T19:43:07.699Z","event":"close",)"
                    R"("connection":"a7","peer":"10.0.0.9:51814",)"
                    R"("local":"10.0.0.1:80","received":0,"sent":0,)"
                    R"("duration":0.104,"reason":"PEER_CLOSED"})");
}

TEST_F(AccessLineTest, TheOtherEvents) {
  connection_.upstream = nullptr;
  entry_.connect.reset();
  entry_.event = AccessEvent::kOpen;
  EXPECT_EQ(Line(),
            R"({"time":"2026-11-26T19:43:07.699Z","event":"open",)"
            R"("listener":"web","connection":"c236","peer":"10.0.0.9:51814",)"
            R"("local":"10.0.0.1:80","labels":{"team":"blue"}})");
  entry_.event = AccessEvent::kAlive;
  EXPECT_EQ(Line(),
            R"({"time":"2026-11-26T19:43:07.699Z","event":"alive",)"
            R"("listener":"web","connection":"c236","peer":"10.0.0.9:51814",)"
            R"("local":"10.0.0.1:80","received":585,"sent":586,)"
            R"("duration":0.104,"labels":{"team":"blue"}})");
  entry_.event = AccessEvent::kDrop;
  connection_.close_reason = v1::CLOSE_REASON_DROPPED;
  EXPECT_EQ(Line(),
            R"({"time":"2026-11-26T19:43:07.699Z","event":"drop",)"
            R"("listener":"web","connection":"c236","peer":"10.0.0.9:51814",)"
            R"("local":"10.0.0.1:80","reason":"DROPPED",)"
            R"("labels":{"team":"blue"}})");
}

TEST_F(AccessLineTest, Addresses) {
  peer_ = Tcp("2001:db8::9", 1);
  local_ = Tcp("255.0.10.100", 65535);
  upstream_ = Unix::Address("/run/app.sock");
  EXPECT_THAT(Line(),
              ::testing::HasSubstr(R"("peer":"[2001:db8::9]:1",)"
                                   R"("local":"255.0.10.100:65535",)"
                                   R"("upstream":"unix:/run/app.sock",)"));
  peer_ = Unix::Address();
  local_ = Unix::Address(std::string("\0name", 5));
  EXPECT_THAT(Line(),
              ::testing::HasSubstr(R"("peer":"unix:","local":"unix:@name",)"));
}

// A peer chooses the name of its unix socket.
TEST_F(AccessLineTest, HostileNamesForgeNothing) {
  EXPECT_EQ(PeerRead("/a\",\"reason\":\"x"), "unix:/a\",\"reason\":\"x");
  EXPECT_EQ(PeerRead("/a\\"), "unix:/a\\");
  EXPECT_EQ(PeerRead("/a\n{\"event\":\"close\"}"),
            "unix:/a\n{\"event\":\"close\"}");
  EXPECT_EQ(PeerRead("/\xff\xfe"), "unix:/\\xff\\xfe");
  EXPECT_EQ(PeerRead("/\u202e"), "unix:/\u202e");
  peer_ = Unix::Address("/\x1b[31m\u202e\x7f\n\xc3");
  EXPECT_THAT(Line(), ::testing::HasSubstr(
                          R"("peer":"unix:/\u001B[31m\u202e\u007f\n\\xc3")"));
  for (const char c : Line()) EXPECT_TRUE(c >= ' ' && c < '\x7f');
}

TEST_F(AccessLineTest, Durations) {
  EXPECT_EQ(Lasting(seconds(0)), "0");
  EXPECT_EQ(Lasting(nanoseconds(999)), "0");
  EXPECT_EQ(Lasting(microseconds(1)), "0.000001");
  EXPECT_EQ(Lasting(microseconds(10)), "0.00001");
  EXPECT_EQ(Lasting(milliseconds(100)), "0.1");
  EXPECT_EQ(Lasting(seconds(3)), "3");
  EXPECT_EQ(Lasting(seconds(3) + microseconds(120)), "3.00012");
  EXPECT_EQ(Lasting(hours(24 * 365)), "31536000");
  EXPECT_EQ(Lasting(seconds(-1)), "0");  // The clock was set back.
}

TEST_F(AccessLineTest, EachTimeIsItsOwn) {
  for (const char* time :
       {"2026-11-26T19:43:07.000Z", "2026-11-26T19:43:07.999Z",
        "2026-11-26T19:43:08.001Z", "2026-12-01T00:00:00.010Z",
        "1970-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z"}) {
    entry_.time = Nanos(time);
    EXPECT_EQ(Line().substr(9, 24), time);
  }
}

TEST_F(AccessLineTest, EveryReasonHasItsName) {
  for (int i = 1; i < v1::CloseReason_ARRAYSIZE; ++i) {
    if (!v1::CloseReason_IsValid(i)) continue;
    connection_.close_reason = static_cast<v1::CloseReason>(i);
    const std::string name = v1::CloseReason_Name(i);
    ASSERT_EQ(name.find("CLOSE_REASON_"), 0u);
    EXPECT_THAT(Line(),
                ::testing::HasSubstr("\"reason\":\"" + name.substr(13) + "\""));
  }
}

TEST_F(AccessLineTest, LostLinesAreALine) {
  EXPECT_THAT(AccessLine::OfLost(12),
              ::testing::MatchesRegex("\\{\"time\":\"[^\"]+Z\",\"event\":\"lost"
                                      "\",\"lines\":12\\}"));
}

}  // namespace
}  // namespace portreeve::server
