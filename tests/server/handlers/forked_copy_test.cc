// Descriptors of which another process holds a copy, as a child of fork(2)
// does: what the kernel keeps for the copy does no harm here.
#include <unistd.h>

#include "lib/base/descriptor.h"
#include "server/handlers/handlers.h"
#include "tests/server/handlers_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

template <AddressKind A>
class ForkedCopyTest : public ServerFixture<A> {};
using BothKinds = ::testing::Types<Inet, Unix>;
TYPED_TEST_SUITE(ForkedCopyTest, BothKinds);

TYPED_TEST(ForkedCopyTest, NobodyConnectsToAClosedListeningSocket) {
  auto& server = this->Create(this->Steered());
  this->Settle();
  const Descriptor copy(dup(server.any_server().native_handle()));
  RawClient waits = this->ConnectedClient(server);
  const AnyAddress address = server.listening_on_address();
  // Nobody has accepted yet.
  server.Close();
  RawClient late = this->NewClient();
  EXPECT_NE(late.Connect(address), "ok");
  // No step of the loop is spent on it.
  this->Settle();
  EXPECT_TRUE(this->calls().empty());
}

TYPED_TEST(ForkedCopyTest, WhatComesForAClosedConnectionIsNotHeard) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  this->WaitForCall(0);
  const auto connection = server.any_server().connections().begin()->second;
  const Descriptor copy(
      dup(std::static_pointer_cast<StreamConnection>(connection)
              ->socket()
              ->socket()
              .native_handle()));
  this->calls()[0]->end.Fill("");
  this->RunUntil(connection->closed());
  // Whoever has its descriptor now.
  RawClient next = this->ConnectedClient(server);
  this->WaitForCall(1);
  client.Send("late");
  this->Settle();
  next.Send("x");
  this->calls()[1]->end.Fill("");
  this->RunUntil([&] { return server.num_connections() == 0; });
}

// Whose descriptors the poller knows by itself.
class ForkedCopyOfDirectTest : public HandlersFixture {
 protected:
  // This process's descriptor that is connected to `client`.
  static int DescriptorOf(const RawClient& client) {
    for (int fd = 0; fd < 1024; ++fd) {
      Inet::Address peer;
      auto size = static_cast<socklen_t>(peer.capacity());
      if (getpeername(fd, peer.data(), &size) != 0) continue;
      if (AnyAddress(peer) == client.local_address()) return fd;
    }
    return -1;
  }
};

TEST_F(ForkedCopyOfDirectTest, WhatComesForAClosedConnectionIsNotHeard) {
  for (AnyHandler handler : {server::EchoHandler(), server::DiscardHandler()}) {
    AnyServer& server = Serve(std::move(handler));
    RawClient client = ClientOf(server);
    RunUntil([&] { return server.num_connections() == 1; });
    const Descriptor copy(dup(DescriptorOf(client)));
    ASSERT_TRUE(copy.is_open());
    server.connections().begin()->second->Close(ExistingConnections::kClose,
                                                CloseReason::kCalled);
    RunUntil([&] { return server.num_connections() == 0; });
    // What takes its place in the poller is not told of it.
    RawClient next = ClientOf(server);
    RunUntil([&] { return server.num_connections() == 1; });
    client.Send("late");
    Settle();
    EXPECT_EQ(server.connections().begin()->second->bytes_received(), 0);
    client.Reset();
    Settle();
    EXPECT_EQ(server.num_connections(), 1);
    EXPECT_EQ(next.Peek(), "nothing");
  }
}

}  // namespace
}  // namespace portreeve::testing
