// One direction of bytes, from step to step.
#include "server/handlers/pump.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "lib/net/close_socket.h"

namespace portreeve::server {
namespace {

// Two ends of a connection of TCP.
struct Connected {
  Connected() {
    const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener.get(), generic, size), 0);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    EXPECT_EQ(getsockname(listener.get(), generic, &size), 0);
    peers = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(peers.get(), generic, size), 0);
    ours = Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(ours.is_open());
    fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  }

  // Returns once it has arrived.
  void ResetByPeer() {
    MakeCloseReset(peers.get());
    peers = Descriptor();
    pollfd error{ours.get(), 0, 0};
    EXPECT_EQ(poll(&error, 1, -1), 1);
  }

  Descriptor ours;
  Descriptor peers;
};

class PumpTest : public ::testing::Test, private Outbox::Sender {
 protected:
  Pump::State Run(Pump& pump) { return RunTo(target_, pump); }
  Pump::State RunTo(const Connected& target, Pump& pump) {
    return pump.Run(Lane::Of(loop_), source_.ours.get(), target.ours.get(),
                    *this);
  }

  asio::io_context loop_;
  Connected source_;
  Connected target_;

 private:
  void OnSent(ssize_t, std::string_view, int) override {}
};

// Nobody has told of the error but recv(2), which takes it from the socket.
TEST_F(PumpTest, ASourceThatHasFailedDoesNotEndAtTheNextLook) {
  Pump pump;
  source_.ResetByPeer();
  pump.NoteSource(EPOLLIN);
  EXPECT_EQ(Run(pump), Pump::State::kSourceFailed);
  EXPECT_EQ(Run(pump), Pump::State::kSourceFailed);
  EXPECT_FALSE(pump.met_eof());
}

// For the other direction, which receives from it: so much is not sent through
// the outbox.
TEST_F(PumpTest, ATargetThatHasFailedIsKnownToHave) {
  Pump pump;
  const std::string bulk(Outbox::kMostBytes, 'x');
  ASSERT_EQ(send(source_.peers.get(), bulk.data(), bulk.size(), 0),
            static_cast<ssize_t>(bulk.size()));
  target_.ResetByPeer();
  pump.NoteSource(EPOLLIN);
  EXPECT_FALSE(pump.target_failed());
  EXPECT_EQ(Run(pump), Pump::State::kTargetFailed);
  EXPECT_TRUE(pump.target_failed());
  EXPECT_EQ(Run(pump), Pump::State::kTargetFailed);
}

// By a signal: that is no failure of the target.
TEST_F(PumpTest, ASendThatWasInterruptedIsTriedAgain) {
  Pump pump;
  Lane& lane = Lane::Of(loop_);
  // What the outbox does send goes elsewhere.
  const Connected elsewhere;
  ASSERT_EQ(send(source_.peers.get(), "hello", 5, 0), 5);
  pump.NoteSource(EPOLLIN);
  lane.outbox().Begin();
  EXPECT_EQ(RunTo(elsewhere, pump), Pump::State::kSending);
  lane.outbox().End();
  EXPECT_TRUE(pump.OnSent(lane, -EINTR, "hello"));
  EXPECT_FALSE(pump.target_failed());
  EXPECT_EQ(pump.held(), 5u);
  EXPECT_EQ(Run(pump), Pump::State::kAwaitsSource);
  EXPECT_EQ(pump.sent(), 5);
  char received[8];
  EXPECT_EQ(recv(target_.peers.get(), received, sizeof received, 0), 5);
  EXPECT_EQ(std::string_view(received, 5), "hello");
}

}  // namespace
}  // namespace portreeve::server
