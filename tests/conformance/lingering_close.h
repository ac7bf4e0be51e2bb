// LingeringClose: a server that closes while its client has not read all, and
// has sent what nobody read.
#ifndef PORTREEVE_TESTS_CONFORMANCE_LINGERING_CLOSE_H_
#define PORTREEVE_TESTS_CONFORMANCE_LINGERING_CLOSE_H_

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {

// The kernel of a TCP connection takes all of it, and a peer that does not read
// a part.
inline constexpr size_t kBytes = 1'000'000;

class LingeringClose : public ServerTest {
 protected:
  // One that keeps little, and has sent what nobody reads.
  RawClient SendingClient(const Server<Kind>& server) {
    RawClient client = NewClient();
    client.ShrinkReceiveBuffer();
    EXPECT_EQ(client.Connect(server.listening_on_address()), "ok");
    EXPECT_EQ(client.Send("unread\n"), "ok");
    return client;
  }

  // As StartServing(), with such a client.
  Serving StartWithUnread(
      OnHandlerError<Kind> on_handler_error = RaiseHandlerError()) {
    Server<Kind>& server = Create(Steered(), {}, std::move(on_handler_error));
    RawClient client = SendingClient(server);
    Call& call = WaitForCall(calls().size());
    return {server, std::move(client), call};
  }

  static std::shared_ptr<AnyConnection> OnlyConnection(Server<Kind>& server) {
    if (server.num_connections() == 0) throw std::runtime_error("it is closed");
    return server.any_server().connections().begin()->second;
  }

  // The connection was closed with kBytes written.
  void ExpectAllArrives(Server<Kind>& server, RawClient& client,
                        CloseReason reason) {
    Settle();
    const auto connection = OnlyConnection(server);
    EXPECT_EQ(server.num_connections(), 1);
    EXPECT_TRUE(connection->is_open());
    EXPECT_FALSE(connection->closed().determined());
    SendMore(client);
    Pass(std::chrono::seconds(5));
    SendMore(client);
    Pass(std::chrono::seconds(20));
    EXPECT_EQ(server.num_connections(), 1);
    const RawClient::Drained drained = client.Drain();
    EXPECT_EQ(drained.bytes, kBytes);
    EXPECT_EQ(drained.end, "EOF");
    WaitForNoConnections(server);
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

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_CONFORMANCE_LINGERING_CLOSE_H_
