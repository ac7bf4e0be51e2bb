// A unix upstream whose backlog is full: busy, and not unreachable.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "lib/descriptor.h"
#include "server/handlers.h"
#include "tests/server/handlers_fixture.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;

// Listens at a path, with a backlog that is full.
class FullListener {
 public:
  explicit FullListener(const std::string& path) : path_(path) {
    listening_ = NewSocket();
    if (bind(listening_.get(), address_.data(),
             static_cast<socklen_t>(address_.size())) != 0 ||
        listen(listening_.get(), 0) != 0) {
      std::abort();
    }
    // Until the kernel takes no more.
    do {
      fillers_.push_back(NewSocket());
    } while (connect(fillers_.back().get(), address_.data(),
                     static_cast<socklen_t>(address_.size())) == 0);
    fillers_.pop_back();
  }

  // The oldest that waits.
  Descriptor Accept() {
    return Descriptor(accept4(listening_.get(), nullptr, nullptr,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  size_t num_fillers() const { return fillers_.size(); }
  void Close() { listening_ = Descriptor(); }

 private:
  static Descriptor NewSocket() {
    return Descriptor(
        socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  const std::string path_;
  Unix::Address address_{path_};
  Descriptor listening_;
  std::vector<Descriptor> fillers_;
};

class BusyUpstreamTest : public HandlersFixture {
 protected:
  // A client whose connection has found the backlog full.
  RawClient Forward(const std::string& path, Duration timeout) {
    server::ForwardOptions options;
    options.upstream = WhereToConnect<Unix>::OfFile(path);
    options.connect_timeout = timeout;
    AnyServer& server = Serve(server::ForwardHandler(std::move(options)));
    RawClient client = ClientOf(server);
    RunUntil([&] { return server.num_connections() == 1; });
    Settle();
    return client;
  }
};

TEST_F(BusyUpstreamTest, IsTriedAgain) {
  FullListener listener(NewFile());
  RawClient client = Forward(LastFile(), milliseconds(10'000));
  EXPECT_EQ(client.Peek(), "nothing");
  client.Send("up");
  time().Advance(milliseconds(500));
  Settle();
  EXPECT_EQ(client.Peek(), "nothing");
  std::vector<Descriptor> accepted;
  for (size_t i = 0; i < listener.num_fillers(); ++i) {
    accepted.push_back(listener.Accept());
  }
  // Whatever it waits for, it is no longer than that.
  time().Advance(milliseconds(100));
  Settle();
  const Descriptor upstream = listener.Accept();
  ASSERT_TRUE(upstream.is_open());
  char bytes[3];
  RunUntil([&] { return recv(upstream.get(), bytes, 3, MSG_PEEK) == 2; });
}

TEST_F(BusyUpstreamTest, IsGivenUpAtTheTimeout) {
  for (const auto timeout : {milliseconds(300), milliseconds(5000)}) {
    FullListener listener(NewFile());
    RawClient client = Forward(LastFile(), timeout);
    time().Advance(timeout - milliseconds(1));
    Settle();
    EXPECT_EQ(client.Peek(), "nothing");
    time().Advance(milliseconds(1));
    EXPECT_EQ(client.Receive(), "ECONNRESET");
    EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kUpstreamUnreachable);
  }
}

TEST_F(BusyUpstreamTest, MayGoMeanwhile) {
  FullListener listener(NewFile());
  RawClient client = Forward(LastFile(), milliseconds(5000));
  listener.Close();
  time().Advance(milliseconds(100));
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kUpstreamUnreachable);
}

TEST_F(BusyUpstreamTest, AClientThatResetsIsGoneAtOnce) {
  FullListener listener(NewFile());
  RawClient client = Forward(LastFile(), milliseconds(5000));
  client.Reset();
  EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kPeerReset);
}

}  // namespace
}  // namespace portreeve::testing
