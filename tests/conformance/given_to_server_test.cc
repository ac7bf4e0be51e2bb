// CONFORMANCE S2: a server on a socket that it is given.
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "tests/conformance/both_kinds.h"
#include "tests/testing/in_child.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

using Address = Kind::Address;

constexpr int kFamily = kIsInet ? AF_INET : AF_UNIX;
// More than are called where nothing happens.
constexpr int kMostHandlers = 1000;
constexpr int kOtherFamily = kIsInet ? AF_UNIX : AF_INET;

class GivenToServerTest : public ServerTest {
 protected:
  // Creates a server on `socket`; the fixture tears it down.
  Server<Kind>* CreateOn(Descriptor socket,
                         const WhereToListen<Kind>& where = Anywhere(),
                         ServerOptions options = {}) {
    auto server =
        Server<Kind>::Create(executor(), where, RaiseHandlerError(), Echo(),
                             std::move(options), std::move(socket));
    if (!server.ok()) {
      ADD_FAILURE() << server.status();
      return nullptr;
    }
    Server<Kind>* const created = server->get();
    Adopt(*std::move(server));
    return created;
  }

  absl::Status ErrorOn(Descriptor socket,
                       const WhereToListen<Kind>& where = Anywhere(),
                       ServerOptions options = {}) {
    return TryCreate(where, std::move(socket), std::move(options));
  }

  // Has `where` lead to `address`.
  static void MoveTo(WhereToListen<Inet>& where, const Inet::Address& address) {
    where.port = address.port();
  }
  static void MoveTo(WhereToListen<Unix>& where, const Unix::Address& address) {
    where.path = address.path();
  }

  // What says nothing but the kind.
  static WhereToListen<Kind> Anywhere() { return WhereToListen<Kind>(); }

  Descriptor Bound() { return BoundSocket(AddressOf(Where())); }
  Descriptor Listening(int backlog = 5) {
    return ListeningSocketAt(AddressOf(Where()), backlog);
  }

  static Address AddressAt(const Descriptor& fd) {
    return std::get<Address>(LocalAddressOf(fd));
  }

  RawClient ClientAt(const Address& address) {
    RawClient client = NewClient();
    EXPECT_EQ(client.Connect(address), "ok");
    return client;
  }

  static void ExpectEcho(RawClient& client) {
    EXPECT_EQ(client.Send("hello\n"), "ok");
    EXPECT_EQ(client.Receive(), "hello\n");
  }
};

TEST_F(GivenToServerTest, OneThatIsNotBoundIsBoundToWhere) {
  Descriptor fd = NewSocket(kFamily);
  const int number = fd.get();
  const Descriptor copy = CopyOf(fd);
  WhereToListen<Kind> where = Where();
  auto* const server = CreateOn(std::move(fd), where);
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(server->any_server().native_handle(), number);
  EXPECT_EQ(server->listening_on_address(), AddressAt(copy));
  MoveTo(where, AddressAt(copy));  // The port that the OS has chosen.
  EXPECT_EQ(server->listening_on_address(), AddressOf(where));
  RawClient client = ConnectedClient(*server);
  ExpectEcho(client);
}

TEST_F(GivenToServerTest, OneThatIsBoundStaysAndIsMadeToListen) {
  Descriptor fd = Bound();
  const Address address = AddressAt(fd);
  const Descriptor copy = CopyOf(fd);
  EXPECT_FALSE(IsListening(copy));
  // Another address is of no account.
  auto* const server = CreateOn(std::move(fd), Where());
  ASSERT_NE(server, nullptr);
  EXPECT_TRUE(IsListening(copy));
  EXPECT_EQ(server->listening_on_address(), address);
  RawClient client = ClientAt(address);
  ExpectEcho(client);
}

TEST_F(GivenToServerTest, OneThatListensServesWhoIsInItsBacklog) {
  Descriptor fd = Listening();
  const Address address = AddressAt(fd);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(ClientAt(address));
    EXPECT_EQ(clients.back().Send("early\n"), "ok");
  }
  auto* const server = CreateOn(std::move(fd));
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(server->listening_on_address(), address);
  for (RawClient& client : clients) EXPECT_EQ(client.Receive(), "early\n");
  EXPECT_EQ(server->num_connections(), 3);
}

TEST_F(GivenToServerTest, TheBacklogIsTheOneThatIsAskedFor) {
  Descriptor fd = Listening(5);
  const Address address = AddressAt(fd);
  ServerOptions options;
  options.max_pending_connections = 0;
  options.max_connections = 1;
  auto* const server = CreateOn(std::move(fd), Anywhere(), options);
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(server->any_server().effective_backlog(), 0);
  RawClient first = ConnectedClient(*server);
  ExpectEcho(first);
  TakeLog();  // The limit.
  RawClient waits = ClientAt(address);
  // Of five that the socket had room for, one is left.
  RawClient beyond = NewClient();
  EXPECT_EQ(beyond.StartConnecting(address),
            kIsInet ? "EINPROGRESS" : "EAGAIN");
}

TEST_F(GivenToServerTest, AllOptionsAreObeyed) {
  ServerOptions options;
  options.max_connections = 1;
  options.drop_incoming_connections = true;
  auto* const server = CreateOn(Listening(), Anywhere(), options);
  ASSERT_NE(server, nullptr);
  RawClient dropped = ConnectedClient(*server);
  EXPECT_EQ(dropped.Receive(), "EOF");
  server->SetDropIncomingConnections(false);
  RawClient first = ConnectedClient(*server);
  ExpectEcho(first);
  RawClient second = ConnectedClient(*server);
  EXPECT_EQ(second.Send("wait\n"), "ok");
  Settle();
  TakeLog();  // The limit.
  EXPECT_EQ(second.Peek(), "nothing");
  first.Close();
  EXPECT_EQ(second.Receive(), "wait\n");
}

TEST_F(GivenToServerTest, OptionsOfTheSocketAreLeftAsTheyAre) {
  Descriptor fd = NewSocket(kFamily);
  const Descriptor copy = CopyOf(fd);
  ASSERT_NE(CreateOn(std::move(fd), Where()), nullptr);
  EXPECT_EQ(OptionOf(copy, SOL_SOCKET, SO_REUSEADDR), 0);
  EXPECT_TRUE(IsNonBlocking(copy));
}

TEST_F(GivenToServerTest, OnTheBareSocketToo) {
  Descriptor fd = Listening();
  int keepalive = -1;
  auto handler = [&](Address, Socket<Kind> socket) -> Task<> {
    const Descriptor copy(dup(socket.native_handle()));
    keepalive = OptionOf(copy, SOL_SOCKET, SO_KEEPALIVE);
    co_return;
  };
  auto server =
      Server<Kind>::CreateSock(executor(), Anywhere(), RaiseHandlerError(),
                               handler, ServerOptions(), std::move(fd));
  ASSERT_TRUE(server.ok()) << server.status();
  RawClient client = ConnectedClient(**server);
  Adopt(*std::move(server));
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(keepalive, kIsInet ? 1 : 0);
}

TEST_F(GivenToServerTest, AfterTheCloseWhoHasACopyTakesTheClients) {
  Descriptor fd = Listening();
  Descriptor copy = CopyOf(fd);
  const Address address = AddressAt(fd);
  auto* const server = CreateOn(std::move(fd));
  ASSERT_NE(server, nullptr);
  RawClient before = ConnectedClient(*server);
  ExpectEcho(before);
  server->any_server().SetAccepting(false);
  Settle();
  RawClient waits = ClientAt(address);
  RunUntil(server->Close());
  EXPECT_EQ(waits.Peek(), "nothing");
  RawClient late = ClientAt(address);
  ExpectEcho(before);
  ASSERT_NE(CreateOn(std::move(copy)), nullptr);
  ExpectEcho(waits);
  ExpectEcho(late);
}

// Epoll would tell of it for as long as there is a copy.
TEST_F(GivenToServerTest, AfterTheCloseTheLoopIsNotToldOfIt) {
  Descriptor fd = Listening();
  const Descriptor copy = CopyOf(fd);
  const Address address = AddressAt(fd);
  auto* const server = CreateOn(std::move(fd));
  ASSERT_NE(server, nullptr);
  // The loop goes on to ask epoll.
  Create(Echo());
  RunUntil(server->Close());
  RawClient client = ClientAt(address);
  loop().restart();
  int count = 0;
  while (count < kMostHandlers && loop().poll_one() > 0) ++count;
  EXPECT_LT(count, kMostHandlers);
}

TEST_F(GivenToServerTest, ItIsShutDownIfItIsToBe) {
  Descriptor fd = Listening();
  const Descriptor copy = CopyOf(fd);
  const Address address = AddressAt(fd);
  ServerOptions options;
  options.shut_down_given_socket = true;
  auto* const server = CreateOn(std::move(fd), Anywhere(), options);
  ASSERT_NE(server, nullptr);
  RunUntil(server->Close());
  RawClient client = NewClient();
  EXPECT_EQ(client.Connect(address), "ECONNREFUSED");
}

// One that listens here for the first time is no other's either.
TEST_F(GivenToServerTest, OneThatIsBoundHereIsNotShutDown) {
  Descriptor fd = NewSocket(kFamily);
  const Descriptor copy = CopyOf(fd);
  auto* const server = CreateOn(std::move(fd), Where());
  ASSERT_NE(server, nullptr);
  RunUntil(server->Close());
  EXPECT_TRUE(IsListening(copy));
}

TEST_F(GivenToServerTest, AChildServesWhatItInherits) {
  const Descriptor fd = Listening();
  const Address address = AddressAt(fd);
  RawClient client = ClientAt(address);
  EXPECT_EQ(client.Send("to the child\n"), "ok");
  InChild([&] {
    asio::io_context child_loop{1};
    const Executor child_executor(child_loop.get_executor());
    std::unique_ptr<Server<Kind>> server;
    auto handler = [&](Address, Reader& reader, Writer& writer) -> Task<> {
      writer.Write(*co_await reader.ReadLine() + " of a parent");
      server->Close();
    };
    auto created =
        Server<Kind>::Create(child_executor, Anywhere(), RaiseHandlerError(),
                             handler, ServerOptions(), CopyOf(fd));
    ASSERT_TRUE(created.ok()) << created.status();
    server = *std::move(created);
    child_loop.run();
    EXPECT_TRUE(server->close_finished_and_handlers_determined().determined());
  });
  EXPECT_EQ(client.Receive(), "to the child of a parent");
  // It is still the parent's, and so is its file.
  auto* const server = CreateOn(CopyOf(fd));
  ASSERT_NE(server, nullptr);
  RawClient next = ClientAt(address);
  ExpectEcho(next);
}

TEST_F(GivenToServerTest, AWrongOneIsRefused) {
  EXPECT_EQ(ErrorOn(NewSocket(kFamily, SOCK_DGRAM), Where()).message(),
            "socket: must be a stream socket, but is a datagram one");
  EXPECT_EQ(DetailOf(ErrorOn(NewSocket(kOtherFamily), Where())).field,
            "socket");
  EXPECT_EQ(DetailOf(ErrorOn(Descriptor(), Where())).field, "socket");
  EXPECT_EQ(DetailOf(ErrorOn(Descriptor(dup(STDIN_FILENO)), Where())).reason,
            Reason::kNotASocket);
  // One end of a connection, which the other end does not notice until it is
  // closed.
  const Descriptor listening = Listening();
  RawClient client = ClientAt(AddressAt(listening));
  Descriptor connected(accept(listening.get(), nullptr, nullptr));
  const Descriptor copy = CopyOf(connected);
  EXPECT_EQ(ErrorOn(std::move(connected), Where()).message(),
            "socket: must not be connected, but is");
  EXPECT_EQ(client.Peek(), "nothing");
}

TEST_F(GivenToServerTest, WhatIsRefusedStaysAsItWas) {
  ServerOptions options;
  options.max_connections = 0;
  Descriptor fd = Bound();
  const Descriptor copy = CopyOf(fd);
  EXPECT_EQ(DetailOf(ErrorOn(std::move(fd), Where(), options)).field,
            "max_connections");
  EXPECT_FALSE(IsListening(copy));
  EXPECT_FALSE(IsNonBlocking(copy));
}

TEST_F(GivenToServerTest, AnAddressInUseIsAnError) {
  const Descriptor other = Listening();
  WhereToListen<Kind> where = Where();
  MoveTo(where, AddressAt(other));
  const absl::Status error = ErrorOn(NewSocket(kFamily), where);
  EXPECT_EQ(DetailOf(error).reason, Reason::kAddressInUse);
  EXPECT_EQ(DetailOf(error).address, ToString(where));
}

}  // namespace
}  // namespace portreeve::testing
