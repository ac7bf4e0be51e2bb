// A close that promises a flush keeps it, though the peer sends on.  Against
// the original: better, for its kernel answers what comes after the close with
// a reset, and throws away what the peer has not read.
#include "tests/conformance/lingering_close.h"

#include "lib/connect/connect.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::testing {
namespace {

using std::chrono::seconds;

TEST_F(LingeringClose, AtTheEndOfTheHandler) {
  auto [server, client, call] = StartWithUnread();
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

// Only what comes later destroys what the kernel has not sent.
TEST_F(LingeringClose, AtTheEndOfTheHandlerWithNothingUnread) {
  auto [server, client, call] = StartWithUnread();
  EXPECT_EQ(Run(call.reader->ReadLine()), "unread");
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

TEST_F(LingeringClose, AfterTheHandlersError) {
  auto [server, client, call] = StartWithUnread(IgnoreHandlerError());
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("boom");
  ExpectAllArrives(server, client, CloseReason::kHandlerError);
}

TEST_F(LingeringClose, OfTheWriter) {
  auto [server, client, call] = StartWithUnread();
  call.writer->Write(std::string(kBytes, 'x'));
  const Deferred<> closed = call.writer->Close(seconds(60));
  Settle();
  EXPECT_FALSE(closed.determined());
  call.end.Fill("");
  ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

TEST_F(LingeringClose, AfterAHalfClose) {
  auto [server, client, call] = StartWithUnread();
  call.writer->Write(std::string(kBytes, 'x'));
  call.writer->HalfClose();
  Settle();
  call.end.Fill("");
  ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

TEST_F(LingeringClose, OfExistingConnections) {
  auto [server, client, call] = StartWithUnread();
  call.writer->Write(std::string(kBytes, 'x'));
  Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  Settle();
  EXPECT_FALSE(closed.determined());
  call.end.Fill("");
  ExpectAllArrives(server, client, CloseReason::kListenerClosed);
  RunUntil(closed);
}

TEST_F(LingeringClose, OfABareSocket) {
  auto handler = [](Kind::Address, Socket<Kind> socket) -> Task<> {
    const std::string data(kBytes, 'x');
    size_t sent = 0;
    while (sent < kBytes) {
      const ssize_t n =
          socket.core()->Send(data.data() + sent, data.size() - sent);
      if (n > 0) sent += static_cast<size_t>(n);
      co_await socket.asio_socket().async_wait(asio::socket_base::wait_write,
                                               kAwait);
    }
  };
  auto created = Server<Kind>::CreateSock(executor(), Where(),
                                          RaiseHandlerError(), handler);
  ASSERT_TRUE(created.ok());
  Server<Kind>& server = **created;
  Adopt(*std::move(created));
  // Of a unix socket its bytes are in the peer's hands at the close.
  RawClient client = SendingClient(server);
  RawClient::Drained drained;
  RunUntil([&] {
    if (server.any_server().connections().empty()) return drained.end == "EOF";
    if (kIsInet) {
      return OnlyConnection(server)->bytes_sent() ==
             static_cast<int64_t>(kBytes);
    }
    drained = client.Drain();
    return false;
  });
  if (kIsInet) {
    ExpectAllArrives(server, client, CloseReason::kHandlerDone);
  } else {
    EXPECT_EQ(drained.bytes, kBytes);
  }
}

// A client that never reads its backlog of questions, and asks on.
TEST_F(LingeringClose, OfAClientThatSendsForEver) {
  auto [server, client, call] = StartWithUnread();
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  // More than the kernels keep.
  if (kIsInet) {
    EXPECT_EQ(client.Send(std::string(kBigBytes, 'y')), "ok");
  }
  ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

// The connecting side.

class LingeringConnection : public LingeringClose {
 protected:
  AnyAddress ListenerAddress() {
    if constexpr (kIsInet) {
      return Inet::Address(asio::ip::address_v4::loopback(), 0);
    } else {
      return Unix::Address(folder().File("listener"));
    }
  }
  template <typename A = Kind>
  static WhereToConnect<A> WhereOf(const RawListener& listener) {
    if constexpr (std::is_same_v<A, Inet>) {
      return listener.where();
    } else {
      return listener.where_unix();
    }
  }
};

TEST_F(LingeringConnection, OfWithConnection) {
  RawListener listener(
      loop(), [this](const auto& c) { return RunUntil(c); }, ListenerAddress());
  listener.ShrinkReceiveBuffers();
  bool over = false;
  bool ended = false;
  const Ivar<> end(executor());
  const auto f = [&](Socket<Kind>, Reader&, Writer& writer) -> Task<> {
    writer.Write(std::string(kBytes, 'x'));
    co_await end.deferred().Wait();
    ended = true;
  };
  const auto run = [&](WhereToConnect<Kind> where) -> Task<> {
    co_await WithConnection<Kind>(where, {}, f);
    over = true;
  };
  Start(run(WhereOf(listener)));
  RawClient peer = listener.Accept();
  EXPECT_EQ(peer.Send("unread\n"), "ok");
  Settle();
  end.Fill();
  RunUntil([&] { return ended; });
  Settle();
  EXPECT_FALSE(over);
  SendMore(peer);
  Pass(seconds(29));
  const RawClient::Drained drained = peer.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
  RunUntil([&] { return over; });
  listener.Close();
}

TEST_F(LingeringConnection, OfConnect) {
  RawListener listener(
      loop(), [this](const auto& c) { return RunUntil(c); }, ListenerAddress());
  listener.ShrinkReceiveBuffers();
  const auto connection = Run(Connect<Kind>(WhereOf(listener), {}));
  RawClient peer = listener.Accept();
  EXPECT_EQ(peer.Send("unread\n"), "ok");
  connection->writer.Write(std::string(kBytes, 'x'));
  Settle();
  const Deferred<> closed = connection->writer.Close();
  Settle();
  EXPECT_FALSE(closed.determined());
  SendMore(peer);
  EXPECT_EQ(peer.Drain().bytes, kBytes);
  RunUntil(closed);
  listener.Close();
}

}  // namespace
}  // namespace portreeve::testing
