#include "tests/testing/raw_listener.h"

#include <unistd.h>

#include <utility>
#include <variant>

namespace portreeve::testing {

RawListener::RawListener(asio::io_context& loop, RawClient::RunUntil run_until,
                         const AnyAddress& address)
    : loop_(loop), run_until_(std::move(run_until)), acceptor_(loop) {
  std::visit(
      [this](const auto& a) {
        acceptor_.open(asio::generic::stream_protocol(a.protocol()));
        acceptor_.bind(asio::generic::stream_protocol::endpoint(a));
      },
      address);
  acceptor_.listen();
  acceptor_.non_blocking(true);
  address_ = FromEndpoint(acceptor_.local_endpoint());
}

RawListener::~RawListener() {
  if (const auto* file = std::get_if<Unix::Address>(&address_)) {
    unlink(file->path().c_str());
  }
}

void RawListener::ShrinkReceiveBuffers() {
  acceptor_.set_option(asio::socket_base::receive_buffer_size(4096));
}

std::optional<RawClient> RawListener::TryAccept() {
  RawClient client(loop_, run_until_);
  error_code ec;
  acceptor_.accept(client.socket(), ec);
  if (ec) return std::nullopt;
  client.socket().native_non_blocking(true);
  return client;
}

RawClient RawListener::Accept() {
  while (true) {
    if (std::optional<RawClient> client = TryAccept()) {
      return *std::move(client);
    }
    bool ready = false;
    acceptor_.async_wait(asio::socket_base::wait_read,
                         [&](error_code) { ready = true; });
    if (!run_until_([&] { return ready; })) {
      acceptor_.cancel();
      return RawClient(loop_, run_until_);
    }
  }
}

Inet::Address RawListener::inet_address() const {
  return std::get<Inet::Address>(address_);
}

WhereToConnect<Inet> RawListener::where() const {
  return WhereToConnect<Inet>::OfInetAddress(inet_address());
}

WhereToConnect<Unix> RawListener::where_unix() const {
  return WhereToConnect<Unix>::OfUnixAddress(std::get<Unix::Address>(address_));
}

void RawListener::Close() { acceptor_.close(); }

}  // namespace portreeve::testing
