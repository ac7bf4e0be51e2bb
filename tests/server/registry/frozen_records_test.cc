#include "server/registry/frozen_records.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <variant>

#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "server/api/convert.h"

namespace portreeve::server {
namespace {

// Gives the address of a socket that is bound to `name`, as the kernel has it:
// an abstract name, which is nobody's file.
AnyAddress Bound(const std::string& name) {
  const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                        name.size())),
            0);
  const auto bound = BoundAddressOf(socket.get());
  EXPECT_TRUE(bound.ok()) << bound.status();
  return *bound;
}

void ExpectItComesBack(const AnyAddress& address) {
  const auto read = AddressOf(ToProto(address), RawOf(address));
  ASSERT_TRUE(read.ok()) << ToString(address) << " " << read.status();
  EXPECT_TRUE(*read == address) << ToString(address);
}

TEST(FrozenRecordsTest, AddressesThatAreTextComeBackAsThat) {
  for (const AnyAddress& address :
       {AnyAddress(Inet::Address(asio::ip::make_address("127.0.0.1"), 80)),
        AnyAddress(Inet::Address(asio::ip::make_address("::1"), 65535)),
        AnyAddress(Unix::Address("/run/a")), AnyAddress(Unix::Address())}) {
    EXPECT_EQ(RawOf(address), "");
    ExpectItComesBack(address);
  }
}

TEST(FrozenRecordsTest, SoDoOthersWhateverAPeerHasBoundItsSocketTo) {
  std::string every(1, '\0');
  for (int c = 1; c < 256; c += 3) every += static_cast<char>(c);
  for (const std::string& name :
       {std::string("\0portreeve\xff\xfe", 12), every,
        // One byte more than can be asked for.
        std::string(1, '\0') + std::string(107, 'p')}) {
    const AnyAddress address = Bound(name);
    EXPECT_NE(RawOf(address), "");
    ExpectItComesBack(address);
  }
}

TEST(FrozenRecordsTest, WhatIsNoAddressIsRefused) {
  EXPECT_FALSE(AddressOf(v1::Address(), "").ok());
  v1::Address address;
  address.mutable_inet()->set_address("localhost");
  EXPECT_FALSE(AddressOf(address, "").ok());
  address.mutable_inet()->set_address("127.0.0.1");
  address.mutable_inet()->set_port(65536);
  EXPECT_FALSE(AddressOf(address, "").ok());
  address.mutable_unix_socket()->set_path(std::string(200, 'x'));
  EXPECT_FALSE(AddressOf(address, "").ok());
  // More than there can be is none.
  EXPECT_FALSE(AddressOf(address, std::string(1000, 'x')).ok());
}

}  // namespace
}  // namespace portreeve::server
