// A unix upstream whose backlog is full: busy, and not unreachable.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "lib/base/status.h"
#include "server/handlers/handlers.h"
#include "tests/server/handlers_fixture.h"
#include "tests/testing/full_unix_listener.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;

class BusyUpstreamTest : public HandlersFixture {
 protected:
  // A client whose connection has found the backlog full.
  RawClient Forward(const std::string& path, Duration timeout) {
    server::ForwardOptions options;
    options.upstream = WhereToConnect<Unix>::OfFile(path);
    options.connect_timeout = timeout;
    options.on_unreached = [this](int64_t, const absl::Status& why,
                                  std::shared_ptr<const AnyAddress> tried) {
      unreached_ =
          absl::StrCat(ReasonName(DetailOf(why).reason), " ", why.message());
      ASSERT_NE(tried, nullptr);
      EXPECT_EQ(*tried, AnyAddress(Unix::Address(LastFile())));
    };
    AnyServer& server = Serve(server::ForwardHandler(std::move(options)));
    RawClient client = ClientOf(server);
    RunUntil([&] { return server.num_connections() == 1; });
    Settle();
    return client;
  }

  std::string unreached_;  // "REASON MESSAGE".
};

TEST_F(BusyUpstreamTest, IsTriedAgain) {
  FullUnixListener listener(NewFile());
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
    FullUnixListener listener(NewFile());
    RawClient client = Forward(LastFile(), timeout);
    time().Advance(timeout - milliseconds(1));
    Settle();
    EXPECT_EQ(client.Peek(), "nothing");
    time().Advance(milliseconds(1));
    EXPECT_EQ(client.Receive(), "ECONNRESET");
    EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kUpstreamUnreachable);
    EXPECT_EQ(unreached_, "CONNECT_TIMEOUT connection attempt timeout unix:" +
                              LastFile() + ": the backlog is full");
  }
}

TEST_F(BusyUpstreamTest, MayGoMeanwhile) {
  FullUnixListener listener(NewFile());
  RawClient client = Forward(LastFile(), milliseconds(5000));
  listener.Close();
  time().Advance(milliseconds(100));
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kUpstreamUnreachable);
  EXPECT_EQ(unreached_, "CONNECT_REFUSED connect unix:" + LastFile() +
                            ": Connection refused");
}

TEST_F(BusyUpstreamTest, AClientThatResetsIsGoneAtOnce) {
  FullUnixListener listener(NewFile());
  RawClient client = Forward(LastFile(), milliseconds(5000));
  client.Reset();
  EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kPeerReset);
}

}  // namespace
}  // namespace portreeve::testing
