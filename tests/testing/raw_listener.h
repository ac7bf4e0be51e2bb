// RawListener: a plain listening socket for the connecting side to meet.
#ifndef PORTREEVE_TESTS_TESTING_RAW_LISTENER_H_
#define PORTREEVE_TESTS_TESTING_RAW_LISTENER_H_

#include <boost/asio/basic_socket_acceptor.hpp>
#include <optional>
#include <string>

#include "lib/net/where.h"
#include "tests/testing/raw_client.h"

namespace portreeve::testing {

// Listens on a port of 127.0.0.1 that the OS chooses, or on a file, from its
// creation on.  The test reads and writes what it accepts: nothing happens
// there by itself.
class RawListener {
 public:
  RawListener(asio::io_context& loop, RawClient::RunUntil run_until)
      : RawListener(loop, std::move(run_until),
                    Inet::Address(asio::ip::address_v4::loopback(), 0)) {}
  RawListener(asio::io_context& loop, RawClient::RunUntil run_until,
              const AnyAddress& address);
  ~RawListener();  // It removes the file.

  // Gives what it accepts from now on a small receive buffer, so that a peer's
  // large write stays with the peer.
  void ShrinkReceiveBuffers();

  // Waits for a client; `run_until` runs the loop meanwhile.
  RawClient Accept();
  // Accepts a client that waits in the backlog, if there is one.
  std::optional<RawClient> TryAccept();

  // These CHECK the kind of the address.
  Inet::Address inet_address() const;
  WhereToConnect<Inet> where() const;
  WhereToConnect<Unix> where_unix() const;

  // Stops listening.
  void Close();

 private:
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol,
                                               asio::io_context::executor_type>;

  asio::io_context& loop_;
  const RawClient::RunUntil run_until_;
  Acceptor acceptor_;
  AnyAddress address_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_RAW_LISTENER_H_
