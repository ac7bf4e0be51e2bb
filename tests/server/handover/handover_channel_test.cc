#include "server/handover/handover_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "tests/server/handover/handover_pair.h"
#include "tests/testing/descriptors.h"
#include "tests/testing/in_child.h"

namespace portreeve::server {
namespace {

constexpr TimePoint kNow = TimePoint::min();  // Waits for nothing.

Handover Failed(const std::string& reason) {
  Handover message;
  message.mutable_failed()->set_reason(reason);
  return message;
}

Handover Connections(int64_t id) {
  Handover message;
  auto& record = *message.mutable_connections()->add_records();
  record.mutable_connection()->set_bytes_sent(id);
  return message;
}

// As a process sends it that is no daemon.
void SendRaw(int fd, const std::string& bytes, const std::vector<int>& fds) {
  iovec piece = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header = {};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 253)> control{};
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* const part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  ASSERT_EQ(sendmsg(fd, &header, MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

std::string Encoded(Handover message, int64_t number, int num_descriptors) {
  message.set_number(number);
  message.set_num_descriptors(num_descriptors);
  return message.SerializeAsString();
}

ino_t InodeOf(int fd) {
  struct stat file;
  EXPECT_EQ(fstat(fd, &file), 0);
  return file.st_ino;
}

class HandoverChannelTest : public ::testing::Test {
 protected:
  HandoverChannelTest() {
    auto [a, b] = SocketPair();
    raw_a_ = a.get();
    raw_b_ = b.get();
    a_.emplace(*HandoverChannel::Open(std::move(a), clock_));
    b_.emplace(*HandoverChannel::Open(std::move(b), clock_));
  }
  ~HandoverChannelTest() override {
    a_.reset();
    b_.reset();
    EXPECT_EQ(testing::CountDescriptors(), before_);
  }

  ChannelFault FaultAtB() {
    const int before = testing::CountDescriptors();
    const auto packet = b_->Receive(kNow);
    EXPECT_EQ(testing::CountDescriptors(), before) << "one was not closed";
    return FaultOf(packet.status());
  }

  const int before_ = testing::CountDescriptors();
  ImpatientClock clock_;
  std::optional<HandoverChannel> a_;
  std::optional<HandoverChannel> b_;
  int raw_a_ = -1;
  int raw_b_ = -1;
};

TEST_F(HandoverChannelTest, MessagesComeInTheirOrderWithTheirDescriptors) {
  const Descriptor one = MemoryFile("one");
  const Descriptor two = MemoryFile("two");
  ASSERT_TRUE(a_->Send(Failed("first"), {}, kNow).ok());
  ASSERT_TRUE(
      a_->Send(Connections(7), std::array{one.get(), two.get()}, kNow).ok());
  auto packet = b_->Receive(kNow);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->message.failed().reason(), "first");
  EXPECT_TRUE(packet->descriptors.empty());
  packet = b_->Receive(kNow);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->message.number(), 2);
  ASSERT_EQ(packet->descriptors.size(), 2u);
  EXPECT_EQ(InodeOf(packet->descriptors[0].get()), InodeOf(one.get()));
  EXPECT_EQ(InodeOf(packet->descriptors[1].get()), InodeOf(two.get()));
  for (const Descriptor& descriptor : packet->descriptors) {
    EXPECT_EQ(fcntl(descriptor.get(), F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(FaultOf(b_->Receive(kNow).status()), ChannelFault::kTimeout);
}

TEST_F(HandoverChannelTest, TheLargestPacketGoesThrough) {
  const Descriptor file = MemoryFile("x");
  const std::vector<int> most(HandoverChannel::kMaxDescriptors, file.get());
  Handover message = Failed("");
  message.mutable_failed()->set_reason(
      std::string(HandoverChannel::kMaxBytes - 20, 'x'));
  ASSERT_TRUE(a_->Send(message, most, kNow).ok());
  auto packet = b_->Receive(kNow);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->descriptors.size(), most.size());
  EXPECT_EQ(packet->message.failed().reason().size(),
            HandoverChannel::kMaxBytes - 20);

  message.mutable_failed()->set_reason(
      std::string(HandoverChannel::kMaxBytes, 'x'));
  EXPECT_EQ(FaultOf(a_->Send(message, {}, kNow)), ChannelFault::kTooLarge);
  std::vector<int> too_many = most;
  too_many.push_back(file.get());
  EXPECT_EQ(FaultOf(a_->Send(Failed(""), too_many, kNow)),
            ChannelFault::kTooLarge);
  // What was not sent has no number.
  ASSERT_TRUE(a_->Send(Failed("next"), {}, kNow).ok());
  EXPECT_TRUE(b_->Receive(kNow).ok());
}

TEST_F(HandoverChannelTest, AtMostFourAreNotAcknowledged) {
  for (int i = 0; i < HandoverChannel::kWindow; ++i) {
    ASSERT_TRUE(a_->Send(Connections(i), {}, kNow).ok());
  }
  EXPECT_EQ(FaultOf(a_->Send(Connections(4), {}, kNow)),
            ChannelFault::kTimeout);
  // Those that want no acknowledgement are not held up.
  ASSERT_TRUE(a_->Send(Failed("aside"), {}, kNow).ok());
  for (int i = 0; i < HandoverChannel::kWindow; ++i) {
    ASSERT_TRUE(b_->Receive(kNow).ok());
  }
  EXPECT_EQ(a_->num_unacknowledged(), HandoverChannel::kWindow);
  ASSERT_TRUE(a_->Send(Connections(4), {}, kNow).ok());
  EXPECT_EQ(a_->num_unacknowledged(), 1);
  EXPECT_TRUE(b_->Receive(kNow)->message.has_failed());
  EXPECT_EQ(b_->Receive(kNow)
                ->message.connections()
                .records(0)
                .connection()
                .bytes_sent(),
            4);
  EXPECT_EQ(FaultOf(a_->Receive(kNow).status()), ChannelFault::kTimeout);
  EXPECT_EQ(a_->num_unacknowledged(), 0);
}

TEST_F(HandoverChannelTest, AMessageInterruptsWhoWaitsForRoom) {
  for (int i = 0; i < HandoverChannel::kWindow; ++i) {
    ASSERT_TRUE(a_->Send(Connections(i), {}, kNow).ok());
  }
  ASSERT_TRUE(b_->Send(Failed("enough"), {}, kNow).ok());
  const TimePoint later = clock_.Now() + std::chrono::seconds(1);
  EXPECT_EQ(FaultOf(a_->Send(Connections(4), {}, later)),
            ChannelFault::kInterrupted);
  EXPECT_EQ(FaultOf(a_->Send(Connections(4), {}, later)),
            ChannelFault::kInterrupted);
  EXPECT_EQ(a_->Receive(kNow)->message.failed().reason(), "enough");
  EXPECT_LT(clock_.Now(), later) << "nobody had to wait";
  EXPECT_EQ(FaultOf(a_->Send(Connections(4), {}, later)),
            ChannelFault::kTimeout);
  EXPECT_EQ(clock_.Now(), later);
}

TEST_F(HandoverChannelTest, WaitsUntilTheDeadlineForAPeerThatDoesNotRead) {
  const Handover large = Failed(std::string(50'000, 'x'));
  const TimePoint later = clock_.Now() + std::chrono::seconds(1);
  absl::Status status;
  int sent = 0;
  while ((status = a_->Send(large, {}, later)).ok()) ++sent;
  EXPECT_EQ(FaultOf(status), ChannelFault::kTimeout);
  EXPECT_EQ(clock_.Now(), later);
  for (int i = 0; i < sent; ++i) ASSERT_TRUE(b_->Receive(kNow).ok());
  EXPECT_TRUE(a_->Send(Failed("room again"), {}, kNow).ok());
  EXPECT_EQ(b_->Receive(kNow)->message.failed().reason(), "room again");
}

// The acknowledgement is owed until there is room, and then made good.
TEST_F(HandoverChannelTest, AnAcknowledgementWaitsForRoom) {
  ASSERT_TRUE(a_->Send(Connections(1), {}, kNow).ok());
  const Handover large = Failed(std::string(50'000, 'x'));
  int sent = 0;
  while (b_->Send(large, {}, kNow).ok()) ++sent;
  const Handover small = Failed("x");
  while (b_->Send(small, {}, kNow).ok()) ++sent;
  ASSERT_TRUE(b_->Receive(kNow).ok());
  for (int i = 0; i < sent; ++i) ASSERT_TRUE(a_->Receive(kNow).ok());
  EXPECT_EQ(a_->num_unacknowledged(), 1);
  EXPECT_EQ(FaultOf(b_->Receive(kNow).status()), ChannelFault::kTimeout);
  EXPECT_EQ(FaultOf(a_->Receive(kNow).status()), ChannelFault::kTimeout);
  EXPECT_EQ(a_->num_unacknowledged(), 0);
}

TEST_F(HandoverChannelTest, TheEndOfThePeerIsToldAndKillsNobody) {
  ASSERT_TRUE(b_->Send(Failed("last words"), {}, kNow).ok());
  ASSERT_TRUE(a_->Send(Failed("never read"), {}, kNow).ok());
  b_.reset();
  // No SIGPIPE.  The kernel tells once that what was sent is lost, before what
  // the peer has sent.
  EXPECT_EQ(FaultOf(a_->Send(Failed(""), {}, kNow)), ChannelFault::kEnded);
  EXPECT_EQ(a_->Receive(kNow)->message.failed().reason(), "last words");
  EXPECT_EQ(FaultOf(a_->Receive(kNow).status()), ChannelFault::kEnded);
  EXPECT_EQ(FaultOf(a_->Send(Failed(""), {}, kNow)), ChannelFault::kEnded);
  EXPECT_EQ(FaultOf(a_->Receive(kNow).status()), ChannelFault::kEnded);
}

TEST_F(HandoverChannelTest, LastWordsAreReadAlsoWhereBytesWereLost) {
  ASSERT_TRUE(b_->Send(Failed("last words"), {}, kNow).ok());
  ASSERT_TRUE(a_->Send(Failed("never read"), {}, kNow).ok());
  b_.reset();
  const auto packet = a_->Receive(kNow);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->message.failed().reason(), "last words");
}

TEST_F(HandoverChannelTest, WhoRefusesMoreGetsWhatWasSentBefore) {
  ASSERT_TRUE(b_->Send(Failed("before"), {}, kNow).ok());
  a_->RefuseMore();
  EXPECT_EQ(FaultOf(b_->Send(Failed("after"), {}, kNow)), ChannelFault::kEnded);
  EXPECT_EQ(a_->Receive(kNow)->message.failed().reason(), "before");
  EXPECT_EQ(FaultOf(a_->Receive(kNow).status()), ChannelFault::kEnded);
  // The other direction is as it was.
  ASSERT_TRUE(a_->Send(Failed("still"), {}, kNow).ok());
  EXPECT_EQ(b_->Receive(kNow)->message.failed().reason(), "still");
}

TEST_F(HandoverChannelTest, WhatIsWrongIsToldAndNothingIsLeftOpen) {
  const Descriptor file = MemoryFile("x");
  const std::vector<int> three(3, file.get());
  SendRaw(raw_a_, std::string("\xff\xff\xff", 3), three);
  EXPECT_EQ(FaultAtB(), ChannelFault::kMalformed);
  SendRaw(raw_a_, Encoded(Failed("x"), 2, 4), three);
  EXPECT_EQ(FaultAtB(), ChannelFault::kDescriptorCount);
  SendRaw(raw_a_, Encoded(Failed("x"), 3, 2), three);
  EXPECT_EQ(FaultAtB(), ChannelFault::kDescriptorCount);
  SendRaw(raw_a_, Encoded(Failed("x"), 5, 3), three);
  EXPECT_EQ(FaultAtB(), ChannelFault::kOutOfOrder);
  SendRaw(raw_a_, Encoded(Failed("x"), 5, 3), three);
  EXPECT_EQ(FaultAtB(), ChannelFault::kOutOfOrder);
  SendRaw(raw_a_, Encoded(Failed(std::string(70'000, 'x')), 6, 3), three);
  EXPECT_EQ(FaultAtB(), ChannelFault::kCut);
  // Each of them can be followed by what is right.
  SendRaw(raw_a_, Encoded(Failed("right"), 7, 0), {});
  EXPECT_EQ(b_->Receive(kNow)->message.failed().reason(), "right");
}

TEST_F(HandoverChannelTest, AKindOfALaterVersionIsGivenAsNone) {
  Handover message;
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
      99, "of a later version");
  SendRaw(raw_a_, Encoded(message, 1, 0), {});
  EXPECT_EQ(b_->Receive(kNow)->message.kind_case(), Handover::KIND_NOT_SET);
}

TEST_F(HandoverChannelTest, AProcessAtItsLimitLosesDescriptorsAndSaysSo) {
  const Descriptor file = MemoryFile("x");
  const std::vector<int> many(200, file.get());
  ASSERT_TRUE(a_->Send(Connections(1), many, kNow).ok());
  const int before = testing::CountDescriptors();
  ChannelFault fault;
  {
    const testing::FewDescriptors few(20);
    fault = FaultOf(b_->Receive(kNow).status());
  }
  EXPECT_EQ(fault, ChannelFault::kDescriptorsLost);
  EXPECT_EQ(testing::CountDescriptors(), before);
  // It has come all the same, and what follows need not wait.
  EXPECT_EQ(FaultOf(a_->Receive(kNow).status()), ChannelFault::kTimeout);
  EXPECT_EQ(a_->num_unacknowledged(), 0);
  ASSERT_TRUE(a_->Send(Connections(1), many, kNow).ok());
  EXPECT_TRUE(b_->Receive(kNow).ok());
}

// A user who is not root may have about as many on their way as RLIMIT_NOFILE
// says.  Where others of his have taken all that, the error is not waited for.
TEST_F(HandoverChannelTest, MoreThanTheKernelLetsBeOnTheirWayIsAnError) {
  if (geteuid() != 0) GTEST_SKIP() << "it takes another user";
  testing::InChild([] {
    const rlimit limit = {300, 300};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_EQ(setgid(65534), 0);
    ASSERT_EQ(setuid(65534), 0);
    ImpatientClock clock;
    const Descriptor file = MemoryFile("x");
    const std::vector<int> many(200, file.get());
    // Of somebody else, who does not read.
    auto [c, d] = SocketPair();
    auto other = HandoverChannel::Open(std::move(c), clock);
    while (other->Send(Failed(""), many, kNow).ok()) {
    }
    auto [a, b] = SocketPair();
    auto sender = HandoverChannel::Open(std::move(a), clock);
    auto receiver = HandoverChannel::Open(std::move(b), clock);
    const TimePoint later = clock.Now() + std::chrono::seconds(1);
    EXPECT_EQ(FaultOf(sender->Send(Failed(""), many, later)),
              ChannelFault::kSystem);
    EXPECT_LT(clock.Now(), later) << "nothing of ours makes room";
    // Where something of ours is on its way, that is waited for.
    ASSERT_TRUE(sender->Send(Connections(1), {}, kNow).ok());
    EXPECT_EQ(FaultOf(sender->Send(Failed(""), many, later)),
              ChannelFault::kTimeout);
    EXPECT_EQ(clock.Now(), later);
  });
}

TEST_F(HandoverChannelTest, OnlyASeqpacketSocketOfUnixIsTaken) {
  auto [a, b] = SocketPair(SOCK_STREAM);
  EXPECT_FALSE(HandoverChannel::Open(std::move(a)).ok());
  EXPECT_FALSE(HandoverChannel::Open(MemoryFile("x")).ok());
  EXPECT_FALSE(HandoverChannel::Open(Descriptor()).ok());
}

TEST_F(HandoverChannelTest, WhatWasInheritedIsInheritedNoFurther) {
  auto [a, b] = SocketPair();
  ASSERT_EQ(fcntl(a.get(), F_SETFD, 0), 0);
  const auto channel = HandoverChannel::Open(std::move(a));
  ASSERT_TRUE(channel.ok());
  EXPECT_EQ(fcntl(channel->native_handle(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(channel->peer().pid, getpid());
}

// Also where the other one is root, or this one is.
TEST_F(HandoverChannelTest, AProcessOfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "it takes another user";
  const Descriptor listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;  // The kernel chooses an abstract name.
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(sa_family_t)),
            0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(
      getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size),
      0);
  testing::InChild([&] {
    ASSERT_EQ(setuid(65534), 0);
    Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(
        connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(FaultOf(HandoverChannel::Open(std::move(socket)).status()),
              ChannelFault::kNotOurs);
  });
  Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(FaultOf(HandoverChannel::Open(std::move(socket)).status()),
            ChannelFault::kNotOurs);
}

// A signal is no end of a wait.
TEST_F(HandoverChannelTest, ASignalInterruptsNothing) {
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGCHLD, &action, &before), 0);
  auto [a, b] = SocketPair();
  const pid_t child = fork();
  if (child == 0) {
    auto channel = HandoverChannel::Open(std::move(b));
    // It says so once its parent has a child that has ended.
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(0);
    waitpid(grandchild, nullptr, 0);
    kill(getppid(), SIGCHLD);
    const bool sent =
        channel.ok() && channel->Send(Failed("after"), {}, kNow).ok();
    _exit(sent ? 0 : 1);
  }
  b = Descriptor();
  auto channel = HandoverChannel::Open(std::move(a));
  const auto packet = channel->Receive(TimePoint::max());
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->message.failed().reason(), "after");
  EXPECT_EQ(FaultOf(channel->Receive(TimePoint::max()).status()),
            ChannelFault::kEnded);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  sigaction(SIGCHLD, &before, nullptr);
}

}  // namespace
}  // namespace portreeve::server
