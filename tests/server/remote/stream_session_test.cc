// ServeStream: a client's frames and a peer's bytes, step by step, with a
// stream that the test holds in its hands.  No gRPC.
#include "server/remote/stream_session.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/monitor.h"
#include "lib/base/status.h"
#include "server/remote/claim.h"
#include "server/remote/cut_stream.h"
#include "server/remote/stream_mover.h"
#include "tests/server/fake_client_stream.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_client.h"

namespace portreeve::testing {
namespace {

// The next process, which takes what it is given, or nothing.
class FakeMover final : public server::StreamMover {
 public:
  explicit FakeMover(const Executor& executor) : begun_(executor) {}

  void Begin() { begun_.Fill(); }
  Deferred<> begun() const override { return begun_.deferred(); }
  bool Move(int64_t id) override {
    ++num_moves;
    if (!takes) return false;
    EXPECT_EQ(id, connection->id());
    moved = connection->Freeze();
    fd = connection->LetGo();
    return true;
  }

  bool takes = true;
  int num_moves = 0;
  std::shared_ptr<StreamConnection> connection;
  FrozenStream moved;
  Descriptor fd;

 private:
  const Ivar<> begun_;
};

class StreamSessionTest : public LoopFixture {
 protected:
  StreamSessionTest()
      : peer_(loop(), [this](const auto& f) { return RunUntil(f); }),
        stream_(std::make_shared<FakeClientStream>(executor())),
        mover_(executor()) {
    asio::ip::tcp::acceptor acceptor(loop(),
                                     {asio::ip::address_v4::loopback(), 0});
    const AnyAddress address = Inet::Address(acceptor.local_endpoint());
    EXPECT_EQ(peer_.Connect(address), "ok");
    asio::ip::tcp::socket accepted = acceptor.accept();
    StreamSocket socket(loop().get_executor());
    socket.assign(asio::ip::tcp::v4(), accepted.release());
    const Monitor silent(executor().monitor(), "test",
                         [](std::exception_ptr) {});
    connection_ = std::make_shared<StreamConnection>(
        std::make_shared<SocketCore>(executor(), std::move(socket), address),
        silent, StreamConnection::Streams::kYes, BufferAgeLimit(),
        OnLoss::kReset);
    mover_.connection = connection_;
    server::StreamSessionOptions options;
    options.mover = &mover_;
    options.describe = [] { return v1::Connection(); };
    options.on_end = [this](std::exception_ptr error) { OnEnd(error); };
    Start(Serve(std::move(options)));
    Settle();
  }
  ~StreamSessionTest() override { connection_->socket()->Reset(); }

  // As a server does.
  void OnEnd(std::exception_ptr error) {
    ++ends_;
    if (error) raised_ = DescribeException(error);
    connection_->Close(
        ExistingConnections::kClose,
        error ? CloseReason::kHandlerError : CloseReason::kHandlerDone);
  }

  Task<> Serve(server::StreamSessionOptions options) {
    co_await server::ServeStream(stream_, connection_, std::move(options));
    returned_ = true;
  }

  void RunToEnd() {
    // A close may look at what the peer has got from time to time.
    ASSERT_TRUE(RunUntil([this] {
      time().Advance(std::chrono::milliseconds(1));
      return returned_;
    }));
    EXPECT_EQ(ends_, 1);
    EXPECT_TRUE(stream_->finished.has_value());
    EXPECT_FALSE(connection_->is_open());
  }

  template <typename Set>
  void SendFrame(Set set) {
    v1::ClientFrame frame;
    set(frame);
    stream_->Send(std::move(frame));
  }
  void SendEof() {
    SendFrame([](v1::ClientFrame& frame) { frame.mutable_eof(); });
  }
  void SendDone() {
    SendFrame([](v1::ClientFrame& frame) { frame.mutable_done(); });
  }
  void SendReset() {
    SendFrame([](v1::ClientFrame& frame) { frame.mutable_reset(); });
  }
  void SendRaised(const std::string& message) {
    SendFrame([&](v1::ClientFrame& frame) {
      frame.mutable_raised()->set_message(message);
    });
  }
  void SendData(size_t size) {
    stream_->SendData(std::string(size, 'x'));
    sent_ += size;
  }

  // The peer reads nothing, and the kernel has all of three frames.
  void Stall() {
    for (int i = 0; i < 3; ++i) SendData(kFrameBytes);
    Settle();
    ASSERT_EQ(connection_->bytes_sent(), static_cast<int64_t>(sent_));
    ASSERT_EQ(connection_->bytes_to_write(), 0u);
  }
  // The same, and one frame more than it shall have waits here.
  void Hold() {
    for (int i = 0; i < 100 && connection_->bytes_to_write() == 0; ++i) {
      SendData(kFrameBytes);
      Settle();
    }
    ASSERT_EQ(connection_->bytes_to_write(), kFrameBytes);
  }
  // The kernel takes little, so that it has begun to take the last frame only.
  void HoldRest() {
    connection_->socket()->socket().set_option(
        asio::socket_base::send_buffer_size(4096));
    while (connection_->bytes_to_write() == 0) {
      SendData(256 << 10);
      Settle();
    }
    ASSERT_LT(connection_->bytes_to_write(), 256u << 10);
  }
  // What the peer gets when it reads at last, if that is all.
  void ExpectAllAndEnd() {
    const RawClient::Drained drained = peer_.Drain();
    EXPECT_EQ(drained.bytes, sent_);
    EXPECT_EQ(drained.end, "EOF");
  }
  void ExpectReset() {
    RunToEnd();
    EXPECT_TRUE(connection_->socket()->was_reset());
    const RawClient::Drained drained = peer_.Drain();
    EXPECT_LT(drained.bytes, sent_);
    EXPECT_EQ(drained.end, "ECONNRESET");
  }

  // It has moved, and nobody was told an end.
  void ExpectMoved() {
    RunToEnd();
    EXPECT_EQ(mover_.num_moves, 1);
    EXPECT_EQ(stream_->Written().back(), "moved");
    EXPECT_TRUE(stream_->finished->ok());
    EXPECT_FALSE(stream_->has_connection());
    EXPECT_EQ(connection_->reason(), CloseReason::kNone);
    EXPECT_EQ(raised_, "");
    EXPECT_EQ(peer_.Peek(), "nothing");
  }
  void ExpectNotMoved(const std::string& closed) {
    RunToEnd();
    EXPECT_EQ(mover_.num_moves, 0);
    EXPECT_EQ(stream_->Written().back(), closed);
  }
  // What the next process does with the socket.
  std::string ReadElsewhere() {
    char text[100];
    const ssize_t n = recv(mover_.fd.get(), text, sizeof(text), MSG_DONTWAIT);
    return n < 0 ? ErrnoName(errno) : std::string(text, static_cast<size_t>(n));
  }

  bool WrittenIs(const std::vector<std::string>& texts) {
    const bool is = RunUntil([&] { return stream_->Written() == texts; });
    EXPECT_EQ(stream_->Written(), texts);
    return is;
  }

  static constexpr size_t kFrameBytes = 64 << 10;

  RawClient peer_;
  size_t sent_ = 0;  // By SendData().
  const std::shared_ptr<FakeClientStream> stream_;
  FakeMover mover_;
  std::shared_ptr<StreamConnection> connection_;
  bool returned_ = false;
  int ends_ = 0;
  std::string raised_;
};

TEST_F(StreamSessionTest, BytesGoBothWaysAndDoneFlushes) {
  EXPECT_EQ(stream_->Written(), std::vector<std::string>{"opened"});
  EXPECT_EQ(peer_.Send("ping"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:ping"}));
  stream_->SendData("pong");
  EXPECT_EQ(peer_.ReceiveExactly(4), "pong");
  stream_->SendData("bye");
  SendDone();
  EXPECT_EQ(peer_.ReceiveExactly(3), "bye");
  EXPECT_EQ(peer_.Receive(), "EOF");
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "data:ping", "closed:HANDLER_DONE"}));
  EXPECT_TRUE(stream_->finished->ok());
}

TEST_F(StreamSessionTest, FinEachWayByItself) {
  SendEof();
  EXPECT_EQ(peer_.Receive(), "EOF");
  EXPECT_EQ(peer_.Send("still"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:still"}));
  peer_.CloseSending();
  ASSERT_TRUE(WrittenIs({"opened", "data:still", "eof"}));
  Settle();
  EXPECT_FALSE(returned_);  // The client has not said that it is through.
  SendDone();
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:PEER_CLOSED");
}

TEST_F(StreamSessionTest, ThePeersFinFirstAndTheClientGoesOn) {
  peer_.CloseSending();
  ASSERT_TRUE(WrittenIs({"opened", "eof"}));
  stream_->SendData("more");
  EXPECT_EQ(peer_.ReceiveExactly(4), "more");
  stream_->End();  // Both ways have ended: `done`.
  EXPECT_EQ(peer_.Receive(), "EOF");
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:PEER_CLOSED");
}

// Other threads carry data, so that the client may know more than the loop
// does.
TEST_F(StreamSessionTest, ThePeersFinIsFirstThoughNotReadYet) {
  peer_.CloseSending();
  SendDone();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "eof", "closed:PEER_CLOSED"}));
}

TEST_F(StreamSessionTest, DoneIsFirstWhereThePeersDataIsNotReadYet) {
  stream_->Stall(true);
  EXPECT_EQ(peer_.Send("taken"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:taken"}));
  EXPECT_EQ(peer_.Send("left"), "ok");
  peer_.CloseSending();
  SendDone();
  RunUntil([this] { return ends_ == 1; });
  stream_->Stall(false);
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kHandlerDone);
}

TEST_F(StreamSessionTest, TheEndOfTheStreamIsEofAndThenDone) {
  stream_->SendData("x");
  stream_->End();
  EXPECT_EQ(peer_.ReceiveExactly(1), "x");
  EXPECT_EQ(peer_.Receive(), "EOF");
  EXPECT_EQ(peer_.Send("y"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:y"}));
  Settle();
  EXPECT_EQ(ends_, 0);
  peer_.CloseSending();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "data:y", "eof", "closed:PEER_CLOSED"}));
}

TEST_F(StreamSessionTest, ResetIsAReset) {
  stream_->SendData("x");
  SendReset();
  RunToEnd();
  EXPECT_TRUE(connection_->socket()->was_reset());
  EXPECT_EQ(stream_->Written().back(), "closed:HANDLER_DONE");
  EXPECT_TRUE(stream_->finished->ok());
}

TEST_F(StreamSessionTest, RaisedFlushesAndIsTold) {
  stream_->SendData("last words");
  SendRaised("ouch");
  EXPECT_EQ(peer_.ReceiveExactly(10), "last words");
  EXPECT_EQ(peer_.Receive(), "EOF");
  RunToEnd();
  EXPECT_EQ(raised_, "ouch");
  EXPECT_EQ(stream_->Written().back(), "closed:HANDLER_ERROR");
}

TEST_F(StreamSessionTest, AStreamThatBreaksResets) {
  stream_->SendData("half a mes");
  EXPECT_EQ(peer_.ReceiveExactly(10), "half a mes");
  stream_->Break();
  EXPECT_EQ(peer_.Receive(), "ECONNRESET");
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kClientGone);
  EXPECT_EQ(raised_, "");
  EXPECT_EQ(stream_->Written(), std::vector<std::string>{"opened"});
}

TEST_F(StreamSessionTest, OneThatBreaksAfterDoneHasNothingToLose) {
  HoldRest();
  SendDone();
  Settle();
  EXPECT_EQ(ends_, 1);
  stream_->Break();
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kHandlerDone);
}

TEST_F(StreamSessionTest, OneThatBreaksAfterRaisedHasNothingToLose) {
  HoldRest();
  SendRaised("ouch");
  Settle();
  stream_->Break();
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kHandlerError);
}

TEST_F(StreamSessionTest, OneThatBreaksAfterEofIsFlushedCutsNothing) {
  Stall();
  SendEof();
  Settle();
  stream_->Break();
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kClientGone);
}

TEST_F(StreamSessionTest, OneThatBreaksBeforeEofIsFlushedResets) {
  HoldRest();
  SendEof();
  Settle();
  EXPECT_EQ(stream_->unread(), 0u);
  stream_->Break();
  ExpectReset();
  EXPECT_EQ(connection_->reason(), CloseReason::kClientGone);
}

// From here on: the peer does not read.

TEST_F(StreamSessionTest, AFrameThatThePeerDoesNotTakeIsHeld) {
  Hold();
  EXPECT_EQ(stream_->unread(), 0u);
  SendData(kFrameBytes);
  SendDone();
  Settle();
  // What is behind it stays where it is.
  EXPECT_EQ(stream_->unread(), 2u);
  EXPECT_EQ(connection_->bytes_to_write(), kFrameBytes);
  EXPECT_EQ(ends_, 0);
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:HANDLER_DONE");
}

TEST_F(StreamSessionTest, ARestOfAFrameAndTheNextOneAreHeld) {
  HoldRest();
  const size_t rest = connection_->bytes_to_write();
  for (int i = 0; i < 3; ++i) SendData(1000);
  SendDone();
  Settle();
  EXPECT_EQ(stream_->unread(), 3u);
  // The kernel may have come to take a little more of the rest.
  EXPECT_LE(connection_->bytes_to_write(), rest + 1000);
  EXPECT_GT(connection_->bytes_to_write(), 1000u);
  ExpectAllAndEnd();
  RunToEnd();
}

TEST_F(StreamSessionTest, NothingOvertakesWhatWaits) {
  using Carrier = FakeClientStream::Carrier;
  EXPECT_EQ(stream_->last_carrier, Carrier::kStream);
  HoldRest();
  EXPECT_EQ(stream_->last_carrier, Carrier::kCaller);
  while (connection_->bytes_to_write() > 0) peer_.Receive();
  SendData(1);
  Settle();
  EXPECT_EQ(stream_->last_carrier, Carrier::kStream);
  SendEof();
  Settle();
  EXPECT_EQ(stream_->last_carrier, Carrier::kCaller);
}

TEST_F(StreamSessionTest, TheAgeOfWhatIsHeldCounts) {
  Hold();
  time().Advance(std::chrono::seconds(119));
  Settle();
  EXPECT_FALSE(returned_);
  time().Advance(std::chrono::seconds(2));
  ExpectReset();
  EXPECT_TRUE(WrittenIs({"opened", "closed:BUFFER_AGE"}));
}

TEST_F(StreamSessionTest, ResetIsAtOnce) {
  Stall();
  SendReset();
  ExpectReset();
  EXPECT_TRUE(WrittenIs({"opened", "closed:HANDLER_DONE"}));
}

TEST_F(StreamSessionTest, ResetIsAtOnceBehindARest) {
  HoldRest();
  SendReset();
  ExpectReset();
  EXPECT_TRUE(WrittenIs({"opened", "closed:HANDLER_DONE"}));
}

TEST_F(StreamSessionTest, ResetIsAtOnceAfterDone) {
  HoldRest();
  SendDone();
  Settle();
  SendReset();
  ExpectReset();
}

TEST_F(StreamSessionTest, DoneIsTheEndAtOnce) {
  Stall();
  SendDone();
  Settle();
  EXPECT_EQ(ends_, 1);
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "closed:HANDLER_DONE"}));
}

TEST_F(StreamSessionTest, RaisedIsTheEndAtOnce) {
  Stall();
  SendRaised("ouch");
  Settle();
  EXPECT_EQ(raised_, "ouch");
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "closed:HANDLER_ERROR"}));
}

TEST_F(StreamSessionTest, TheEndOfTheStreamIsDoneAtOnceAfterThePeersEof) {
  peer_.CloseSending();
  ASSERT_TRUE(WrittenIs({"opened", "eof"}));
  Stall();
  stream_->End();
  Settle();
  EXPECT_EQ(ends_, 1);
  ExpectAllAndEnd();
  RunToEnd();
}

TEST_F(StreamSessionTest, EofFollowsWhatTheKernelHas) {
  Stall();
  SendEof();
  Settle();
  EXPECT_EQ(stream_->unread(), 0u);
  ExpectAllAndEnd();
  EXPECT_EQ(ends_, 0);
  stream_->Break();
  RunToEnd();
}

TEST_F(StreamSessionTest, DoneBehindARestIsForcedAfterThirtySeconds) {
  HoldRest();
  SendDone();
  Settle();
  EXPECT_EQ(ends_, 1);
  time().Advance(std::chrono::seconds(29));
  Settle();
  EXPECT_FALSE(returned_);
  time().Advance(std::chrono::seconds(1));
  ExpectReset();
  EXPECT_TRUE(WrittenIs({"opened", "closed:FORCED"}));
}

TEST_F(StreamSessionTest, TheEndOfTheStreamBehindARestIsForced) {
  peer_.CloseSending();
  ASSERT_TRUE(WrittenIs({"opened", "eof"}));
  HoldRest();
  stream_->End();
  Settle();
  EXPECT_EQ(ends_, 1);
  time().Advance(std::chrono::seconds(30));
  ExpectReset();
  EXPECT_TRUE(WrittenIs({"opened", "eof", "closed:FORCED"}));
}

TEST_F(StreamSessionTest, NonsenseResetsAtOnce) {
  Stall();
  stream_->SendData(std::string((256 << 10) + 1, 'x'));
  ExpectReset();
  EXPECT_EQ(stream_->finished->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(connection_->reason(), CloseReason::kClientGone);
}

TEST_F(StreamSessionTest, ABreakResetsWhateverIsHeld) {
  Hold();
  stream_->Break();
  ExpectReset();
  EXPECT_EQ(connection_->reason(), CloseReason::kClientGone);
}

TEST_F(StreamSessionTest, ThePeersEndIsToldWhateverIsHeld) {
  Hold();
  peer_.CloseSending();
  ASSERT_TRUE(WrittenIs({"opened", "eof"}));
  stream_->End();
  Settle();
  EXPECT_EQ(ends_, 0);  // It stands behind the frame.
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:PEER_CLOSED");
}

TEST_F(StreamSessionTest, ThePeersResetIsToldWhateverIsHeld) {
  Hold();
  peer_.Reset();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "eof by reset", "closed:PEER_RESET"}));
}

TEST_F(StreamSessionTest, AFlushThatIsAskedForGivesTheKernelWhatIsHeld) {
  Hold();
  connection_->Close(ExistingConnections::kClose, CloseReason::kCalled);
  // It lies there without any reader of the peer's.
  ASSERT_TRUE(RunUntil([this] {
    return connection_->bytes_sent() == static_cast<int64_t>(sent_);
  }));
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "closed:CALLED"}));
}

TEST_F(StreamSessionTest, AFlushThatIsAskedForGoesOnWhenTheStreamBreaks) {
  HoldRest();
  connection_->Close(ExistingConnections::kClose, CloseReason::kCalled);
  stream_->Break();
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kCalled);
}

TEST_F(StreamSessionTest, WhatTheDaemonCutsIsReset) {
  Hold();
  server::CutStream(*connection_, CloseReason::kShutdown);
  ExpectReset();
  EXPECT_TRUE(WrittenIs({"opened", "closed:SHUTDOWN"}));
}

TEST_F(StreamSessionTest, WhatTheDaemonCutsIsResetThoughTheKernelHasAll) {
  Stall();
  server::CutStream(*connection_, CloseReason::kShutdown);
  ExpectReset();
}

TEST_F(StreamSessionTest, WhatThePeerHasGotIsNotCut) {
  Stall();
  SendEof();
  Settle();
  server::CutStream(*connection_, CloseReason::kShutdown);
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "closed:SHUTDOWN"}));
}

// What the daemon has read is flushed; what it has not is lost, and told.
TEST_F(StreamSessionTest, WhatIsUnreadAtACloseOfOthersIsLost) {
  Hold();
  const size_t read = sent_;
  SendData(kFrameBytes);
  SendData(kFrameBytes);
  Settle();
  EXPECT_EQ(stream_->unread(), 2u);
  connection_->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Settle();
  EXPECT_EQ(stream_->unread(), 0u);
  const RawClient::Drained drained = peer_.Drain();
  EXPECT_EQ(drained.bytes, read);
  EXPECT_EQ(drained.end, "EOF");
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:FORCED");
  EXPECT_EQ(connection_->reason(), CloseReason::kForced);
}

TEST_F(StreamSessionTest, WhereNothingIsUnreadACloseOfOthersLosesNothing) {
  Hold();
  connection_->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:CALLED");
}

TEST_F(StreamSessionTest, WhatIsBeingFlushedIsNotCut) {
  HoldRest();
  SendDone();
  Settle();
  server::CutStream(*connection_, CloseReason::kShutdown);
  Settle();
  ExpectAllAndEnd();
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kHandlerDone);
}

TEST_F(StreamSessionTest, ThePeersResetTellsWhatCameThenEofThenClosed) {
  EXPECT_EQ(peer_.Send("last"), "ok");
  peer_.Reset();
  RunToEnd();
  EXPECT_TRUE(
      WrittenIs({"opened", "data:last", "eof by reset", "closed:PEER_RESET"}));
  EXPECT_TRUE(stream_->finished->ok());
}

TEST_F(StreamSessionTest, ThePeersResetIsNoticedWhileTheClientDoesNotRead) {
  stream_->Stall(true);
  EXPECT_EQ(peer_.Send("one"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:one"}));
  EXPECT_EQ(peer_.Send("two"), "ok");
  EXPECT_TRUE(stream_->has_connection());
  peer_.Reset();
  ASSERT_TRUE(RunUntil([this] { return !connection_->is_open(); }));
  EXPECT_FALSE(returned_);
  // No descriptor bounds such streams any more, though they hold memory.
  ASSERT_TRUE(RunUntil([this] { return !stream_->has_connection(); }));
  stream_->Stall(false);
  RunToEnd();
  EXPECT_TRUE(WrittenIs(
      {"opened", "data:one", "data:two", "eof by reset", "closed:PEER_RESET"}));
}

TEST_F(StreamSessionTest, AClientThatDoesNotReadStopsTheReading) {
  stream_->Stall(true);
  const std::string chunk(1 << 20, 'x');
  size_t sent = 0;
  peer_.socket().non_blocking(true);
  for (error_code ec; !ec;) {
    sent += peer_.socket().write_some(asio::buffer(chunk), ec);
    Settle();
  }
  // One frame was read, the rest is in the kernel.
  EXPECT_EQ(stream_->written.size(), 2u);
  EXPECT_LE(connection_->bytes_received(), 64 << 10);
  stream_->Stall(false);
  peer_.CloseSending();
  ASSERT_TRUE(RunUntil([&] {
    return connection_->bytes_received() == static_cast<int64_t>(sent);
  }));
  for (const v1::ServerFrame& frame : stream_->written) {
    EXPECT_LE(frame.data().size(), 64u << 10);
  }
}

TEST_F(StreamSessionTest, APeerThatDoesNotReadStopsTheFrames) {
  const std::string frame(256 << 10, 'x');
  for (int i = 0; i < 100; ++i) stream_->SendData(frame);
  Settle();
  // The kernels' buffers take some; the rest stays with the client.
  ASSERT_TRUE(RunUntil([&] {
    return connection_->bytes_sent() >= static_cast<int64_t>(frame.size());
  }));
  Settle();
  EXPECT_GT(stream_->unread(), 50u);
  EXPECT_LE(connection_->bytes_to_write(), frame.size());
}

TEST_F(StreamSessionTest, WhatIsAgainstTheContractBreaksIt) {
  struct Case {
    std::string field;
    std::vector<v1::ClientFrame> frames;
  };
  v1::ClientFrame attach, dial, data, eof, large, none;
  attach.mutable_attach()->set_connection("connections/a1");
  dial.mutable_dial();
  data.set_data("x");
  eof.mutable_eof();
  large.set_data(std::string((256 << 10) + 1, 'x'));
  // The first that is wrong; each in a session of its own.
  const std::vector<Case> cases = {{"attach", {attach}},    {"dial", {dial}},
                                   {"data", {eof, data}},   {"data", {large}},
                                   {"data", {data, large}}, {"", {none}}};
  for (const Case& c : cases) {
    auto stream = std::make_shared<FakeClientStream>(executor());
    asio::ip::tcp::acceptor acceptor(loop(),
                                     {asio::ip::address_v4::loopback(), 0});
    RawClient peer(loop(), [this](const auto& f) { return RunUntil(f); });
    const AnyAddress address = Inet::Address(acceptor.local_endpoint());
    ASSERT_EQ(peer.Connect(address), "ok");
    asio::ip::tcp::socket accepted = acceptor.accept();
    StreamSocket socket(loop().get_executor());
    socket.assign(asio::ip::tcp::v4(), accepted.release());
    auto connection = std::make_shared<StreamConnection>(
        std::make_shared<SocketCore>(executor(), std::move(socket), address),
        Monitor(), StreamConnection::Streams::kYes, BufferAgeLimit());
    server::StreamSessionOptions options;
    options.describe = [] { return v1::Connection(); };
    options.on_end = [](std::exception_ptr) {};
    Start(server::ServeStream(stream, connection, std::move(options)));
    for (const v1::ClientFrame& frame : c.frames) stream->Send(frame);
    ASSERT_TRUE(RunUntil([&] { return stream->finished.has_value(); }));
    EXPECT_EQ(stream->finished->code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(DetailOf(*stream->finished).field, c.field);
    EXPECT_TRUE(connection->socket()->was_reset()) << c.field;
    EXPECT_EQ(connection->reason(), CloseReason::kClientGone);
    EXPECT_EQ(stream->Written(), std::vector<std::string>{"opened"});
    Settle();
  }
  connection_->socket()->Reset();
  RunToEnd();
}

TEST_F(StreamSessionTest, ClosedUnderItTheClientIsToldNoEof) {
  connection_->Close(ExistingConnections::kClose, CloseReason::kCalled);
  RunToEnd();
  EXPECT_TRUE(WrittenIs({"opened", "closed:CALLED"}));
  EXPECT_EQ(peer_.Receive(), "EOF");
}

TEST_F(StreamSessionTest, DataForAPeerThatIsGoneIsNoError) {
  peer_.Reset();
  stream_->SendData("into the void");
  stream_->SendData("again");
  SendDone();
  RunToEnd();
  EXPECT_EQ(stream_->Written().back(), "closed:PEER_RESET");
}

// From here on: it moves to the daemon's next process.

TEST_F(StreamSessionTest, OneThatMovesIsAtRestBothWays) {
  EXPECT_EQ(peer_.Send("before"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:before"}));
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "data:before", "moved"}));
  // It is read by whoever goes on.
  EXPECT_EQ(peer_.Send("after"), "ok");
  stream_->SendData("last");
  Settle();
  EXPECT_EQ(mover_.num_moves, 0);
  stream_->End();
  EXPECT_EQ(peer_.ReceiveExactly(4), "last");
  ExpectMoved();
  EXPECT_EQ(mover_.moved.bytes_received, 6);
  EXPECT_EQ(mover_.moved.bytes_sent, 4);
  EXPECT_EQ(mover_.moved.writer, FrozenWriter());
  EXPECT_EQ(ReadElsewhere(), "after");
  EXPECT_EQ(send(mover_.fd.get(), "on", 2, MSG_NOSIGNAL), 2);
  EXPECT_EQ(peer_.ReceiveExactly(2), "on");
}

// The client has taken what it was sent, and its reader is about to go on, when
// it begins to move.
TEST_F(StreamSessionTest, WhatIsBeingReadIsSentBeforeMoved) {
  stream_->Stall(true);
  EXPECT_EQ(peer_.Send("taken"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:taken"}));
  EXPECT_EQ(peer_.Send("left"), "ok");
  Settle();
  mover_.Begin();
  stream_->Stall(false);
  ASSERT_TRUE(WrittenIs({"opened", "data:taken", "data:left", "moved"}));
  stream_->End();
  ExpectMoved();
  EXPECT_EQ(mover_.moved.bytes_received, 9);
}

// Those of the stream could still be in the midst of a frame.
TEST_F(StreamSessionTest, NoOtherThreadReceivesAfterMoved) {
  char text[100];
  EXPECT_EQ(stream_->joined->Receive(text), -1);
  EXPECT_EQ(errno, EAGAIN);
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  EXPECT_EQ(peer_.Send("after"), "ok");
  EXPECT_EQ(stream_->joined->Receive(text), -1);
  EXPECT_EQ(errno, EBADF);
  stream_->End();
  ExpectMoved();
  EXPECT_EQ(ReadElsewhere(), "after");
}

TEST_F(StreamSessionTest, OneThatMovesTakesAlongWhatThePeerDoesNotTake) {
  Hold();
  mover_.Begin();
  for (int i = 0; i < 3; ++i) SendData(1000);
  stream_->End();
  ASSERT_TRUE(RunUntil([this] { return returned_; }));
  EXPECT_EQ(mover_.moved.writer.to_write, std::string(kFrameBytes + 3000, 'x'));
  EXPECT_FALSE(mover_.moved.writer.ages.empty());
  EXPECT_FALSE(mover_.moved.writer.half_closed);
  EXPECT_EQ(mover_.moved.bytes_sent + kFrameBytes + 3000,
            static_cast<int64_t>(sent_));
  // The kernel has the rest, and nobody has ended it.
  const auto rest = static_cast<size_t>(mover_.moved.bytes_sent);
  EXPECT_EQ(peer_.ReceiveExactly(rest).size(), rest);
  EXPECT_EQ(peer_.Peek(), "nothing");
}

TEST_F(StreamSessionTest, WhatTheClientHasEndedIsEndedElsewhereToo) {
  SendEof();
  EXPECT_EQ(peer_.Receive(), "EOF");
  mover_.Begin();
  stream_->End();
  RunToEnd();
  EXPECT_EQ(mover_.num_moves, 1);
  EXPECT_TRUE(mover_.moved.writer.half_closed);
  EXPECT_EQ(peer_.Send("still"), "ok");
  EXPECT_EQ(ReadElsewhere(), "still");
}

// Its stream has ended already, and there is nothing else to wait for.
TEST_F(StreamSessionTest, OneWhoseStreamHasEndedMovesAtOnce) {
  stream_->End();
  EXPECT_EQ(peer_.Receive(), "EOF");
  mover_.Begin();
  RunToEnd();
  EXPECT_EQ(mover_.num_moves, 1);
  EXPECT_TRUE(mover_.moved.writer.half_closed);
}

TEST_F(StreamSessionTest, ThePeersEndIsNoReasonToStay) {
  peer_.CloseSending();
  ASSERT_TRUE(WrittenIs({"opened", "eof"}));
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "eof", "moved"}));
  stream_->SendData("more");
  stream_->End();  // It is no `done`.
  EXPECT_EQ(peer_.ReceiveExactly(4), "more");
  RunToEnd();
  EXPECT_EQ(mover_.num_moves, 1);
  EXPECT_FALSE(mover_.moved.writer.half_closed);
  EXPECT_EQ(ReadElsewhere(), "");
}

TEST_F(StreamSessionTest, AClientThatDoesNotReadKeepsItHere) {
  stream_->Stall(true);
  EXPECT_EQ(peer_.Send("taken"), "ok");
  ASSERT_TRUE(WrittenIs({"opened", "data:taken"}));
  EXPECT_EQ(peer_.Send("left"), "ok");
  mover_.Begin();
  stream_->End();
  Settle();
  EXPECT_EQ(mover_.num_moves, 0);
  stream_->Stall(false);
  RunToEnd();
  EXPECT_EQ(mover_.num_moves, 1);
  EXPECT_EQ(ReadElsewhere(), "left");
}

TEST_F(StreamSessionTest, DoneAfterMovedEndsItHere) {
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  stream_->SendData("bye");
  SendDone();
  stream_->End();
  EXPECT_EQ(peer_.ReceiveExactly(3), "bye");
  EXPECT_EQ(peer_.Receive(), "EOF");
  ExpectNotMoved("closed:HANDLER_DONE");
}

TEST_F(StreamSessionTest, OneThatHasEndedIsNotToldToMove) {
  HoldRest();
  SendDone();
  Settle();
  mover_.Begin();
  Settle();
  ExpectAllAndEnd();
  ExpectNotMoved("closed:HANDLER_DONE");
  EXPECT_TRUE(WrittenIs({"opened", "closed:HANDLER_DONE"}));
}

TEST_F(StreamSessionTest, ThePeersResetAfterMovedTellsWhatCame) {
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  EXPECT_EQ(peer_.Send("late"), "ok");
  peer_.Reset();
  RunToEnd();
  EXPECT_TRUE(WrittenIs(
      {"opened", "moved", "data:late", "eof by reset", "closed:PEER_RESET"}));
  EXPECT_EQ(mover_.num_moves, 0);
}

// The kernel tells of a reset once, and the next process would not know.
TEST_F(StreamSessionTest, OneThatThePeerHasResetDoesNotLeave) {
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  stream_->End();
  peer_.Reset();
  ExpectNotMoved("closed:PEER_RESET");
}

TEST_F(StreamSessionTest, ABreakAfterMovedResets) {
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  stream_->Break();
  EXPECT_EQ(peer_.Receive(), "ECONNRESET");
  RunToEnd();
  EXPECT_EQ(connection_->reason(), CloseReason::kClientGone);
  EXPECT_EQ(mover_.num_moves, 0);
}

TEST_F(StreamSessionTest, ACloseOfOthersAfterMovedIsTold) {
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  connection_->Close(ExistingConnections::kClose, CloseReason::kCalled);
  stream_->End();
  EXPECT_EQ(peer_.Receive(), "EOF");
  ExpectNotMoved("closed:CALLED");
}

TEST_F(StreamSessionTest, WhatNobodyTakesIsCutAndTold) {
  mover_.takes = false;
  mover_.Begin();
  ASSERT_TRUE(WrittenIs({"opened", "moved"}));
  stream_->End();
  EXPECT_EQ(peer_.Receive(), "ECONNRESET");
  RunToEnd();
  EXPECT_EQ(mover_.num_moves, 1);
  EXPECT_TRUE(WrittenIs({"opened", "moved", "closed:SHUTDOWN"}));
}

}  // namespace
}  // namespace portreeve::testing
