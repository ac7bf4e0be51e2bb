// A socket that lingers where each recv(2) throws away little of what there is.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "lib/net/lingering_socket.h"
#include "tests/testing/loop_fixture.h"

namespace {

size_t most_thrown_away = 1 << 30;

}  // namespace

// Of the process, whoever calls it.
extern "C" ssize_t RecvOfThisTest(int fd, void* data, size_t size,
                                  int flags) __asm__("recv");
extern "C" ssize_t RecvOfThisTest(int fd, void* data, size_t size, int flags) {
  if ((flags & MSG_TRUNC) != 0) size = std::min(size, most_thrown_away);
  return syscall(SYS_recvfrom, fd, data, size, flags, nullptr, nullptr);
}

namespace portreeve::testing {
namespace {

class LingeringStepsTest : public LoopFixture, private LingeringSocket::Owner {
 protected:
  LingeringStepsTest() {
    const Descriptor listener(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener.get(), any, size), 0);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    EXPECT_EQ(getsockname(listener.get(), any, &size), 0);
    peer_ = Descriptor(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(connect(peer_.get(), any, size), 0);
    ours_ =
        Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  }
  ~LingeringStepsTest() override { most_thrown_away = 1 << 30; }

  void Linger() {
    const CloseStep begun = BeginCloseOfTcp(ours_.get(), 0);
    ASSERT_EQ(begun, CloseStep::kLingerAfterInput);
    lingering_.emplace(Poller::Of(loop()), time(),
                       static_cast<LingeringSocket::Owner&>(*this),
                       std::move(ours_), LingeringSocket::Registered{}, begun,
                       time().Now() + std::chrono::seconds(30));
  }

  Descriptor ours_;
  Descriptor peer_;
  std::optional<LingeringSocket> lingering_;
  std::optional<LingerPolicy::End> end_;

 private:
  void OnLingeringEnded(Descriptor fd, const LingerResult& result) override {
    end_ = result.end;
    lingering_.reset();
    fd = Descriptor();
  }
};

// However many steps that takes, and though nobody tells of it again.
TEST_F(LingeringStepsTest, AllThatIsThereIsThrownAwayWithoutAWait) {
  // So that what was sent to the peer is not acknowledged before.
  const std::string block(65536, 'x');
  while (send(ours_.get(), block.data(), block.size(), 0) > 0) {
  }
  const std::string much(1000, 'x');
  ASSERT_EQ(send(peer_.get(), much.data(), much.size(), 0), 1000);
  shutdown(peer_.get(), SHUT_WR);
  most_thrown_away = 1;
  ASSERT_NO_FATAL_FAILURE(Linger());
  Settle();
  EXPECT_EQ(end_, LingerPolicy::End::kPeerEnded);
  lingering_.reset();
}

}  // namespace
}  // namespace portreeve::testing
