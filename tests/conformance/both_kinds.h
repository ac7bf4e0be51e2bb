// ServerTest: the suite of the scenarios that hold for both kinds of address.
// The BUILD file compiles each file that includes this once for Inet and once
// for Unix: the kind is PORTREEVE_KIND.
#ifndef PORTREEVE_TESTS_CONFORMANCE_BOTH_KINDS_H_
#define PORTREEVE_TESTS_CONFORMANCE_BOTH_KINDS_H_

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/testing/server_fixture.h"

namespace portreeve::testing {

using Kind = PORTREEVE_KIND;
inline constexpr bool kIsInet = std::is_same_v<Kind, Inet>;

class ServerTest : public ServerFixture<Kind> {
 protected:
  // More than the kernel keeps for a client that does not read.
  static constexpr size_t kBigBytes = 20'000'000;

  // A server with one client, in whose handler it is; the test says how that
  // ends.
  struct Serving {
    Server<Kind>& server;
    RawClient client;
    Call& call;
  };
  Serving StartServing(
      ServerOptions options = {},
      OnHandlerError<Kind> on_handler_error = RaiseHandlerError()) {
    Server<Kind>& server =
        Create(Steered(), std::move(options), std::move(on_handler_error));
    RawClient client = ConnectedClient(server);
    Call& call = WaitForCall(calls().size());
    return {server, std::move(client), call};
  }

  void Pass(Duration time) {
    this->time().Advance(time);
    Settle();
  }

  void WaitForNoConnections(Server<Kind>& server) {
    RunUntil([&] { return server.num_connections() == 0; });
  }

  // Waits until `count` errors have reached the creator's monitor: their texts.
  std::vector<std::string> WaitForErrors(size_t count) {
    std::vector<std::string> seen;
    RunUntil([&] {
      for (std::string& error : TakeErrors()) seen.push_back(std::move(error));
      return seen.size() >= count;
    });
    return seen;
  }

  // What connect(2) says once the server is closed: the port answers nobody;
  // the file is gone.
  static std::string Refused() { return kIsInet ? "ECONNREFUSED" : "ENOENT"; }

  static ServerOptions WithMaxConnections(int max_connections) {
    ServerOptions options;
    options.max_connections = max_connections;
    return options;
  }
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_CONFORMANCE_BOTH_KINDS_H_
