#include "lib/net/where.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/base/status.h"

namespace portreeve {
namespace {

// The field that is wrong; "" if none is.
template <typename Where>
std::string WrongField(const Where& where) {
  const absl::Status status = Validate(where);
  if (status.ok()) return "";
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(status).reason, Reason::kInvalidField);
  return DetailOf(status).field;
}

TEST(WhereToConnectTest, OfHostAndPort) {
  const auto where = WhereToConnect<Inet>::OfHostAndPort("example.org", 80);
  EXPECT_EQ(where.host, "example.org");
  EXPECT_EQ(where.port, 80);
  EXPECT_EQ(WrongField(where), "");
  EXPECT_EQ(ToString(where), "tcp:example.org:80");
}

TEST(WhereToConnectTest, OfInetAddress) {
  const Inet::Address v6(asio::ip::make_address("::1"), 80);
  EXPECT_EQ(ToString(WhereToConnect<Inet>::OfInetAddress(v6)), "tcp:[::1]:80");
  const Inet::Address v4(asio::ip::make_address("127.0.0.1"), 65535);
  const auto where = WhereToConnect<Inet>::OfInetAddress(v4);
  EXPECT_EQ(ToString(where), "tcp:127.0.0.1:65535");
  EXPECT_EQ(WrongField(where), "");
}

TEST(WhereToConnectTest, OfFileAndUnixAddress) {
  EXPECT_EQ(ToString(WhereToConnect<Unix>::OfFile("/run/x")), "unix:/run/x");
  EXPECT_EQ(WhereToConnect<Unix>::OfUnixAddress(Unix::Address("/run/x")).path,
            "/run/x");
}

TEST(WhereToConnectTest, RefusesWrongFields) {
  for (const int port : {-1, 0, 65536, 70000}) {
    EXPECT_EQ(WrongField(WhereToConnect<Inet>::OfHostAndPort("h", port)),
              "port");
    auto where = WhereToConnect<Inet>::OfHostAndPort("h", 1);
    where.bind_to_port = port;
    EXPECT_EQ(WrongField(where), "bind_to_port");
  }
  const std::string nul("a\0b", 3);
  for (const std::string& host : {std::string(), std::string(254, 'h'), nul}) {
    EXPECT_EQ(WrongField(WhereToConnect<Inet>::OfHostAndPort(host, 1)), "host");
  }
  for (const std::string& path : {std::string(), std::string(108, 'p'), nul}) {
    EXPECT_EQ(WrongField(WhereToConnect<Unix>::OfFile(path)), "path");
    EXPECT_EQ(WrongField(WhereToListen<Unix>::OfFile(path)), "path");
  }
  EXPECT_EQ(WrongField(WhereToConnect<Unix>::OfFile(std::string(107, 'p'))),
            "");
}

TEST(WhereToConnectTest, AnAbstractNameBeginsWithANul) {
  const std::string nul(1, '\0');
  for (const std::string& name :
       {nul + "x", nul + "@", nul + " /", nul + std::string(106, 'n')}) {
    EXPECT_EQ(WrongField(WhereToConnect<Unix>::OfFile(name)), "");
    EXPECT_EQ(WrongField(WhereToListen<Unix>::OfFile(name)), "");
  }
  for (const std::string& name :
       {nul, nul + nul, nul + "a" + nul, nul + std::string(107, 'n')}) {
    EXPECT_EQ(WrongField(WhereToConnect<Unix>::OfFile(name)), "path");
    EXPECT_EQ(WrongField(WhereToListen<Unix>::OfFile(name)), "path");
  }
  EXPECT_EQ(ToString(WhereToConnect<Unix>::OfFile(nul + "x")), "unix:@x");
  EXPECT_EQ(ToString(WhereToListen<Unix>::OfFile("@x")), "unix:./@x");
}

TEST(WhereToListenTest, DualStackIsEveryAddressOfBothFamilies) {
  auto where = WhereToListen<Inet>::OfAddress(asio::ip::address_v6::any(), 0);
  EXPECT_FALSE(IsDualStack(where));
  where.ipv6_only = false;
  EXPECT_TRUE(IsDualStack(where));
  where.address = asio::ip::address_v6::loopback();
  EXPECT_FALSE(IsDualStack(where));
  where.address = asio::ip::address_v4::any();
  EXPECT_FALSE(IsDualStack(where));
}

TEST(WhereToListenTest, Defaults) {
  const auto where = WhereToListen<Inet>::OfPortChosenByOs();
  EXPECT_EQ(where.port, 0);
  EXPECT_TRUE(where.address.is_unspecified());
  EXPECT_TRUE(where.address.is_v4());
  EXPECT_TRUE(where.reuse_address);
  EXPECT_FALSE(where.reuse_port);
  EXPECT_EQ(where.bind_to_interface, "");
  EXPECT_EQ(WrongField(where), "");
  EXPECT_EQ(WhereToListen<Unix>::OfFile("/run/x").mode, 0660);
}

TEST(WhereToListenTest, Text) {
  EXPECT_EQ(ToString(WhereToListen<Inet>::OfPort(80)), "tcp:0.0.0.0:80");
  EXPECT_EQ(ToString(WhereToListen<Inet>::OfLocalhost(0)), "tcp:127.0.0.1:0");
  EXPECT_EQ(ToString(WhereToListen<Inet>::OfAddress(
                asio::ip::make_address("::"), 80)),
            "tcp:[::]:80");
  EXPECT_EQ(ToString(WhereToListen<Unix>::OfFile("/run/x")), "unix:/run/x");
}

TEST(WhereToListenTest, RefusesWrongFields) {
  EXPECT_EQ(WrongField(WhereToListen<Inet>::OfPort(0)), "");
  EXPECT_EQ(WrongField(WhereToListen<Inet>::OfPort(65535)), "");
  for (const int port : {-1, 65536}) {
    EXPECT_EQ(WrongField(WhereToListen<Inet>::OfPort(port)), "port");
  }
  auto where = WhereToListen<Inet>::OfPort(0);
  where.bind_to_interface = std::string(15, 'i');
  EXPECT_EQ(WrongField(where), "");
  where.bind_to_interface = std::string(16, 'i');
  EXPECT_EQ(WrongField(where), "bind_to_interface");
  auto file = WhereToListen<Unix>::OfFile("/run/x");
  for (const int mode : {-1, 01000}) {
    file.mode = mode;
    EXPECT_EQ(WrongField(file), "mode");
  }
}

}  // namespace
}  // namespace portreeve
