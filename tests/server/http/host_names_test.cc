#include "server/http/host_names.h"

#include <gtest/gtest.h>

namespace portreeve::server {
namespace {

TEST(HostNamesTest, AddressesAndLocalhostAreItsOwn) {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:9464", "10.1.2.3:80", "[::1]", "[::1]:9464",
        "[2001:db8::1]:1", "localhost", "LOCALHOST:9464", "localhost:"}) {
    EXPECT_TRUE(IsOwnHost(host, {})) << host;
  }
}

TEST(HostNamesTest, OtherNamesAreNot) {
  for (const char* host : {"",
                           ":80",
                           "example.org",
                           "localhost.example.org",
                           "xlocalhost",
                           "127.0.0.1.example.org",
                           "127.1",
                           "2130706433",
                           "0x7f.0.0.1",
                           "::1",
                           "[::1",
                           "[]",
                           "[127.0.0.1]",
                           "[localhost]",
                           "localhost:80:80",
                           "localhost:http",
                           "localhost:999999",
                           "a@127.0.0.1",
                           "[::1]80",
                           "127.0.0.1 ",
                           "127.0.0.1/x"}) {
    EXPECT_FALSE(IsOwnHost(host, {})) << host;
  }
}

TEST(HostNamesTest, NamesThatAreGivenAre) {
  const std::vector<std::string> names = {"Metrics.example.org"};
  EXPECT_TRUE(IsOwnHost("metrics.example.org", names));
  EXPECT_TRUE(IsOwnHost("METRICS.EXAMPLE.ORG:9464", names));
  EXPECT_FALSE(IsOwnHost("example.org", names));
  EXPECT_FALSE(IsOwnHost("x.metrics.example.org", names));
}

TEST(HostNamesTest, AStarIsOneLabel) {
  const std::vector<std::string> names = {"*.example.org"};
  EXPECT_TRUE(IsOwnHost("a.example.org", names));
  for (const char* host : {"example.org", ".example.org", "a.b.example.org",
                           "a.example.com", "example"}) {
    EXPECT_FALSE(IsOwnHost(host, names)) << host;
  }
}

}  // namespace
}  // namespace portreeve::server
