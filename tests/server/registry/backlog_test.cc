// The backlog of a listener that names none: clients that come all at once.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <vector>

#include "lib/base/descriptor.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

constexpr int kClients = 1000;

int SoMaxConn() {
  int value = 0;
  std::ifstream("/proc/sys/net/core/somaxconn") >> value;
  return value;
}

// Makes room for the clients, which are this process, too.
bool HasDescriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > kClients + 100;
}

// Begins to connect to the port, and does not wait.
Descriptor BeginConnect(int port) {
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const Inet::Address peer(asio::ip::address_v4::loopback(),
                           static_cast<uint16_t>(port));
  const int result =
      connect(fd.get(), peer.data(), static_cast<socklen_t>(peer.size()));
  EXPECT_TRUE(result == 0 || errno == EINPROGRESS);
  return fd;
}

// Gives whether it is connected, and how often it had to ask for that.
struct Connected {
  bool is_connected = false;
  int retransmits = 0;
};
Connected AwaitConnected(int fd) {
  constexpr int kMostMs = 20'000;
  pollfd state{fd, POLLOUT, 0};
  if (poll(&state, 1, kMostMs) != 1) return {};
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return {info.tcpi_state == TCP_ESTABLISHED,
          static_cast<int>(info.tcpi_total_retrans)};
}

class BacklogTest : public RegistryTest {};

// The loop does not run, so that nothing is accepted.
TEST_F(BacklogTest, AThousandClientsAreConnectedAtOnceBeforeAnyIsAccepted) {
  if (SoMaxConn() < kClients) GTEST_SKIP() << "net.core.somaxconn is less";
  if (!HasDescriptors()) GTEST_SKIP() << "the limit of descriptors is less";
  const v1::Listener listener = Create("web");
  std::vector<Descriptor> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(
        BeginConnect(listener.status().listening_on().inet().port()));
  }
  for (const Descriptor& client : clients) {
    const Connected connected = AwaitConnected(client.get());
    ASSERT_TRUE(connected.is_connected);
    ASSERT_EQ(connected.retransmits, 0);
  }
}

TEST_F(BacklogTest, WhatTheKernelCutsItToIsTold) {
  const v1::Listener listener = Create("web");
  EXPECT_EQ(listener.spec().max_pending_connections(), 4096);
  EXPECT_EQ(listener.status().effective_backlog(), std::min(4096, SoMaxConn()));
  v1::CreateListenerRequest request = Request("more");
  request.mutable_spec()->set_max_pending_connections(INT32_MAX);
  const auto more = TryCreate(request);
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->status().effective_backlog(), SoMaxConn());
}

}  // namespace
}  // namespace portreeve::server
