// What is taken for a socket to listen on, or to connect, and what is refused.
#include "lib/net/given_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "lib/base/status.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

using Use = GivenSocket::Use;

constexpr Use kUses[] = {Use::kListen, Use::kConnect};

const Inet::Address kLoopback4(asio::ip::address_v4::loopback(), 0);
const Inet::Address kLoopback6(asio::ip::address_v6::loopback(), 0);

// What is said of `socket`, which stays as it was for those who have a copy.
template <AddressKind A>
absl::Status ErrorOf(Descriptor socket, Use use) {
  const Descriptor copy = CopyOf(socket);
  const int before = fcntl(copy.get(), F_GETFL);
  const bool was_listening = IsListening(copy);
  const auto given = GivenSocket::Check<A>(std::move(socket), use);
  EXPECT_EQ(fcntl(copy.get(), F_GETFL), before);
  EXPECT_EQ(IsListening(copy), was_listening);
  if (given.ok()) return absl::OkStatus();
  EXPECT_EQ(given.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(given.status()).field, "socket");
  return given.status();
}
template <AddressKind A>
std::string TextOf(Descriptor socket, Use use) {
  return std::string(ErrorOf<A>(std::move(socket), use).message());
}

// One that `listening` has in its backlog.
Descriptor ConnectedTo(const Descriptor& listening) {
  const auto address = std::get<Inet::Address>(LocalAddressOf(listening));
  Descriptor fd = NewSocket(AF_INET);
  EXPECT_EQ(
      connect(fd.get(), address.data(), static_cast<socklen_t>(address.size())),
      0);
  return fd;
}

TEST(GivenSocketTest, TakesWhatIsNotBound) {
  for (const Use use : kUses) {
    for (const int family : {AF_INET, AF_INET6}) {
      const auto given = GivenSocket::Check<Inet>(NewSocket(family), use);
      ASSERT_TRUE(given.ok()) << given.status();
      EXPECT_EQ(given->family(), family);
      EXPECT_FALSE(given->is_bound());
      EXPECT_FALSE(given->is_listening());
    }
    const auto given = GivenSocket::Check<Unix>(NewSocket(AF_UNIX), use);
    ASSERT_TRUE(given.ok()) << given.status();
    EXPECT_EQ(given->family(), AF_UNIX);
    EXPECT_FALSE(given->is_bound());
  }
}

TEST(GivenSocketTest, TakesWhatIsBound) {
  const Unix::Address name(std::string(1, '\0') + "portreeve-given-" +
                           std::to_string(getpid()));
  for (const Use use : kUses) {
    for (const auto& address : {kLoopback4, kLoopback6}) {
      Descriptor fd = BoundSocket(address);
      const AnyAddress local = LocalAddressOf(fd);
      const auto given = GivenSocket::Check<Inet>(std::move(fd), use);
      ASSERT_TRUE(given.ok()) << given.status();
      EXPECT_TRUE(given->is_bound());
      EXPECT_EQ(given->address(), local);
    }
    const auto given = GivenSocket::Check<Unix>(BoundSocket(name), use);
    ASSERT_TRUE(given.ok()) << given.status();
    EXPECT_TRUE(given->is_bound());
    EXPECT_EQ(given->address(), AnyAddress(name));
  }
}

// As IP_BIND_ADDRESS_NO_PORT makes it.
TEST(GivenSocketTest, AnAddressWithoutAPortIsBound) {
  Descriptor fd = NewSocket(AF_INET);
  const int on = 1;
  ASSERT_EQ(
      setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on),
      0);
  ASSERT_EQ(bind(fd.get(), kLoopback4.data(),
                 static_cast<socklen_t>(kLoopback4.size())),
            0);
  const auto given = GivenSocket::Check<Inet>(std::move(fd), Use::kConnect);
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_TRUE(given->is_bound());
}

TEST(GivenSocketTest, OneThatListensIsForAServerOnly) {
  const auto given =
      GivenSocket::Check<Inet>(ListeningSocketAt(kLoopback4, 1), Use::kListen);
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_TRUE(given->is_listening());
  EXPECT_TRUE(given->is_bound());
  EXPECT_EQ(TextOf<Inet>(ListeningSocketAt(kLoopback4, 1), Use::kConnect),
            "socket: must not be listening, but is");
}

TEST(GivenSocketTest, TheKindIsThatOfTheAddress) {
  for (const Use use : kUses) {
    EXPECT_EQ(TextOf<Inet>(NewSocket(AF_UNIX), use),
              "socket: must be an inet socket, but is a unix one");
    EXPECT_EQ(TextOf<Unix>(NewSocket(AF_INET), use),
              "socket: must be a unix socket, but is an IPv4 one");
    EXPECT_EQ(TextOf<Unix>(NewSocket(AF_INET6), use),
              "socket: must be a unix socket, but is an IPv6 one");
    EXPECT_EQ(TextOf<Inet>(NewSocket(AF_NETLINK, SOCK_DGRAM), use),
              "socket: must be an inet socket, but is a (family 16) one");
  }
}

TEST(GivenSocketTest, TheTypeIsThatOfAStream) {
  for (const Use use : kUses) {
    for (const int family : {AF_INET, AF_INET6}) {
      EXPECT_EQ(TextOf<Inet>(NewSocket(family, SOCK_DGRAM), use),
                "socket: must be a stream socket, but is a datagram one");
    }
    EXPECT_EQ(TextOf<Unix>(NewSocket(AF_UNIX, SOCK_DGRAM), use),
              "socket: must be a stream socket, but is a datagram one");
    EXPECT_EQ(TextOf<Unix>(NewSocket(AF_UNIX, SOCK_SEQPACKET), use),
              "socket: must be a stream socket, but is a seqpacket one");
  }
}

// Multipath TCP is the one other protocol of such sockets that may be here.
TEST(GivenSocketTest, TheProtocolIsTcp) {
  Descriptor fd = NewSocket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (!fd.is_open()) GTEST_SKIP() << "no such protocol";
  EXPECT_EQ(TextOf<Inet>(std::move(fd), Use::kListen),
            "socket: must be a TCP socket, but is one of protocol 262");
}

TEST(GivenSocketTest, OneThatIsConnectedIsRefused) {
  const Descriptor listening = ListeningSocketAt(kLoopback4, 5);
  for (const Use use : kUses) {
    EXPECT_EQ(TextOf<Inet>(ConnectedTo(listening), use),
              "socket: must not be connected, but is");
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const Descriptor other(ends[1]);
    EXPECT_EQ(TextOf<Unix>(Descriptor(ends[0]), use),
              "socket: must not be connected, but is");
  }
}

TEST(GivenSocketTest, OneThatIsConnectingIsRefused) {
  // Nobody answers: the backlog is full.
  const Descriptor listening = ListeningSocketAt(kLoopback4, 0);
  const auto address = std::get<Inet::Address>(LocalAddressOf(listening));
  const auto begin = [&] {
    Descriptor fd = NewSocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    EXPECT_NE(connect(fd.get(), address.data(),
                      static_cast<socklen_t>(address.size())),
              0);
    EXPECT_EQ(errno, EINPROGRESS);
    return fd;
  };
  const Descriptor first = begin();
  const Descriptor second = begin();
  EXPECT_EQ(TextOf<Inet>(begin(), Use::kConnect),
            "socket: must not be connected, but is");
}

TEST(GivenSocketTest, WhatIsNoSocketIsRefused) {
  char name[] = "/tmp/portreeve_test_XXXXXX";
  const int file = mkstemp(name);
  unlink(name);
  for (const Use use : kUses) {
    const absl::Status error = ErrorOf<Inet>(Descriptor(dup(file)), use);
    EXPECT_EQ(error.message(),
              "socket: must be a socket, but is something else");
    EXPECT_EQ(DetailOf(error).reason, Reason::kNotASocket);
    EXPECT_EQ(DetailOf(error).error_number, ENOTSOCK);
  }
  close(file);
}

TEST(GivenSocketTest, WhatIsNotOpenIsRefusedAndLeftAlone) {
  for (const Use use : kUses) {
    const auto none = GivenSocket::Check<Inet>(Descriptor(), use);
    EXPECT_EQ(none.status().message(), "socket: must be an open descriptor");
    EXPECT_EQ(DetailOf(none.status()).reason, Reason::kInvalidField);
    EXPECT_EQ(DetailOf(none.status()).error_number, EBADF);
    Descriptor fd = NewSocket(AF_UNIX);
    const int number = fd.get();
    close(fd.Release());
    const auto closed = GivenSocket::Check<Inet>(Descriptor(number), use);
    EXPECT_EQ(DetailOf(closed.status()).error_number, EBADF);
  }
}

TEST(GivenSocketTest, OneThatIsTakenIsNonBlockingAndCloseOnExec) {
  Descriptor fd = NewSocket(AF_INET);
  const Descriptor copy = CopyOf(fd);
  auto given = GivenSocket::Check<Inet>(std::move(fd), Use::kListen);
  ASSERT_TRUE(given.ok());
  EXPECT_FALSE(IsNonBlocking(copy));
  const auto taken = std::move(*given).Take();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_TRUE(IsNonBlocking(*taken));
  EXPECT_EQ(fcntl(taken->get(), F_GETFD), FD_CLOEXEC);
  // The flag of the copy is its own.
  EXPECT_EQ(fcntl(copy.get(), F_GETFD), 0);
}

TEST(GivenSocketTest, TheFamilyIsThatOfAnAddress) {
  const auto given =
      GivenSocket::Check<Inet>(NewSocket(AF_INET6), Use::kListen);
  ASSERT_TRUE(given.ok());
  EXPECT_TRUE(given->CheckFamilyOf(kLoopback6).ok());
  const absl::Status error = given->CheckFamilyOf(kLoopback4);
  EXPECT_EQ(error.message(),
            "socket: must be an IPv4 socket for tcp:127.0.0.1:0, but is an "
            "IPv6 one");
  EXPECT_EQ(DetailOf(error).field, "socket");
}

}  // namespace
}  // namespace portreeve::testing
