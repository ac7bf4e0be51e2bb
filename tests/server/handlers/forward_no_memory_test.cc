// What is known of a connection from one listener of the daemon to another,
// where there is no memory to note it, once, anywhere.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <new>
#include <utility>

#include "lib/base/descriptor.h"
#include "server/handlers/forward_loops.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::GiveMemoryAgain;
using testing::GivenMemory;
using testing::RefuseMemoryAfter;

// Calls `f`, which gets memory `given` times.  False if that was enough.
template <typename F>
bool IsRefused(int given, F&& f) {
  RefuseMemoryAfter(given);
  try {
    f();
  } catch (const std::bad_alloc&) {
  }
  return GiveMemoryAgain();
}

Inet::Address LocalOf(int fd) {
  Inet::Address address;
  auto size = static_cast<socklen_t>(address.capacity());
  EXPECT_EQ(getsockname(fd, address.data(), &size), 0);
  return address;
}

TEST(ForwardNoMemoryTest, WhatCouldNotBeNotedIsForgotten) {
  const Inet::Address any(asio::ip::address_v4::loopback(), 0);
  const Descriptor listening(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(bind(listening.get(), any.data(), any.size()), 0);
  ASSERT_EQ(listen(listening.get(), 128), 0);
  const Inet::Address peer = LocalOf(listening.get());
  ForwardLoops loops;
  const auto id = loops.NewId();
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 100);
    Descriptor fd;
    {
      ForwardTrail trail(loops, id, nullptr);
      refused = IsRefused(given, [&] {
        trail.Connect(peer, [&] {
          const GivenMemory given;
          fd = Descriptor(socket(AF_INET, SOCK_STREAM, 0));
          EXPECT_EQ(connect(fd.get(), peer.data(), peer.size()), 0);
          return fd.get();
        });
      });
      const bool is_known = loops.PassedBy(LocalOf(fd.get()), peer) != nullptr;
      EXPECT_EQ(is_known, loops.has_connections());
      EXPECT_TRUE(is_known || refused);
    }
    EXPECT_FALSE(loops.has_connections());
    EXPECT_EQ(loops.PassedBy(LocalOf(fd.get()), peer), nullptr);
  }
}

TEST(ForwardNoMemoryTest, ANameThatCouldNotBeNotedIsForgotten) {
  ForwardLoops loops;
  const auto id = loops.NewId();
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 100);
    const Descriptor fd(socket(AF_UNIX, SOCK_STREAM, 0));
    {
      ForwardTrail trail(loops, id, nullptr);
      refused =
          IsRefused(given, [&] { EXPECT_EQ(trail.GiveName(fd.get()), 0); });
      EXPECT_TRUE(loops.has_connections() || refused);
    }
    EXPECT_FALSE(loops.has_connections());
  }
}

// A listener that could not be noted is none, and one that was keeps its port.
TEST(ForwardNoMemoryTest, AListenerThatCouldNotBeNotedIsNone) {
  const Inet::Address address(asio::ip::address_v4::loopback(), 7000);
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 100);
    ForwardLoops loops;
    const auto id = loops.NewId();
    refused = IsRefused(given, [&] {
      loops.Open(id, {AnyAddress(address), true,
                      WhereToConnect<Inet>::OfHostAndPort("h", 1)});
    });
    EXPECT_TRUE(loops.HasPort(7000) || refused);
    EXPECT_EQ(loops.HasPort(7000),
              ForwardTrail(loops, id, nullptr).LeadsBack(address, TimePoint()));
    loops.Close(id);
    EXPECT_FALSE(loops.HasPort(7000));
  }
}

}  // namespace
}  // namespace portreeve::server
