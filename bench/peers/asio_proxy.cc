// asio_proxy ADDRESS:PORT UPSTREAM:PORT: forwards as anybody would write it
// with Asio's coroutines.  One thread.
#include <arpa/inet.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "bench/net.h"

namespace portreeve::bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::experimental::awaitable_operators::operator&&;
// No exception at the end of each connection.
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// Until the end, which is passed on, or a failure, which ends both directions.
asio::awaitable<void> Transfer(tcp::socket& from, tcp::socket& to) {
  std::array<char, 4096> data;
  for (;;) {
    const auto [error, size] =
        co_await from.async_read_some(asio::buffer(data), kTuple);
    boost::system::error_code ignored;
    if (error == asio::error::eof) {
      to.shutdown(tcp::socket::shutdown_send, ignored);
      co_return;
    }
    if (!error) {
      const auto [write_error, sent] =
          co_await asio::async_write(to, asio::buffer(data, size), kTuple);
      if (!write_error) continue;
    }
    from.close(ignored);
    to.close(ignored);
    co_return;
  }
}

asio::awaitable<void> Forward(tcp::socket client, tcp::endpoint to) {
  tcp::socket upstream(client.get_executor());
  const auto [error] = co_await upstream.async_connect(to, kTuple);
  if (error) co_return;
  upstream.set_option(tcp::no_delay(true));
  co_await (Transfer(client, upstream) && Transfer(upstream, client));
}

asio::awaitable<void> Accept(tcp::acceptor acceptor, tcp::endpoint to) {
  for (;;) {
    auto [error, client] = co_await acceptor.async_accept(kTuple);
    if (error) continue;
    asio::co_spawn(acceptor.get_executor(), Forward(std::move(client), to),
                   asio::detached);
  }
}

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) {
  using namespace portreeve::bench;
  RaiseDescriptorLimit();
  const int listener = ListenOn(ParseEndpoint(argc > 2 ? argv[1] : ""));
  const sockaddr_in to = ParseEndpoint(argv[2]);
  const tcp::endpoint upstream(asio::ip::address_v4(ntohl(to.sin_addr.s_addr)),
                               ntohs(to.sin_port));
  PrintPort(listener);
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::v4(), listener);
  asio::co_spawn(context, Accept(std::move(acceptor), upstream),
                 asio::detached);
  context.run();
}
