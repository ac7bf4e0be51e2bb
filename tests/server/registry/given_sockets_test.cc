#include "server/registry/given_sockets.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace portreeve::server {
namespace {

constexpr uint16_t kPort = 8080;

Descriptor Socket(int family, int ipv6_only = 0) {
  Descriptor made(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(made.is_open());
  if (family == AF_INET6) {
    EXPECT_EQ(setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only,
                         sizeof ipv6_only),
              0);
  }
  return made;
}

Inet::Address Address(const char* text, uint16_t port = kPort) {
  return {asio::ip::make_address(text), port};
}

WhereToListen<Inet> Where(const char* text, int port = kPort) {
  WhereToListen<Inet> where;
  where.address = asio::ip::make_address(text);
  where.port = port;
  return where;
}

bool Takes(GivenSockets::Entry entry, const AnyWhereToListen& where,
           const std::string& id = "web") {
  GivenSockets given;
  given.Add(std::move(entry));
  const bool taken = given.Take(id, where).has_value();
  EXPECT_EQ(given.entries().size(), taken ? 0u : 1u);
  return taken;
}

TEST(GivenSocketsTest, IsTakenByItsListenerAtItsPlaceOnly) {
  const auto entry = [] {
    return GivenSockets::Entry{"web", Address("127.0.0.1"), Socket(AF_INET)};
  };
  EXPECT_TRUE(Takes(entry(), Where("127.0.0.1")));
  EXPECT_FALSE(Takes(entry(), Where("127.0.0.1"), "api"));
  EXPECT_FALSE(Takes(entry(), Where("127.0.0.1", kPort + 1)));
  EXPECT_FALSE(Takes(entry(), Where("127.0.0.1", 0)));
  EXPECT_FALSE(Takes(entry(), Where("127.0.0.2")));
  EXPECT_FALSE(Takes(entry(), Where("0.0.0.0")));
  EXPECT_FALSE(Takes(entry(), Where("::ffff:127.0.0.1")));
  EXPECT_FALSE(Takes(entry(), WhereToListen<Unix>::OfFile("/run/web")));
  WhereToListen<Inet> of_interface = Where("127.0.0.1");
  of_interface.bind_to_interface = "lo";
  EXPECT_FALSE(Takes(entry(), of_interface));
}

TEST(GivenSocketsTest, EveryAddressOfIpv6IsWithIpv4OrWithout) {
  for (const bool only : {false, true}) {
    const auto entry = [only](const char* address) {
      return GivenSockets::Entry{"web", Address(address),
                                 Socket(AF_INET6, only ? 1 : 0)};
    };
    WhereToListen<Inet> where = Where("::");
    where.ipv6_only = only;
    EXPECT_TRUE(Takes(entry("::"), where));
    where.ipv6_only = !only;
    EXPECT_FALSE(Takes(entry("::"), where));
    // One address is what it is.
    where.address = asio::ip::make_address("::1");
    EXPECT_TRUE(Takes(entry("::1"), where));
  }
}

TEST(GivenSocketsTest, AUnixSocketIsTakenByItsPath) {
  for (const std::string& path :
       {std::string("/run/web"), std::string("\0web", 4)}) {
    const auto entry = [&path] {
      return GivenSockets::Entry{"web", Unix::Address(path), Socket(AF_UNIX)};
    };
    WhereToListen<Unix> where;
    where.path = path;
    EXPECT_TRUE(Takes(entry(), where));
    where.path += "2";
    EXPECT_FALSE(Takes(entry(), where));
    EXPECT_FALSE(Takes(entry(), Where("127.0.0.1")));
  }
}

TEST(GivenSocketsTest, NamesTheFirstAtAPlaceThatIsWanted) {
  GivenSockets given;
  for (const char* id : {"a", "b"}) {
    given.Add({id, Address("127.0.0.1"), Socket(AF_INET)});
  }
  const auto any = [](const std::string&) { return true; };
  EXPECT_EQ(given.IdAt(Where("127.0.0.1"), any), "a");
  EXPECT_EQ(given.IdAt(Where("127.0.0.1"),
                       [](const std::string& id) { return id != "a"; }),
            "b");
  EXPECT_EQ(given.IdAt(Where("127.0.0.2"), any), "");
  EXPECT_TRUE(given.Take("a", Where("127.0.0.1")));
  EXPECT_FALSE(given.Take("a", Where("127.0.0.1"))) << "it is taken already";
  EXPECT_EQ(given.IdAt(Where("127.0.0.1"), any), "b");
}

}  // namespace
}  // namespace portreeve::server
