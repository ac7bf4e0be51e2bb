// Attach to a connection whose peer does not read.
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "tests/server/remote_fixture.h"

namespace portreeve::testing {
namespace {

enum class Kind { kTcp, kUnix };

class AttachStalledTest : public RemoteFixture,
                          public ::testing::WithParamInterface<Kind> {
 protected:
  AttachStalledTest() { EXPECT_NE(mkdtemp(directory_), nullptr); }
  ~AttachStalledTest() override { EXPECT_EQ(rmdir(directory_), 0); }
  // The file of the listening socket goes before its folder.
  void TearDown() override { Close("listeners/remote"); }

  void Start(int buffer_age_limit_ms = 0) {
    v1::ListenerSpec spec = RemoteSpec();
    if (GetParam() == Kind::kUnix) {
      spec.mutable_where_to_listen()->mutable_unix_socket()->set_path(path());
    }
    if (buffer_age_limit_ms > 0) {
      spec.mutable_buffer_age_limit()->mutable_at_most()->set_nanos(
          buffer_age_limit_ms * 1'000'000);
    }
    CreateRemote(spec);
    served_.peer = GetParam() == Kind::kUnix
                       ? std::make_unique<PlainClient>(path())
                       : std::make_unique<PlainClient>(port());
    served_.name = worker().ReadOffered();
    served_.call = std::make_unique<SocketCall>(connections(), served_.name);
    served_.call->ReadOpened();
  }

  SocketCall& call() { return *served_.call; }
  PlainClient& peer() { return *served_.peer; }

  // The kernel has all that was sent, but the peer does not read it.
  void Stall() {
    const size_t frames = GetParam() == Kind::kUnix ? 2 : 3;
    for (size_t i = 0; i < frames; ++i) call().SendData(kFrame);
    sent_ = frames * kFrame.size();
    WaitUntil([this] {
      return Connections().at(0).bytes_sent() == static_cast<int64_t>(sent_);
    });
  }
  // Until the connection's end has begun.
  void WaitUntilClosing() {
    WaitUntil([this] {
      const auto connections = Connections();
      return connections.empty() ||
             connections[0].state() == v1::CONNECTION_STATE_CLOSING ||
             connections[0].close_reason() == v1::CLOSE_REASON_PEER_CLOSED;
    });
  }
  void ExpectAll() {
    EXPECT_TRUE(peer().ReceiveAll() == std::string(sent_, 'x') + "|EOF");
  }

  void ExpectReset() {
    if (GetParam() == Kind::kUnix) return;  // It has no reset.
    const std::string all = peer().ReceiveAll();
    EXPECT_EQ(all.substr(all.find('|')), "|ECONNRESET");
  }

 private:
  std::string path() const { return std::string(directory_) + "/remote"; }

  const std::string kFrame = std::string(64 << 10, 'x');

  char directory_[32] = "/tmp/portreeve-stalled-XXXXXX";
  Served served_;
  size_t sent_ = 0;
};

TEST_P(AttachStalledTest, ResetIsAtOnce) {
  Start();
  Stall();
  call().Send(ResetFrame());
  EXPECT_EQ(call().Rest(), "closed HANDLER_DONE|OK");
  ExpectReset();
}

TEST_P(AttachStalledTest, DoneIsTheEndAtOnce) {
  Start();
  Stall();
  call().Send(DoneFrame());
  WaitUntilClosing();
  ExpectAll();
  EXPECT_EQ(call().Rest(), "closed HANDLER_DONE|OK");
}

TEST_P(AttachStalledTest, RaisedIsTheEndAtOnce) {
  Start();
  Stall();
  call().Send(RaisedFrame("disk full"));
  WaitUntilClosing();
  ExpectAll();
  EXPECT_EQ(call().Rest(), "closed HANDLER_ERROR|OK");
}

TEST_P(AttachStalledTest, TheEndOfTheStreamIsTheEndAtOnce) {
  Start();
  peer().HalfClose();
  call().ReadEof();
  Stall();
  call().EndSending();
  ExpectAll();
  EXPECT_EQ(call().Rest(), "closed PEER_CLOSED|OK");
}

TEST_P(AttachStalledTest, WhatWaitsIsShownAndAges) {
  Start(500);
  std::thread client([this] {
    while (call().SendData(std::string(64 << 10, 'x'))) {
    }
  });
  WaitUntil([this] {
    const auto connections = Connections();
    return connections.empty() || connections[0].bytes_to_write() > 0;
  });
  EXPECT_FALSE(Connections().empty());
  EXPECT_EQ(call().Rest(), "closed BUFFER_AGE|OK");
  client.join();
  ExpectReset();
}

INSTANTIATE_TEST_SUITE_P(Kinds, AttachStalledTest,
                         ::testing::Values(Kind::kTcp, Kind::kUnix),
                         [](const auto& info) {
                           return std::string(
                               info.param == Kind::kTcp ? "Tcp" : "Unix");
                         });

}  // namespace
}  // namespace portreeve::testing
