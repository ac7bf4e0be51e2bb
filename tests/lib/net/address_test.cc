#include "lib/net/address.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace portreeve {
namespace {

using Endpoint = asio::generic::stream_protocol::endpoint;

// As accept(2) and getpeername(2) leave it: `path` in it, and `size`, which the
// kernel lets be one more than a sockaddr_un has.
AnyAddress UnixOf(const std::string& path, size_t size) {
  struct {
    sockaddr_un address;
    char behind[16];
  } raw{};
  raw.address.sun_family = AF_UNIX;
  std::memcpy(raw.address.sun_path, path.data(), path.size());
  return FromEndpoint(Endpoint(&raw, size, 0));
}

constexpr size_t kOffset = offsetof(sockaddr_un, sun_path);

std::string PathOf(const AnyAddress& address) {
  return std::get<Unix::Address>(address).path();
}

TEST(AddressTest, EveryUnixPathOfEverySizeIsTaken) {
  for (size_t length = 0; length <= 108; ++length) {
    const std::string path(length, 'p');
    // The kernel counts a NUL at the end of a path, and none without a path.
    const size_t size = kOffset + length + (length > 0 ? 1 : 0);
    EXPECT_EQ(PathOf(UnixOf(path, size)), path);
    EXPECT_EQ(PathOf(UnixOf(path, kOffset + length)), path);
  }
}

TEST(AddressTest, EveryAbstractNameOfEverySizeIsTaken) {
  for (size_t length = 1; length <= 108; ++length) {
    std::string name(length, 'a');
    name.front() = '\0';
    EXPECT_EQ(PathOf(UnixOf(name, kOffset + length)), name);
    if (length == 108) continue;  // One that fills it loses a NUL at its end.
    name.back() = '\0';
    EXPECT_EQ(PathOf(UnixOf(name, kOffset + length)), name);
  }
}

TEST(AddressTest, APathEndsAtItsFirstNul) {
  EXPECT_EQ(PathOf(UnixOf(std::string("ab\0cd", 5), kOffset + 5)), "ab");
}

TEST(AddressTest, WhatIsNoAddressIsUnspecified) {
  const AnyAddress none = Inet::Address();
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  v6.sin6_port = htons(80);
  EXPECT_EQ(ToString(FromEndpoint(Endpoint(&v6, sizeof v6, 0))),
            "tcp:[::1]:80");
  for (size_t size = sizeof v6.sin6_family; size < sizeof v6; ++size) {
    EXPECT_EQ(FromEndpoint(Endpoint(&v6, size, 0)), none) << size;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  for (size_t size = sizeof v4.sin_family; size < sizeof v4; ++size) {
    EXPECT_EQ(FromEndpoint(Endpoint(&v4, size, 0)), none) << size;
  }
  sockaddr_nl other{};
  other.nl_family = AF_NETLINK;
  EXPECT_EQ(FromEndpoint(Endpoint(&other, sizeof other, 0)), none);
  EXPECT_EQ(FromEndpoint(Endpoint()), none);
}

TEST(AddressTest, MappedAddressesAndZonesAreTaken) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_scope_id = 7;
  const auto link_local = asio::ip::make_address_v6("fe80::1").to_bytes();
  std::memcpy(&v6.sin6_addr, link_local.data(), link_local.size());
  EXPECT_EQ(std::get<Inet::Address>(FromEndpoint(Endpoint(&v6, sizeof v6, 0)))
                .address()
                .to_v6()
                .scope_id(),
            7u);
  const auto mapped = asio::ip::make_address_v6("::ffff:192.0.2.1").to_bytes();
  std::memcpy(&v6.sin6_addr, mapped.data(), mapped.size());
  v6.sin6_port = htons(80);
  EXPECT_EQ(ToString(FromEndpoint(Endpoint(&v6, sizeof v6, 0))),
            "tcp:192.0.2.1:80");
}

TEST(AddressTest, ControlCharactersOfAPathAreWrittenAsEscapes) {
  EXPECT_EQ(ToString(Unix::Address(std::string("\0a\nb\x7f", 5))),
            "unix:@a\\x0ab\\x7f");
  EXPECT_EQ(ToString(Unix::Address("@a")), "unix:./@a");
  EXPECT_EQ(ToString(Unix::Address("/@a")), "unix:/@a");
  EXPECT_EQ(ToString(Unix::Address()), "unix:");
  EXPECT_EQ(ToString(Unix::Address("/run/\xc3\xa4.sock")),
            "unix:/run/\xc3\xa4.sock");
}

}  // namespace
}  // namespace portreeve
