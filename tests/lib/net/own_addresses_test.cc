// What counts as the daemon's own address.
#include "lib/net/own_addresses.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/testing/server_fixture.h"
#include "tests/testing/unix_listener.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::TemporaryFolder;

Inet::Address At(const std::string& host, int port) {
  return Inet::Address(asio::ip::make_address(host),
                       static_cast<uint16_t>(port));
}

OwnAddresses Own(const std::string& host, int port) {
  OwnAddresses own;
  EXPECT_TRUE(own.Add(At(host, port)).ok());
  return own;
}

// Addresses that this machine has, and that documentation has.
constexpr const char* kLocal4[] = {"127.0.0.1", "127.9.8.7", "0.0.0.0",
                                   "::ffff:127.0.0.1", "::ffff:0.0.0.0"};
constexpr const char* kLocal6[] = {"::1", "::"};
constexpr const char* kForeign[] = {"192.0.2.1", "::ffff:192.0.2.1",
                                    "2001:db8::1"};

TEST(OwnAddressesTest, OneAddressIsItselfHoweverItIsWritten) {
  const OwnAddresses v4 = Own("127.0.0.1", 7000);
  for (const char* same :
       {"127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::ffff:0.0.0.0"}) {
    EXPECT_TRUE(v4.Contain(At(same, 7000))) << same;
    EXPECT_FALSE(v4.Contain(At(same, 7001))) << same;
  }
  for (const char* other : {"127.0.0.2", "::1", "::", "192.0.2.1"}) {
    EXPECT_FALSE(v4.Contain(At(other, 7000))) << other;
  }
  const OwnAddresses v6 = Own("::1", 7000);
  for (const char* same : {"::1", "::"}) {
    EXPECT_TRUE(v6.Contain(At(same, 7000))) << same;
  }
  EXPECT_FALSE(v6.Contain(At("127.0.0.1", 7000)));
  EXPECT_TRUE(Own("::ffff:127.0.0.1", 7000).Contain(At("127.0.0.1", 7000)));
}

TEST(OwnAddressesTest, AScopeMakesNoOtherAddress) {
  const OwnAddresses own = Own("fe80::1%1", 7000);
  for (const char* same : {"fe80::1", "fe80::1%1", "fe80::1%2"}) {
    EXPECT_TRUE(own.Contain(At(same, 7000))) << same;
  }
  EXPECT_FALSE(own.Contain(At("fe80::2%1", 7000)));
}

TEST(OwnAddressesTest, AWildcardIsEveryAddressOfTheMachine) {
  const OwnAddresses v4 = Own("0.0.0.0", 7000);
  const OwnAddresses v6 = Own("::", 7000);
  for (const char* local : kLocal4) {
    EXPECT_TRUE(v4.Contain(At(local, 7000))) << local;
    EXPECT_TRUE(v6.Contain(At(local, 7000))) << local;
    EXPECT_FALSE(v6.Contain(At(local, 7001))) << local;
  }
  for (const char* local : kLocal6) {
    EXPECT_FALSE(v4.Contain(At(local, 7000))) << local;
    EXPECT_TRUE(v6.Contain(At(local, 7000))) << local;
  }
  for (const char* foreign : kForeign) {
    EXPECT_FALSE(v4.Contain(At(foreign, 7000))) << foreign;
    EXPECT_FALSE(v6.Contain(At(foreign, 7000))) << foreign;
  }
}

TEST(OwnAddressesTest, EachOfSeveralCounts) {
  OwnAddresses own;
  EXPECT_FALSE(own.Contain(At("127.0.0.1", 7000)));
  ASSERT_TRUE(own.Add(At("127.0.0.1", 7000)).ok());
  ASSERT_TRUE(own.Add(At("::", 7001)).ok());
  EXPECT_TRUE(own.Contain(At("127.0.0.1", 7000)));
  EXPECT_TRUE(own.Contain(At("127.0.0.1", 7001)));
  EXPECT_FALSE(own.Contain(At("::1", 7000)));
}

TEST(OwnAddressesTest, AFileIsItselfByEveryName) {
  const TemporaryFolder folder;
  const std::string path = folder.File("control");
  const std::string other = folder.File("other");
  OwnAddresses own;
  EXPECT_FALSE(own.Add(Unix::Address(path)).ok());
  EXPECT_FALSE(own.has_files());
  const testing::UnixListener listener(path);
  const testing::UnixListener stranger(other);
  ASSERT_TRUE(own.Add(Unix::Address(path)).ok());
  EXPECT_TRUE(own.has_files());
  ASSERT_EQ(link(path.c_str(), folder.File("twin").c_str()), 0);
  ASSERT_EQ(symlink("control", folder.File("link").c_str()), 0);
  ASSERT_EQ(symlink(folder.path().c_str(), folder.File("here").c_str()), 0);
  for (const char* name : {"control", "twin", "link", "here/link", "./twin"}) {
    EXPECT_TRUE(own.ContainPath(folder.File(name))) << name;
  }
  EXPECT_FALSE(own.ContainPath(other));
  EXPECT_FALSE(own.ContainPath(folder.File("none")));
  ASSERT_EQ(rename(path.c_str(), folder.File("moved").c_str()), 0);
  EXPECT_TRUE(own.ContainPath(folder.File("moved")));
}

TEST(OwnAddressesTest, AnAbstractNameIsItselfAndNoFile) {
  const std::string nul(1, '\0');
  OwnAddresses own;
  ASSERT_TRUE(own.Add(Unix::Address(nul + "control")).ok());
  EXPECT_FALSE(own.has_files());
  EXPECT_TRUE(own.ContainPath(nul + "control"));
  for (const std::string& other :
       {nul + "contro", nul + "control2", std::string("control"),
        std::string("@control"), nul, std::string()}) {
    EXPECT_FALSE(own.ContainPath(other));
  }
}

}  // namespace
}  // namespace portreeve::server
