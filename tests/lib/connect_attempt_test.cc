// Whether a connection could meet itself.
#include "lib/connect_attempt.h"

#include <gtest/gtest.h>

#include <fstream>

namespace portreeve {
namespace {

TEST(MayConnectToItselfTest, OnlyWhereTheKernelMayChooseThePort) {
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  int first = 0;
  int last = 0;
  ASSERT_TRUE(range >> first >> last);
  const auto may = [](const char* host, int port) {
    return MayConnectToItself(Inet::Address(asio::ip::make_address(host),
                                            static_cast<uint16_t>(port)));
  };
  for (const char* host : {"127.0.0.1", "::1", "192.0.2.1"}) {
    EXPECT_TRUE(may(host, first));
    EXPECT_TRUE(may(host, last));
    EXPECT_EQ(may(host, 1), first == 1);
    EXPECT_FALSE(may(host, first - 1));
    EXPECT_EQ(may(host, 65535), last == 65535);
  }
}

}  // namespace
}  // namespace portreeve
