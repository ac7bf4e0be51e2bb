// asio_echo ADDRESS:PORT: an echo as anybody would write it with Asio's
// coroutines.  One thread.
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
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
// No exception at the end of each connection.
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

asio::awaitable<void> Echo(tcp::socket socket) {
  std::array<char, 4096> data;
  for (;;) {
    const auto [error, size] =
        co_await socket.async_read_some(asio::buffer(data), kTuple);
    if (error) co_return;
    const auto [write_error, sent] =
        co_await asio::async_write(socket, asio::buffer(data, size), kTuple);
    if (write_error) co_return;
  }
}

asio::awaitable<void> Accept(tcp::acceptor acceptor) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (error) continue;
    asio::co_spawn(acceptor.get_executor(), Echo(std::move(socket)),
                   asio::detached);
  }
}

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) {
  using namespace portreeve::bench;
  RaiseDescriptorLimit();
  const int listener = ListenOn(ParseEndpoint(argc > 1 ? argv[1] : ""));
  PrintPort(listener);
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::v4(), listener);
  asio::co_spawn(context, Accept(std::move(acceptor)), asio::detached);
  context.run();
}
