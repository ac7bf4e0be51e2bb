// What a policy allows, at the edges of each of its rules.
#include "server/access/policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/base/status.h"
#include "server/api/convert.h"
#include "tests/server/policy_in_words.h"

namespace portreeve::server {
namespace {

using testing::ReadPolicy;

// As Shown(), of what a policy refuses, and names the address of.
std::string Verdict(const absl::Status& status) {
  if (!status.ok()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    EXPECT_NE(DetailOf(status).address, "") << status;
  }
  return testing::Shown(status);
}

constexpr char kNoAddress[] = "OUTSIDE_POLICY inet.address";
constexpr char kNoHost[] = "OUTSIDE_POLICY inet.host";
constexpr char kNoPort[] = "OUTSIDE_POLICY inet.port";

std::string Listen(const Policy& policy, const std::string& address, int port) {
  v1::WhereToListen where;
  where.mutable_inet()->set_address(address);
  where.mutable_inet()->set_port(port);
  return Verdict(policy.CheckListen(*FromProto(where)));
}

std::string Dial(const Policy& policy, const std::string& host, int port) {
  v1::WhereToConnect where;
  where.mutable_inet()->set_host(host);
  where.mutable_inet()->set_port(port);
  return Verdict(policy.CheckConnect(*FromProto(where)));
}

std::string Resolved(const Policy& policy, const std::string& address,
                     int port) {
  return Verdict(policy.CheckAddress(Inet::Address(
      asio::ip::make_address(address), static_cast<uint16_t>(port))));
}

struct Row {
  const char* address;
  bool inside;
};

TEST(PolicyTest, NetworksOfListeningAtTheirEdges) {
  const Policy policy = ReadPolicy(R"(listen {
    cidrs: ["10.1.2.64/26", "127.0.0.0/8", "192.0.2.7/32", "fd00:1::/33"]
  })");
  for (const Row& row : {
           Row{"10.1.2.63", false},
           Row{"10.1.2.64", true},
           Row{"10.1.2.127", true},
           Row{"10.1.2.128", false},
           Row{"126.255.255.255", false},
           Row{"127.0.0.0", true},
           Row{"127.255.255.255", true},
           Row{"128.0.0.0", false},
           Row{"192.0.2.6", false},
           Row{"192.0.2.7", true},
           Row{"192.0.2.8", false},
           Row{"fd00:0:ffff:ffff:ffff:ffff:ffff:ffff", false},
           Row{"fd00:1::", true},
           Row{"fd00:1:7fff:ffff:ffff:ffff:ffff:ffff", true},
           Row{"fd00:1:8000::", false},
           Row{"localhost", true},
           Row{"::1", false},
           Row{"", false},
           Row{"*", false},
           Row{"0.0.0.0", false},
           Row{"::", false},
       }) {
    EXPECT_EQ(Listen(policy, row.address, 80), row.inside ? "OK" : kNoAddress)
        << row.address;
  }
}

TEST(PolicyTest, ListeningEverywhereNeedsAllOrThatAddressAlone) {
  struct Case {
    const char* cidr;
    bool v4;
    bool v6;
  };
  for (const Case& c : {
           Case{"0.0.0.0/0", true, false},
           Case{"0.0.0.0/32", true, false},
           Case{"0.0.0.0/1", false, false},
           Case{"0.0.0.0/31", false, false},
           Case{"::/0", false, true},
           Case{"::/128", false, true},
           Case{"::/127", false, false},
           Case{"::/8", false, false},
       }) {
    const Policy policy =
        ReadPolicy(std::string("listen { cidrs: \"") + c.cidr + "\" }");
    EXPECT_EQ(Listen(policy, "", 80), c.v4 ? "OK" : kNoAddress) << c.cidr;
    EXPECT_EQ(Listen(policy, "*", 80), c.v4 ? "OK" : kNoAddress) << c.cidr;
    EXPECT_EQ(Listen(policy, "0.0.0.0", 80), c.v4 ? "OK" : kNoAddress)
        << c.cidr;
    EXPECT_EQ(Listen(policy, "::", 80), c.v6 ? "OK" : kNoAddress) << c.cidr;
  }
}

TEST(PolicyTest, PortsOfListeningAtTheirEdges) {
  const Policy policy = ReadPolicy(R"(listen {
    ports { first: 8000 last: 8010 }
    ports { first: 9000 last: 9000 }
    ports { first: 65535 last: 65535 }
  })");
  for (const int port : {8000, 8005, 8010, 9000, 65535}) {
    EXPECT_EQ(Listen(policy, "", port), "OK") << port;
    EXPECT_EQ(Listen(policy, "::1", port), "OK") << port;
  }
  for (const int port : {0, 1, 7999, 8011, 8999, 9001, 65534}) {
    EXPECT_EQ(Listen(policy, "", port), kNoPort) << port;
  }
}

TEST(PolicyTest, APortThatTheOsChoosesNeedsARangeFromZero) {
  const Policy zero = ReadPolicy("listen { ports { first: 0 last: 0 } }");
  EXPECT_EQ(Listen(zero, "127.0.0.1", 0), "OK");
  EXPECT_EQ(Listen(zero, "127.0.0.1", 1), kNoPort);
  const Policy others = ReadPolicy("listen { ports { first: 1 last: 65535 } }");
  EXPECT_EQ(Listen(others, "127.0.0.1", 0), kNoPort);
}

TEST(PolicyTest, AddressAndPortMustBothBeAllowed) {
  const Policy policy = ReadPolicy(
      "listen { cidrs: '127.0.0.1/32' ports { first: 80 last: 80 } }");
  EXPECT_EQ(Listen(policy, "127.0.0.1", 80), "OK");
  EXPECT_EQ(Listen(policy, "127.0.0.1", 81), kNoPort);
  EXPECT_EQ(Listen(policy, "127.0.0.2", 80), kNoAddress);
}

TEST(PolicyTest, WithoutRulesAllButLinkLocalAndMetadataIsAllowed) {
  for (const Policy& policy :
       {Policy(), ReadPolicy(""), ReadPolicy("listen {} dial { allow {} }")}) {
    EXPECT_EQ(Listen(policy, "", 0), "OK");
    EXPECT_EQ(Listen(policy, "::", 65535), "OK");
    for (const Row& row : {
             Row{"169.253.255.255", true},
             Row{"169.254.0.0", false},
             Row{"169.254.169.254", false},
             Row{"169.254.255.255", false},
             Row{"169.255.0.0", true},
             Row{"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
             Row{"fe80::", false},
             Row{"fe80::1%lo", false},
             Row{"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
             Row{"fec0::", true},
             Row{"fd00:ec2::253", true},
             Row{"fd00:ec2::254", false},
             Row{"fd00:ec2::255", true},
             Row{"::ffff:169.254.169.254", false},
             Row{"::ffff:169.253.255.255", true},
             Row{"127.0.0.1", true},
             Row{"::1", true},
             Row{"0.0.0.0", true},
         }) {
      EXPECT_EQ(Dial(policy, row.address, 80), row.inside ? "OK" : kNoHost)
          << row.address;
      EXPECT_EQ(Resolved(policy, row.address, 80),
                row.inside ? "OK" : "OUTSIDE_POLICY")
          << row.address;
    }
  }
}

TEST(PolicyTest, DialRulesAtTheirEdges) {
  const Policy policy = ReadPolicy(R"(dial {
    allow {
      cidrs: ["10.0.0.0/8", "fd00::/8"]
      ports { first: 80 last: 81 }
    }
    deny { cidrs: ["10.9.0.0/16", "fd00:9::/32"] }
  })");
  for (const Row& row : {
           Row{"9.255.255.255", false}, Row{"10.0.0.0", true},
           Row{"10.8.255.255", true}, Row{"10.9.0.0", false},
           Row{"10.9.255.255", false}, Row{"10.10.0.0", true},
           Row{"10.255.255.255", true}, Row{"11.0.0.0", false},
           Row{"::ffff:10.0.0.1", true}, Row{"::ffff:10.9.0.1", false},
           Row{"::ffff:11.0.0.1", false}, Row{"fd00::1", true},
           Row{"fd00:9::1", false}, Row{"fe00::1", false},
           Row{"169.254.0.1", false},  // Not allowed, rather than denied.
       }) {
    EXPECT_EQ(Dial(policy, row.address, 80), row.inside ? "OK" : kNoHost)
        << row.address;
    EXPECT_EQ(Resolved(policy, row.address, 80),
              row.inside ? "OK" : "OUTSIDE_POLICY")
        << row.address;
  }
  for (const int port : {79, 82}) {
    EXPECT_EQ(Dial(policy, "10.0.0.1", port), kNoPort) << port;
    EXPECT_EQ(Dial(policy, "a.name", port), kNoPort) << port;
    EXPECT_EQ(Resolved(policy, "10.0.0.1", port), "OUTSIDE_POLICY") << port;
  }
  EXPECT_EQ(Dial(policy, "10.0.0.1", 81), "OK");
  EXPECT_EQ(Dial(policy, "a.name", 81), "OK");
}

TEST(PolicyTest, DenyTakesThePlaceOfTheDefaults) {
  const Policy some = ReadPolicy("dial { deny { cidrs: '10.0.0.0/8' } }");
  EXPECT_EQ(Dial(some, "169.254.169.254", 80), "OK");
  EXPECT_EQ(Dial(some, "10.0.0.1", 80), kNoHost);
  const Policy none = ReadPolicy("dial { deny {} }");
  EXPECT_EQ(Dial(none, "169.254.169.254", 80), "OK");
  EXPECT_EQ(Dial(none, "fe80::1", 80), "OK");
}

TEST(PolicyTest, UnspecifiedAddressesAreLoopbackWhenConnecting) {
  const Policy denied =
      ReadPolicy("dial { deny { cidrs: ['127.0.0.0/8', '::1/128'] } }");
  for (const char* host :
       {"0.0.0.0", "::", "::ffff:0.0.0.0", "127.0.0.1", "::1"}) {
    EXPECT_EQ(Dial(denied, host, 80), kNoHost) << host;
    EXPECT_EQ(Resolved(denied, host, 80), "OUTSIDE_POLICY") << host;
  }
  const Policy allowed = ReadPolicy("dial { allow { cidrs: '127.0.0.1/32' } }");
  EXPECT_EQ(Dial(allowed, "0.0.0.0", 80), "OK");
  EXPECT_EQ(Dial(allowed, "::", 80), kNoHost);
}

TEST(PolicyTest, NetworksOfIpv6HoldNoIpv4) {
  const Policy policy = ReadPolicy("dial { deny { cidrs: '::/0' } }");
  EXPECT_EQ(Dial(policy, "2001:db8::1", 80), kNoHost);
  EXPECT_EQ(Dial(policy, "10.0.0.1", 80), "OK");
  EXPECT_EQ(Dial(policy, "::ffff:10.0.0.1", 80), "OK");
}

TEST(PolicyTest, RefusalsSayWhatIsForbiddenAndByWhat) {
  const Policy policy =
      ReadPolicy("listen { ports { first: 80 last: 80 } } dial { deny {} }");
  v1::WhereToListen where;
  where.mutable_inet()->set_address("127.0.0.1");
  where.mutable_inet()->set_port(22);
  const absl::Status status = policy.CheckListen(*FromProto(where));
  EXPECT_EQ(std::string(status.message()),
            "inet.port: port 22 is not in the policy's listen.ports");
  EXPECT_EQ(DetailOf(status).address, "tcp:127.0.0.1:22");
  EXPECT_EQ(
      std::string(Policy()
                      .CheckAddress({asio::ip::make_address("169.254.0.1"), 80})
                      .message()),
      "169.254.0.1 is in the policy's dial.deny.cidrs");
}

TEST(PolicyTest, TheHighestRoleOfACertificatesNames) {
  const Policy policy = ReadPolicy(R"(
    identities { name: "viewer" role: ROLE_VIEWER }
    identities { name: "operator" role: ROLE_OPERATOR }
    identities { name: "admin" role: ROLE_ADMIN }
  )");
  EXPECT_EQ(policy.RoleOf({}), v1::ROLE_UNSPECIFIED);
  EXPECT_EQ(policy.RoleOf({"", "Admin", "admin ", "adm"}),
            v1::ROLE_UNSPECIFIED);
  EXPECT_EQ(policy.RoleOf({"viewer"}), v1::ROLE_VIEWER);
  EXPECT_EQ(policy.RoleOf({"viewer", "operator"}), v1::ROLE_OPERATOR);
  EXPECT_EQ(policy.RoleOf({"operator", "x", "viewer"}), v1::ROLE_OPERATOR);
  EXPECT_EQ(policy.RoleOf({"admin", "viewer"}), v1::ROLE_ADMIN);
}

// A CA may have signed anything.
TEST(PolicyTest, ACertificateIsNoUser) {
  const Policy policy = ReadPolicy(R"(
    identities { name: "unix:root" role: ROLE_ADMIN }
    identities { name: "unix:@1000" role: ROLE_ADMIN }
  )");
  EXPECT_EQ(policy.RoleOf({"unix:root", "unix:0", "root", "0", "@1000",
                           "unix:@1000", "1000"}),
            v1::ROLE_UNSPECIFIED);
  EXPECT_FALSE(policy.has_identities());
  EXPECT_TRUE(policy.has_unix_identities());
  EXPECT_TRUE(policy.has_unix_groups());
}

TEST(PolicyTest, AUserIsNoCertificate) {
  const Policy policy =
      ReadPolicy("identities { name: 'root' role: ROLE_VIEWER }");
  EXPECT_TRUE(policy.has_identities());
  EXPECT_FALSE(policy.has_unix_identities());
  EXPECT_EQ(policy.UnixRoleOf(UnixCaller{1000, 1000, {}}), v1::ROLE_ADMIN);
}

// By name and by number it is one user.
TEST(PolicyTest, AUserThatIsNamedTwiceHasTheHigherRole) {
  const Policy policy = ReadPolicy(R"(
    identities { name: "unix:@0" role: ROLE_OPERATOR }
    identities { name: "unix:@root" role: ROLE_VIEWER }
  )");
  EXPECT_EQ(policy.UnixRoleOf(UnixCaller{1000, 0, {}}), v1::ROLE_OPERATOR);
  EXPECT_EQ(policy.UnixRoleOf(UnixCaller{1000, 1000, {}}),
            v1::ROLE_UNSPECIFIED);
}

TEST(PolicyTest, ADualStackListenerNeedsBothFamilies) {
  v1::WhereToListen where;
  where.mutable_inet()->set_address("::");
  where.mutable_inet()->set_dual_stack(true);
  const auto both = *FromProto(where);
  where.mutable_inet()->set_dual_stack(false);
  const auto one = *FromProto(where);
  const auto may = [](const char* networks, const AnyWhereToListen& at) {
    return ReadPolicy("listen { cidrs: [" + std::string(networks) + "] }")
        .CheckListen(at)
        .ok();
  };
  EXPECT_TRUE(may("'::/0', '0.0.0.0/0'", both));
  EXPECT_TRUE(may("'::/128', '0.0.0.0/32'", both));
  EXPECT_FALSE(may("'::/0'", both));
  EXPECT_FALSE(may("'0.0.0.0/0'", both));
  EXPECT_TRUE(may("'::/0'", one));
}

}  // namespace
}  // namespace portreeve::server
