// How addresses and names are written.
#include "client/address.h"

#include <gtest/gtest.h>

#include <string>

#include "client/name.h"

namespace portreeve::client {
namespace {

struct Good {
  const char* text;
  const char* message;  // As protobuf's short text.
  const char* again;    // What ToText makes of it.
};

TEST(AddressTest, ReadsWhereToListen) {
  const Good kGood[] = {
      {"tcp:127.0.0.1:80", R"(inet { address: "127.0.0.1" port: 80 })",
       "tcp:127.0.0.1:80"},
      {"tcp:*:0", R"(inet { address: "*" })", "tcp:*:0"},
      {"tcp::8080", "inet { port: 8080 }", "tcp::8080"},
      {"tcp:localhost:65535", R"(inet { address: "localhost" port: 65535 })",
       "tcp:localhost:65535"},
      {"tcp:[::1]:80", R"(inet { address: "::1" port: 80 })", "tcp:[::1]:80"},
      {"tcp:[127.0.0.1]:0", R"(inet { address: "127.0.0.1" })",
       "tcp:127.0.0.1:0"},
      {"tcp:[fe80::1%eth0]:080", R"(inet { address: "fe80::1%eth0" port: 80 })",
       "tcp:[fe80::1%eth0]:80"},
      {"unix:/run/x.sock", R"(unix_socket { path: "/run/x.sock" })",
       "unix:/run/x.sock"},
      {"unix:x:1 y", R"(unix_socket { path: "/home/me/x:1 y" })",
       "unix:/home/me/x:1 y"},
      {"unix:../x", R"(unix_socket { path: "/home/me/../x" })",
       "unix:/home/me/../x"},
  };
  for (const Good& good : kGood) {
    SCOPED_TRACE(good.text);
    const auto where = ParseWhereToListen(good.text, "/home/me");
    ASSERT_TRUE(where.ok()) << where.status();
    EXPECT_EQ(where->ShortDebugString(), good.message);
    EXPECT_EQ(ToText(*where), good.again);
  }
}

TEST(AddressTest, ReadsWhereToConnect) {
  const Good kGood[] = {
      {"tcp:example.org:80", R"(inet { host: "example.org" port: 80 })",
       "tcp:example.org:80"},
      {"tcp:[::1]:1", R"(inet { host: "::1" port: 1 })", "tcp:[::1]:1"},
      {"unix:up", R"(unix_socket { path: "/home/me/up" })", "unix:/home/me/up"},
  };
  for (const Good& good : kGood) {
    SCOPED_TRACE(good.text);
    const auto where = ParseWhereToConnect(good.text, "/home/me");
    ASSERT_TRUE(where.ok()) << where.status();
    EXPECT_EQ(where->ShortDebugString(), good.message);
    EXPECT_EQ(ToText(*where), good.again);
  }
}

struct Bad {
  const char* text;
  const char* why;
};

const Bad kBad[] = {
    {"", "neither HOST:PORT nor unix:"},
    {"tcp", "neither HOST:PORT nor unix:"},
    {"http:h:80", "an IPv6 address needs brackets"},
    {"TCP:h:80", "an IPv6 address needs brackets"},
    {"tcp:", "no port"},
    {"tcp:80", "no port"},
    {"tcp:h:", "port '' is no number"},
    {"tcp:h:http", "port 'http' is no number"},
    {"tcp:h:-1", "port '-1' is no number"},
    {"tcp:h:+1", "port '+1' is no number"},
    {"tcp:h: 1", "port ' 1' is no number"},
    {"tcp:h:1 ", "port '1 ' is no number"},
    {"tcp:h:0x1", "port '0x1' is no number"},
    {"tcp:h:65536", "port 65536 is not in 0-65535"},
    {"tcp:h:000080", "port 000080 is not in 0-65535"},
    {"tcp:h:99999999999999999999", "is not in 0-65535"},
    {"tcp:::1:80", "an IPv6 address needs brackets"},
    {"tcp:[::1:80", "the brackets do not hold"},
    {"tcp:[:80", "the brackets do not hold"},
    {"tcp:::1]:80", "an IPv6 address needs brackets"},
    {"tcp:a b:80", "is no host"},
    {"tcp:h/x:80", "is no host"},
    {"unix:", "no path"},
};

TEST(AddressTest, RefusesWhatIsNoAddress) {
  for (const Bad& bad : kBad) {
    SCOPED_TRACE(bad.text);
    for (const absl::Status& status :
         {ParseWhereToListen(bad.text, "/").status(),
          ParseWhereToConnect(bad.text, "/").status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_NE(std::string(status.message()).find(bad.why), std::string::npos)
          << status;
    }
  }
}

TEST(AddressTest, NobodyConnectsToEveryAddressOrToPortZero) {
  for (const char* text : {"tcp:*:80", "tcp::80", "tcp:h:0"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(ParseWhereToConnect(text, "/").ok());
    EXPECT_FALSE(ParseServerAddress(text, "/").ok());
    EXPECT_TRUE(ParseWhereToListen(text, "/").ok());
  }
}

TEST(AddressTest, ReadsServers) {
  const struct {
    const char* text;
    const char* complete;
    const char* target;
  } kServers[] = {
      {kDefaultServer, "tcp:127.0.0.1:50051", "dns:///127.0.0.1:50051"},
      {"tcp:host:1", "tcp:host:1", "dns:///host:1"},
      {"host:1", "tcp:host:1", "dns:///host:1"},
      {"[::1]:1", "tcp:[::1]:1", "dns:///[::1]:1"},
      {"unix:/run/p.sock", "unix:/run/p.sock", "unix:/run/p.sock"},
      {"unix:@p", "unix:@p", "unix-abstract:p"},
      {"unix:a b%?#\xC3\xA9", "unix:/home/me/a b%?#\xC3\xA9",
       "unix:/home/me/a%20b%25%3f%23%c3%a9"},
  };
  for (const auto& server : kServers) {
    SCOPED_TRACE(server.text);
    const auto parsed = ParseServerAddress(server.text, "/home/me");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->text, server.complete);
    EXPECT_EQ(parsed->target, server.target);
  }
  for (const char* text : {"", "host", "50051", ":50051", "/run/p.sock"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(ParseServerAddress(text, "/").ok());
  }
}

TEST(AddressTest, WritesAddresses) {
  v1::Address address;
  EXPECT_EQ(ToText(address), "");
  address.mutable_inet()->set_address("::1");
  address.mutable_inet()->set_port(7);
  EXPECT_EQ(ToText(address), "tcp:[::1]:7");
  address.mutable_unix_socket();
  EXPECT_EQ(ToText(address), "unix:");
}

TEST(NameTest, TakesIdsAndNames) {
  EXPECT_EQ(*ListenerName("web"), "listeners/web");
  EXPECT_EQ(*ListenerName("listeners/web"), "listeners/web");
  EXPECT_EQ(*ConnectionName("7"), "connections/7");
  EXPECT_EQ(*ConnectionName("connections/7"), "connections/7");
  EXPECT_EQ(*ListenerId("web"), "web");
  EXPECT_EQ(*ListenerId("listeners/web"), "web");
}

TEST(NameTest, RefusesWhatNamesSomethingElse) {
  for (const char* text : {"", "listeners/", "connections/7", "/web", "web/",
                           "listeners/web/x", "listeners//web"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(ListenerName(text).ok());
    EXPECT_FALSE(ListenerId(text).ok());
  }
  for (const char* text : {"", "connections/", "listeners/7"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(ConnectionName(text).ok());
  }
}

}  // namespace
}  // namespace portreeve::client
