// An acceptor whose owner does nothing but take note.
#include "lib/serve/acceptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/loop_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class Noter final : public Acceptor::Owner {
 public:
  std::vector<std::string> broken;
  int num_idle = 0;

 private:
  void OnClient(Descriptor, const AnyAddress&) override {
    ADD_FAILURE() << "there is none";
  }
  void OnLimitReached(int) override {}
  void OnAcceptFailed(int, int64_t) override {}
  void OnBroken(absl::Status error) override {
    broken.emplace_back(error.message());
  }
  void OnIdle() override { ++num_idle; }
};

class AcceptorTest : public LoopFixture {
 protected:
  template <AddressKind A>
  void Start(const WhereToListen<A>& where) {
    auto socket = ListeningSocket::Open(executor(), where, 1);
    ASSERT_TRUE(socket.ok()) << socket.status();
    acceptor_.emplace(owner_, executor(), *std::move(socket),
                      AcceptPolicy::Limits{1, 1}, nullptr, 1);
    EXPECT_EQ(acceptor_->Start(), 0);
  }

  // Runs what is ready, and fails the test where that does not come to an end.
  void SettleSoon() {
    constexpr int kMostHandlers = 1000;
    int count = 0;
    loop().restart();
    while (count < kMostHandlers && loop().poll_one() > 0) ++count;
    EXPECT_LT(count, kMostHandlers);
  }

  // That the owner is told once of a socket that was shut down, and that the
  // loop has nothing to do then, though the owner leaves the socket open.
  void ExpectBrokenOnce() {
    SettleSoon();
    EXPECT_EQ(shutdown(acceptor_->socket().native_handle(), SHUT_RDWR), 0);
    SettleSoon();
    EXPECT_EQ(owner_.broken.size(), 1u);
    acceptor_->Pump();
    acceptor_->SetEnabled(false);
    acceptor_->SetEnabled(true);
    SettleSoon();
    EXPECT_EQ(owner_.broken.size(), 1u);
    EXPECT_EQ(owner_.num_idle, 0);
    EXPECT_TRUE(acceptor_->socket().is_open());
    acceptor_->Close();
    EXPECT_EQ(owner_.num_idle, 1);
  }

  Noter owner_;
  TemporaryFolder folder_;
  std::optional<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, AnInetSocketThatWasShutDownIsToldOnce) {
  Start(WhereToListen<Inet>::OfLocalhost(0));
  ExpectBrokenOnce();
}

TEST_F(AcceptorTest, AUnixSocketThatWasShutDownIsToldOnce) {
  Start(WhereToListen<Unix>::OfFile(folder_.File("socket")));
  ExpectBrokenOnce();
}

// Nor where clients are not wanted just then.
TEST_F(AcceptorTest, OneThatAcceptsNobodyIsToldOnceToo) {
  Start(WhereToListen<Inet>::OfLocalhost(0));
  acceptor_->SetEnabled(false);
  ExpectBrokenOnce();
}

}  // namespace
}  // namespace portreeve::testing
