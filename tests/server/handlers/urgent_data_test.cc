// Urgent data, and descriptors that come over unix sockets: reads stop there,
// and what follows arrives all the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "tests/server/forward_fixture.h"

namespace portreeve::testing {
namespace {

void SendUrgent(RawClient& client) {
  ASSERT_EQ(send(client.socket().native_handle(), "!", 1, MSG_OOB), 1);
}

// One byte, and a descriptor with it.
void SendDescriptor(RawClient& client, char byte) {
  const Descriptor passed(open("/", O_RDONLY | O_CLOEXEC));
  iovec piece{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = passed.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(sendmsg(client.socket().native_handle(), &message, 0), 1);
}

// Receives `size` bytes that are not urgent.  Where a second urgent byte comes
// before the first was read, the kernel leaves the first among the others.
std::string ReceiveInBand(RawClient& client, size_t size) {
  std::string received;
  while (received.size() < size) {
    const std::string some = client.ReceiveExactly(size - received.size());
    if (some.empty()) break;
    received += some;
    std::erase(received, '!');
  }
  return received;
}

class UrgentDataTest : public ForwardFixture {
 protected:
  // Sends much, an urgent byte and little from `from`, while `to` does not read
  // and the loop runs or does not; then all must have arrived.
  void Carry(RawClient& from, RawClient& to, size_t before, bool settles,
             bool ends) {
    SCOPED_TRACE(std::to_string(before) + (settles ? " settled" : "") +
                 (ends ? " ended" : ""));
    size_t expected = SendAll(from, std::string(before, 'a'), settles);
    SendUrgent(from);
    if (settles) Settle();
    const std::string after(20'000, 'b');
    expected += SendAll(from, after, settles);
    SendUrgent(from);
    expected += SendAll(from, "c", settles);
    if (ends) from.CloseSending();
    const std::string received = ReceiveInBand(to, expected);
    EXPECT_EQ(received.size(), expected);
    EXPECT_EQ(std::count(received.begin(), received.end(), 'b'), 20'000);
    EXPECT_EQ(received.substr(received.size() - 1), "c");
    if (ends) {
      EXPECT_EQ(to.Receive(), "EOF");
    }
  }

  // As much as the daemon takes while nobody reads.
  size_t SendAll(RawClient& from, const std::string& data, bool settles) {
    size_t sent = 0;
    for (int refused = 0; sent < data.size() && refused < 3;) {
      const ssize_t n = send(from.socket().native_handle(), data.data() + sent,
                             data.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      refused = n > 0 ? 0 : refused + 1;
      if (n > 0) sent += static_cast<size_t>(n);
      if (settles || n <= 0) Settle();
    }
    return sent;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, UrgentDataTest,
                         ::testing::ValuesIn(kForwardKinds), NameOfKind);

constexpr size_t kSizes[] = {0, 1, 3'000, 30'000, 100'000};

TEST_P(UrgentDataTest, OfTheClientLosesNothingBehindIt) {
  for (const size_t size : kSizes) {
    for (const bool settles : {false, true}) {
      for (const bool ends : {false, true}) {
        RawClient client = Through();
        Carry(client, *upstream_, size, settles, ends);
      }
    }
  }
}

TEST_P(UrgentDataTest, OfTheUpstreamLosesNothingBehindIt) {
  for (const size_t size : kSizes) {
    for (const bool settles : {false, true}) {
      for (const bool ends : {false, true}) {
        RawClient client = Through();
        Carry(*upstream_, client, size, settles, ends);
      }
    }
  }
}

// After epoll was asked, and before the pipe is filled: splice(2) then gives 0,
// as at the end of a file.
TEST_P(UrgentDataTest, AndAnEndThatComeInTheMidstOfARound) {
  RawClient client = Through();
  const std::string much(200'000, 'x');
  client.Send(much);
  ASSERT_EQ(upstream_->ReceiveExactly(much.size()), much);
  RoundHook hook(Poller::Of(loop()), [&client] {
    client.Send(std::string(64'000, 'y'));
    SendUrgent(client);
    client.Send("behind");
    client.CloseSending();
  });
  hook.Ready();
  client.Send("z");
  const std::string received = ReceiveInBand(*upstream_, 64'007);
  EXPECT_EQ(received.size(), 64'007u);
  EXPECT_EQ(received.substr(received.size() - 6), "behind");
  EXPECT_EQ(upstream_->Receive(), "EOF");
}

class UrgentToHandlersTest : public HandlersFixture {
 protected:
  // Two urgent bytes in what the daemon has not read yet, and behind them.
  static void SendMarked(RawClient& client) {
    client.Send("one");
    SendUrgent(client);
    client.Send("two");
    SendUrgent(client);
    client.Send("three");
  }
};

TEST_F(UrgentToHandlersTest, EchoSendsBackAllButTheUrgentBytes) {
  for (AnyServer* server :
       {&Serve(server::EchoHandler()), &ServeUnix(server::EchoHandler())}) {
    RawClient client = ClientOf(*server);
    SendMarked(client);
    EXPECT_EQ(ReceiveInBand(client, 11), "onetwothree");
    client.CloseSending();
    EXPECT_EQ(client.Receive(), "EOF");
  }
}

TEST_F(UrgentToHandlersTest, DiscardReadsBehindThem) {
  for (AnyServer* server : {&Serve(server::DiscardHandler()),
                            &ServeUnix(server::DiscardHandler())}) {
    RawClient client = ClientOf(*server);
    SendMarked(client);
    RunUntil([&] { return server->bytes_received_total() >= 11; });
    client.CloseSending();
    EXPECT_EQ(client.Receive(), "EOF");
  }
}

TEST_F(UrgentToHandlersTest, DescriptorsStopNothing) {
  for (const bool echo : {true, false}) {
    AnyServer& server =
        ServeUnix(echo ? server::EchoHandler() : server::DiscardHandler());
    RawClient client = ClientOf(server);
    for (const char byte : std::string("abc")) SendDescriptor(client, byte);
    client.Send("d");
    RunUntil([&] { return server.bytes_received_total() == 4; });
    if (echo) {
      EXPECT_EQ(client.ReceiveExactly(4), "abcd");
    }
  }
}

class DescriptorsToForwardTest : public ForwardFixture {};
INSTANTIATE_TEST_SUITE_P(Unix, DescriptorsToForwardTest,
                         ::testing::ValuesIn(kWithUnixSides), NameOfKind);

TEST_P(DescriptorsToForwardTest, StopNothing) {
  RawClient client = Through();
  RawClient& from = GetParam().unix_client ? client : *upstream_;
  RawClient& to = GetParam().unix_client ? *upstream_ : client;
  for (const char byte : std::string("abc")) SendDescriptor(from, byte);
  from.Send("d");
  EXPECT_EQ(to.ReceiveExactly(4), "abcd");
}

}  // namespace
}  // namespace portreeve::testing
