// A close that promises a flush keeps it, though the peer sends on.  Against
// the original: better, for its kernel answers what comes after the close with
// a reset, and throws away what the peer has not read.
#include <stdexcept>

#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/conformance/both_kinds.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The kernel of a TCP connection takes all of it, and a peer that does not read
// a part.
constexpr size_t kBytes = 1'000'000;

template <typename A>
class LingeringClose : public ServerTest<A> {
 protected:
  static constexpr bool kIsInet = std::is_same_v<A, Inet>;

  void Pass(Duration time) {
    this->time().Advance(time);
    this->Settle();
  }

  // One that keeps little, and has sent what nobody reads.
  RawClient SendingClient(const Server<A>& server) {
    RawClient client = this->NewClient();
    client.ShrinkReceiveBuffer();
    EXPECT_EQ(client.Connect(server.listening_on_address()), "ok");
    EXPECT_EQ(client.Send("unread\n"), "ok");
    return client;
  }

  static std::shared_ptr<AnyConnection> OnlyConnection(Server<A>& server) {
    if (server.num_connections() == 0) throw std::runtime_error("it is closed");
    return server.any_server().connections().begin()->second;
  }

  // The connection was closed with kBytes written.
  void ExpectAllArrives(Server<A>& server, RawClient& client,
                        CloseReason reason) {
    this->Settle();
    const auto connection = OnlyConnection(server);
    EXPECT_EQ(server.num_connections(), 1);
    EXPECT_TRUE(connection->is_open());
    EXPECT_FALSE(connection->closed().determined());
    SendMore(client);
    Pass(seconds(5));
    SendMore(client);
    Pass(seconds(20));
    EXPECT_EQ(server.num_connections(), 1);
    const RawClient::Drained drained = client.Drain();
    EXPECT_EQ(drained.bytes, kBytes);
    EXPECT_EQ(drained.end, "EOF");
    this->RunUntil([&] { return server.num_connections() == 0; });
    EXPECT_FALSE(connection->is_open());
    EXPECT_EQ(connection->bytes_sent(), static_cast<int64_t>(kBytes));
    EXPECT_EQ(connection->reason(), reason);
  }

  // A unix socket that was ended both ways takes no more.
  static void SendMore(RawClient& client) {
    const std::string sent = client.Send("more\n");
    EXPECT_TRUE(sent == "ok" || (!kIsInet && sent == "EPIPE")) << sent;
  }
};

TYPED_TEST_SUITE(LingeringClose, BothKinds, KindName);

TYPED_TEST(LingeringClose, AtTheEndOfTheHandler) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  this->ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

// Only what comes later destroys what the kernel has not sent.
TYPED_TEST(LingeringClose, AtTheEndOfTheHandlerWithNothingUnread) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  EXPECT_EQ(this->Run(call.reader->ReadLine()), "unread");
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  this->ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

TYPED_TEST(LingeringClose, AfterTheHandlersError) {
  auto& server = this->Create(this->Steered(), {}, IgnoreHandlerError());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("boom");
  this->ExpectAllArrives(server, client, CloseReason::kHandlerError);
}

TYPED_TEST(LingeringClose, OfTheWriter) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  const Deferred<> closed = call.writer->Close(seconds(60));
  this->Settle();
  EXPECT_FALSE(closed.determined());
  call.end.Fill("");
  this->ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

TYPED_TEST(LingeringClose, AfterAHalfClose) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  call.writer->HalfClose();
  this->Settle();
  call.end.Fill("");
  this->ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

TYPED_TEST(LingeringClose, OfExistingConnections) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  this->Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  this->Settle();
  EXPECT_FALSE(closed.determined());
  call.end.Fill("");
  this->ExpectAllArrives(server, client, CloseReason::kListenerClosed);
  this->RunUntil(closed);
}

TYPED_TEST(LingeringClose, OfABareSocket) {
  auto handler = [](typename TypeParam::Address,
                    Socket<TypeParam> socket) -> Task<> {
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
  auto created = Server<TypeParam>::CreateSock(this->executor(), this->Where(),
                                               RaiseHandlerError(), handler);
  ASSERT_TRUE(created.ok());
  Server<TypeParam>& server = **created;
  this->Adopt(*std::move(created));
  // Of a unix socket its bytes are in the peer's hands at the close.
  RawClient client = this->SendingClient(server);
  RawClient::Drained drained;
  this->RunUntil([&] {
    if (server.any_server().connections().empty()) return drained.end == "EOF";
    if (this->kIsInet) {
      return this->OnlyConnection(server)->bytes_sent() ==
             static_cast<int64_t>(kBytes);
    }
    drained = client.Drain();
    return false;
  });
  if (this->kIsInet) {
    this->ExpectAllArrives(server, client, CloseReason::kHandlerDone);
  } else {
    EXPECT_EQ(drained.bytes, kBytes);
  }
}

// A client that never reads its backlog of questions, and asks on.
TYPED_TEST(LingeringClose, OfAClientThatSendsForEver) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->SendingClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  // More than the kernels keep.
  if (this->kIsInet) {
    EXPECT_EQ(client.Send(std::string(this->kBigBytes, 'y')), "ok");
  }
  this->ExpectAllArrives(server, client, CloseReason::kHandlerDone);
}

// What follows is of TCP alone: a unix socket need not linger.
class LingeringCloseOfTcp : public LingeringClose<Inet> {
 protected:
  // A connection that lingers, with kBytes written.
  struct Lingering {
    Server<Inet>& server;
    RawClient client;
    Call& call;
    std::shared_ptr<AnyConnection> connection;
    Deferred<> closed;
  };
  Lingering Linger() {
    auto& server = Create(Steered());
    RawClient client = SendingClient(server);
    auto& call = WaitForCall(calls().size());
    call.writer->Write(std::string(kBytes, 'x'));
    Settle();
    auto connection = OnlyConnection(server);
    const Deferred<> closed =
        connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
    Settle();
    EXPECT_FALSE(closed.determined());
    return {server, std::move(client), call, connection, closed};
  }

  // It was reset, and the number of bytes is true.
  static void ExpectCut(const Lingering& lingering,
                        const RawClient::Drained& drained) {
    EXPECT_EQ(drained.end, "ECONNRESET");
    EXPECT_LT(drained.bytes, kBytes);
    EXPECT_EQ(lingering.connection->bytes_sent(),
              static_cast<int64_t>(drained.bytes));
  }
};

// While it lingers it is closed for its handler, and open for all others.
TEST_F(LingeringCloseOfTcp, IsAClosedConnectionForTheHandler) {
  DescriptorBudget budget(2);
  ServerOptions options;
  options.descriptor_budget = &budget;
  auto& server = Create(Steered(), options);
  RawClient client = SendingClient(server);
  auto& call = WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  Settle();
  EXPECT_EQ(call.writer->bytes_to_write(), 0u);
  const auto connection = OnlyConnection(server);
  bool read_ended = false;
  const auto read = [](Reader& reader, bool& ended) -> Task<> {
    while (co_await reader.ReadLine()) {
    }
    ended = true;
  };
  Start(read(*call.reader, read_ended));
  Settle();
  EXPECT_FALSE(read_ended);
  EXPECT_EQ(client.Send("unread, too\n"), "ok");
  connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
  RunUntil([&] { return read_ended; });
  EXPECT_TRUE(call.writer->is_closed());
  EXPECT_THROW(call.writer->Write("x"), StatusError);
  const Deferred<FlushResult> flushed = call.writer->Flushed();
  Settle();
  EXPECT_EQ(flushed.value(), FlushResult::kFlushed);
  EXPECT_TRUE(connection->is_open());
  EXPECT_FALSE(connection->closed().determined());
  EXPECT_FALSE(call.writer->close_finished().determined());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(budget.Has(2));
  call.end.Fill("");
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(budget.Has(2));
  EXPECT_EQ(client.Drain().bytes, kBytes);
  RunUntil([&] { return server.num_connections() == 0; });
  EXPECT_TRUE(budget.Has(2));
  TearDownServers();
}

TEST_F(LingeringCloseOfTcp, IsForcedAfter30s) {
  Lingering lingering = Linger();
  Pass(seconds(30) - milliseconds(1));
  EXPECT_FALSE(lingering.closed.determined());
  Pass(milliseconds(1));
  EXPECT_TRUE(lingering.closed.determined());
  EXPECT_EQ(lingering.connection->reason(), CloseReason::kForced);
  ExpectCut(lingering, lingering.client.Drain());
  EXPECT_EQ(lingering.server.any_server().bytes_sent_total(),
            lingering.connection->bytes_sent());
}

// All that was to be flushed has gone to the kernel in the meantime.
TEST_F(LingeringCloseOfTcp, IsForced30sAfterTheCloseFlushIncluded) {
  auto& server = Create(Steered());
  RawClient client = SendingClient(server);
  auto& call = WaitForCall(0);
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  const auto connection = OnlyConnection(server);
  connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Pass(seconds(20));
  size_t received = 0;
  RunUntil([&] {
    received += client.ReceiveExactly(10'000).size();
    return connection->bytes_to_write() == 0;
  });
  Pass(seconds(10) - milliseconds(1));
  EXPECT_FALSE(connection->closed().determined());
  Pass(milliseconds(1));
  EXPECT_TRUE(connection->closed().determined());
  EXPECT_EQ(connection->reason(), CloseReason::kForced);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "ECONNRESET");
  EXPECT_EQ(connection->bytes_sent(),
            static_cast<int64_t>(received + drained.bytes));
}

// A slow one that sends nothing is not cut: the kernel goes on alone.
TEST_F(LingeringCloseOfTcp, IsLeftToTheKernelAfter30sOfSilence) {
  auto& server = Create(Steered());
  RawClient client = NewClient();
  client.ShrinkReceiveBuffer();
  EXPECT_EQ(client.Connect(server.listening_on_address()), "ok");
  auto& call = WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  Settle();
  const auto connection = OnlyConnection(server);
  Pass(seconds(30));
  EXPECT_TRUE(connection->closed().determined());
  EXPECT_EQ(connection->reason(), CloseReason::kHandlerDone);
  EXPECT_EQ(connection->bytes_sent(), static_cast<int64_t>(kBytes));
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
}

TEST_F(LingeringCloseOfTcp, AResetEndsItAtOnce) {
  Lingering lingering = Linger();
  lingering.connection->Close(ExistingConnections::kReset,
                              CloseReason::kShutdown);
  EXPECT_FALSE(lingering.connection->is_open());
  EXPECT_EQ(lingering.client.Drain().end, "ECONNRESET");
  RunUntil(lingering.closed);
  EXPECT_EQ(lingering.connection->reason(), CloseReason::kCalled);
}

TEST_F(LingeringCloseOfTcp, TearDownEndsItAtOnce) {
  Lingering lingering = Linger();
  TearDownServers();
  EXPECT_TRUE(lingering.closed.determined());
  EXPECT_EQ(lingering.client.Drain().end, "ECONNRESET");
}

TEST_F(LingeringCloseOfTcp, ThePeersResetEndsIt) {
  Lingering lingering = Linger();
  lingering.client.Reset();
  RunUntil(lingering.closed);
  EXPECT_EQ(lingering.connection->reason(), CloseReason::kCalled);
  EXPECT_LT(lingering.connection->bytes_sent(), static_cast<int64_t>(kBytes));
}

TEST_F(LingeringCloseOfTcp, ThePeersEndEndsIt) {
  Lingering lingering = Linger();
  lingering.client.CloseSending();
  RunUntil(lingering.closed);
  EXPECT_EQ(lingering.connection->bytes_sent(), static_cast<int64_t>(kBytes));
  const RawClient::Drained drained = lingering.client.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
}

TEST_F(LingeringCloseOfTcp, AnEarlierForceHolds) {
  Lingering lingering = Linger();
  lingering.call.writer->Close(seconds(3));
  lingering.call.writer->Close(seconds(300));
  Pass(seconds(3) - milliseconds(1));
  EXPECT_FALSE(lingering.closed.determined());
  Pass(milliseconds(1));
  EXPECT_TRUE(lingering.closed.determined());
  ExpectCut(lingering, lingering.client.Drain());
}

// The connecting side.

template <typename A>
class LingeringConnection : public LingeringClose<A> {
 protected:
  AnyAddress ListenerAddress() {
    if constexpr (std::is_same_v<A, Inet>) {
      return Inet::Address(asio::ip::address_v4::loopback(), 0);
    } else {
      return Unix::Address(this->folder().File("listener"));
    }
  }
  static WhereToConnect<A> WhereOf(const RawListener& listener) {
    if constexpr (std::is_same_v<A, Inet>) {
      return listener.where();
    } else {
      return listener.where_unix();
    }
  }
};

TYPED_TEST_SUITE(LingeringConnection, BothKinds, KindName);

TYPED_TEST(LingeringConnection, OfWithConnection) {
  RawListener listener(
      this->loop(), [this](const auto& c) { return this->RunUntil(c); },
      this->ListenerAddress());
  listener.ShrinkReceiveBuffers();
  bool over = false;
  bool ended = false;
  const Ivar<> end(this->executor());
  const auto f = [&](Socket<TypeParam>, Reader&, Writer& writer) -> Task<> {
    writer.Write(std::string(kBytes, 'x'));
    co_await end.deferred().Wait();
    ended = true;
  };
  const auto run = [&](WhereToConnect<TypeParam> where) -> Task<> {
    co_await WithConnection<TypeParam>(where, {}, f);
    over = true;
  };
  this->Start(run(this->WhereOf(listener)));
  RawClient peer = listener.Accept();
  EXPECT_EQ(peer.Send("unread\n"), "ok");
  this->Settle();
  end.Fill();
  this->RunUntil([&] { return ended; });
  this->Settle();
  EXPECT_FALSE(over);
  this->SendMore(peer);
  this->Pass(seconds(29));
  const RawClient::Drained drained = peer.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
  this->RunUntil([&] { return over; });
  listener.Close();
}

TYPED_TEST(LingeringConnection, OfConnect) {
  RawListener listener(
      this->loop(), [this](const auto& c) { return this->RunUntil(c); },
      this->ListenerAddress());
  listener.ShrinkReceiveBuffers();
  const auto connection =
      this->Run(Connect<TypeParam>(this->WhereOf(listener), {}));
  RawClient peer = listener.Accept();
  EXPECT_EQ(peer.Send("unread\n"), "ok");
  connection->writer.Write(std::string(kBytes, 'x'));
  this->Settle();
  const Deferred<> closed = connection->writer.Close();
  this->Settle();
  EXPECT_FALSE(closed.determined());
  this->SendMore(peer);
  EXPECT_EQ(peer.Drain().bytes, kBytes);
  this->RunUntil(closed);
  listener.Close();
}

// Whoever reads sees the end then, and closes what is his.
TEST_F(LingeringCloseOfTcp, WhoClosesWhatIsClosedDoesNotCutIt) {
  for (const bool of_reader : {true, false}) {
    RawListener listener(loop(), [this](const auto& c) { return RunUntil(c); });
    listener.ShrinkReceiveBuffers();
    const auto connection = Run(Connect<Inet>(listener.where(), {}));
    RawClient peer = listener.Accept();
    connection->writer.Write(std::string(kBytes, 'x'));
    Settle();
    const auto read_all = [](Reader& reader) -> Task<> {
      (void)co_await reader.ReadAll();  // Closes the Reader.
    };
    if (of_reader) Start(read_all(connection->reader));
    Settle();
    EXPECT_EQ(peer.Send("unread\n"), "ok");
    const Deferred<> closed = connection->writer.Close();
    Settle();
    EXPECT_EQ(connection->reader.is_closed(), of_reader);
    connection->socket.CloseNow();
    EXPECT_FALSE(closed.determined());
    SendMore(peer);
    EXPECT_EQ(peer.Drain().bytes, kBytes);
    RunUntil(closed);
    listener.Close();
  }
}

// When it goes, it is closed at once, whatever that loses.
TEST_F(LingeringCloseOfTcp, AConnectionThatGoesEndsIt) {
  RawListener listener(loop(), [this](const auto& c) { return RunUntil(c); });
  listener.ShrinkReceiveBuffers();
  auto connection = Run(Connect<Inet>(listener.where(), {}));
  RawClient peer = listener.Accept();
  EXPECT_EQ(peer.Send("unread\n"), "ok");
  connection->writer.Write(std::string(kBytes, 'x'));
  Settle();
  const Deferred<> closed = connection->writer.Close();
  Settle();
  EXPECT_FALSE(closed.determined());
  connection.reset();
  Settle();
  EXPECT_TRUE(closed.determined());
  listener.Close();
}

}  // namespace
}  // namespace portreeve::testing
