// Scenarios (k): a client that leaves is never its handler's error, whatever
// step the handler is in.  CONFORMANCE S9.
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <string_view>

#include "lib/base/status.h"
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;

// More than the kernel keeps of one connection.
const std::string& FiveMegabytes() {
  static const auto* const data = new std::string(5'000'000, 'x');
  return *data;
}

Task<> NextStep() {
  co_await asio::post(co_await asio::this_coro::executor, kAwait);
}

Task<> ReadToTheEnd(Reader& reader) {
  while (co_await reader.ReadLine()) {
  }
}

// The handlers.  Each ends some time after its client has left.

Task<> WritesOnceAStep(Reader&, Writer& writer) {
  while (!writer.consumer_left().determined()) {
    writer.Write("x");
    co_await NextStep();
  }
  for (int i = 0; i < 3; ++i) {
    writer.Write("x");
    co_await NextStep();
  }
}

Task<> WritesNowOnceAStep(Reader&, Writer& writer) {
  const std::string_view piece = "x";
  while (!writer.consumer_left().determined()) {
    writer.WriteNow({&piece, 1});
    writer.WriteNow({&piece, 1});
    co_await NextStep();
  }
  writer.WriteNow({&piece, 1});
}

Task<> SaysGoodbyeAfterTheEnd(Reader& reader, Writer& writer) {
  co_await ReadToTheEnd(reader);
  for (int i = 0; i < 5; ++i) {
    writer.Write("goodbye\n");
    co_await NextStep();
  }
}

Task<> SaysGoodbyeBehind5Megabytes(Reader& reader, Writer& writer) {
  writer.Write(FiveMegabytes());
  co_await NextStep();
  co_await SaysGoodbyeAfterTheEnd(reader, writer);
}

Task<> AwaitsTheFlushOfEachWrite(Reader&, Writer& writer) {
  FlushResult result = FlushResult::kFlushed;
  while (result == FlushResult::kFlushed) {
    writer.Write(FiveMegabytes());
    const Deferred<FlushResult> flushed = writer.Flushed();
    result = co_await flushed.Wait();
  }
  writer.Write("more");
  const Deferred<FlushResult> flushed = writer.Flushed();
  EXPECT_EQ(co_await flushed.Wait(), FlushResult::kLost);
}

Task<> ReadsAllBehind5Megabytes(Reader& reader, Writer& writer) {
  writer.Write(FiveMegabytes());
  co_await NextStep();
  (void)co_await reader.ReadAll();  // Closes the Reader.
}

Task<> HalfClosesBehind5Megabytes(Reader& reader, Writer& writer) {
  writer.Write(FiveMegabytes());
  writer.HalfClose();
  co_await ReadToTheEnd(reader);
}

Task<> ClosesItsWriterBehind5Megabytes(Reader& reader, Writer& writer) {
  writer.Write(FiveMegabytes());
  writer.Close();
  co_await ReadToTheEnd(reader);
}

struct Step {
  const char* name;
  Task<> (*handler)(Reader&, Writer&);
  bool waits_for_reset;  // A client that ends in order is none that leaves.
};

const Step kSteps[] = {
    {"writes", WritesOnceAStep, false},
    {"writes now", WritesNowOnceAStep, false},
    {"goodbye", SaysGoodbyeAfterTheEnd, false},
    {"5 MB and goodbye", SaysGoodbyeBehind5Megabytes, false},
    {"flushes", AwaitsTheFlushOfEachWrite, false},
    {"5 MB and reads all", ReadsAllBehind5Megabytes, true},
    {"5 MB and half-closes", HalfClosesBehind5Megabytes, false},
    {"5 MB and closes", ClosesItsWriterBehind5Megabytes, false},
};

class LeavingClient : public ServerTest {
 protected:
  Server<Kind>& CreateWith(Task<> (*handler)(Reader&, Writer&)) {
    return Create([handler](Kind::Address, Reader& reader, Writer& writer) {
      return handler(reader, writer);
    });
  }

  Server<Kind>& CreateSock(Server<Kind>::SockHandler handler) {
    auto created = Server<Kind>::CreateSock(executor(), Where(),
                                            RaiseHandlerError(), handler);
    if (!created.ok()) std::abort();
    Server<Kind>& server = **created;
    Adopt(*std::move(created));
    return server;
  }

  // Nobody is left, and the server has no error.
  void ExpectCountedOut(Server<Kind>& server, const std::string& step) {
    WaitForNoConnections(server);
    Settle();
    EXPECT_FALSE(server.is_closed()) << step;
    EXPECT_EQ(server.any_server().handler_errors_total(), 0) << step;
    EXPECT_EQ(TakeErrors(), Texts()) << step;
  }

  static constexpr int kClients = 20;
};

TEST_F(LeavingClient, K_ResetsBeforeTheHandlerBegins) {
  for (const Step& step : kSteps) {
    auto& server = CreateWith(step.handler);
    for (int i = 0; i < kClients; ++i) {
      RawClient client = ConnectedClient(server);
      client.Reset();
    }
    ExpectCountedOut(server, step.name);
  }
}

// At different points of the handler's first steps.
TEST_F(LeavingClient, K_ResetsWhileTheHandlerIsAtWork) {
  for (const Step& step : kSteps) {
    auto& server = CreateWith(step.handler);
    for (int i = 0; i < kClients; ++i) {
      RawClient client = ConnectedClient(server);
      EXPECT_EQ(client.Send("hello\n"), "ok");
      for (int steps = 0; steps < i; ++steps) loop().poll_one();
      client.Reset();
    }
    ExpectCountedOut(server, step.name);
  }
}

// Some of the output has arrived, and the rest is pending.
TEST_F(LeavingClient, K_ResetsWithOutputUnread) {
  for (const Step& step : kSteps) {
    if (step.handler == SaysGoodbyeAfterTheEnd) continue;  // Is silent.
    auto& server = CreateWith(step.handler);
    for (int i = 0; i < kClients; ++i) {
      RawClient client = ConnectedClient(server);
      EXPECT_EQ(client.ReceiveExactly(1), "x");
      client.Reset();
    }
    ExpectCountedOut(server, step.name);
  }
}

TEST_F(LeavingClient, K_ClosesInOrder) {
  for (const Step& step : kSteps) {
    // On a unix socket input that is unread at the close is a reset.
    if (step.waits_for_reset) continue;
    auto& server = CreateWith(step.handler);
    for (int i = 0; i < kClients; ++i) {
      RawClient client = ConnectedClient(server);
      EXPECT_EQ(client.Send("hello\n"), "ok");
      for (int steps = 0; steps < i; ++steps) loop().poll_one();
      client.Close();
    }
    ExpectCountedOut(server, step.name);
  }
}

// Nobody has read or written since, so that the handler's close is the first
// to meet the reset.
TEST_F(LeavingClient, K_ResetsAndTheHandlerClosesItsReader) {
  auto [server, client, call] = StartServing();
  call.writer->Write(FiveMegabytes());
  Settle();
  client.Reset();
  call.reader->Close();
  call.writer->Write("more");
  call.end.Fill("");
  ExpectCountedOut(server, "closes its Reader");
}

TEST_F(LeavingClient, K_WhatIsWrittenAfterwardsIsLost) {
  auto [server, client, call] = StartServing();
  client.Reset();
  call.writer->Write("x");
  RunUntil(call.writer->consumer_left());
  EXPECT_TRUE(call.writer->is_closed());
  const std::string_view piece = "x";
  call.writer->Write("");
  call.writer->Write(piece);
  call.writer->WriteNow({&piece, 1});
  const Deferred<FlushResult> flushed = call.writer->Flushed();
  RunUntil([&] { return flushed.determined(); });
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  // A Writer that the handler itself closes is closed.
  call.writer->Close();
  EXPECT_THROW(call.writer->Write("x"), StatusError);
  call.end.Fill("");
  ExpectCountedOut(server, "writes");
}

TEST_F(LeavingClient, K_WhatWasWrittenNowIsLost) {
  auto [server, client, call] = StartServing();
  client.Reset();
  const std::string_view piece = "x";
  while (!call.writer->is_closed()) call.writer->WriteNow({&piece, 1});
  const Deferred<FlushResult> flushed = call.writer->Flushed();
  RunUntil([&] { return flushed.determined(); });
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  call.end.Fill("");
  ExpectCountedOut(server, "writes now");
}

// Handlers on the bare socket.

Task<> ReadsWithAsio(Socket<Kind> socket) {
  char space[100];
  while (true) {
    co_await socket.asio_socket().async_read_some(asio::buffer(space), kAwait);
  }
}

Task<> WritesWithAsio(Socket<Kind> socket) {
  while (true) {
    co_await asio::async_write(socket.asio_socket(),
                               asio::buffer(FiveMegabytes()), kAwait);
  }
}

TEST_F(LeavingClient, K_OfAHandlerOnTheBareSocket) {
  for (Task<> (*const handler)(Socket<Kind>) :
       {ReadsWithAsio, WritesWithAsio}) {
    auto& server = CreateSock([handler](Kind::Address, Socket<Kind> socket) {
      return handler(socket);
    });
    for (int i = 0; i < kClients; ++i) {
      RawClient client = ConnectedClient(server);
      EXPECT_EQ(client.Send("hello\n"), "ok");
      for (int steps = 0; steps < i; ++steps) loop().poll_one();
      i % 2 == 0 ? client.Reset() : client.Close();
    }
    ExpectCountedOut(server, "bare");
  }
}

// What another socket of the handler's has met is its error.
TEST_F(LeavingClient, K_AnotherPeersResetIsTheHandlersError) {
  auto& server = CreateSock([](Kind::Address, Socket<Kind>) -> Task<> {
    throw boost::system::system_error(asio::error::connection_reset);
    co_return;
  });
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(WaitForErrors(1), Texts({"Connection reset by peer [system:104]"}));
  RunUntil(server.close_finished());
}

}  // namespace
}  // namespace portreeve::testing
