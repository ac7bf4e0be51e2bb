// Whether a connection could meet itself, and which file one goes to.
#include "lib/connect/connect_attempt.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "lib/base/status.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/unix_listener.h"

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

TEST(ConnectToFileTest, AnOpenFileIsConnectedToWhateverIsAtThePath) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.File("s");
  const testing::UnixListener first(path);
  const Descriptor file(open(path.c_str(), O_PATH | O_CLOEXEC));
  ASSERT_EQ(rename(path.c_str(), folder.File("moved").c_str()), 0);
  const testing::UnixListener second(path);
  EXPECT_TRUE(OpenAndConnect(Unix::Address(path), file).ok());
  EXPECT_TRUE(first.TakeClient());
  EXPECT_FALSE(second.TakeClient());
  EXPECT_TRUE(OpenAndConnect(Unix::Address(path), Descriptor()).ok());
  EXPECT_TRUE(second.TakeClient());
  ASSERT_EQ(unlink(folder.File("moved").c_str()), 0);
  EXPECT_TRUE(OpenAndConnect(Unix::Address(path), file).ok());
  EXPECT_TRUE(first.TakeClient());
}

// A number that is no descriptor's has no name in /proc either.
TEST(ConnectToFileTest, WithoutProcItSaysSo) {
  Descriptor none(1'000'000);
  const auto connected = OpenAndConnect(Unix::Address("/x"), none);
  none.Release();
  EXPECT_EQ(connected.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(connected.status().message(),
            "connect unix:/x: /proc is not mounted, by which a file that was "
            "checked is connected to");
}

TEST(ConnectToFileTest, IsPreparedBefore) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.File("s");
  const testing::UnixListener listener(path);
  int prepared = -1;
  const auto connected =
      OpenAndConnect(Unix::Address(path), Descriptor(), [&](int fd) {
        EXPECT_FALSE(listener.TakeClient());
        prepared = fd;
        return 0;
      });
  ASSERT_TRUE(connected.ok()) << connected.status();
  EXPECT_EQ(connected->get(), prepared);
  EXPECT_TRUE(listener.TakeClient());
  const auto failed = OpenAndConnect(Unix::Address(path), Descriptor(),
                                     [](int) { return EADDRINUSE; });
  EXPECT_EQ(DetailOf(failed.status()).reason, Reason::kAddressInUse);
  EXPECT_FALSE(listener.TakeClient());
}

}  // namespace
}  // namespace portreeve
