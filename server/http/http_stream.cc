#include "server/http/http_stream.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace portreeve::server {
namespace {

std::array<asio::const_buffer, 2> BuffersOf(std::string_view head,
                                            std::string_view body) {
  return {asio::buffer(head.data(), head.size()),
          asio::buffer(body.data(), body.size())};
}

// The same for both kinds.
template <typename Stream>
Task<std::tuple<error_code, size_t>> ReadFrom(Stream& stream,
                                              std::span<char> space) {
  const auto buffer = asio::buffer(space.data(), space.size());
  co_return co_await stream.async_read_some(buffer, kTuple);
}

template <typename Stream>
Task<error_code> WriteTo(Stream& stream, std::string_view head,
                         std::string_view body) {
  const auto buffers = BuffersOf(head, body);
  const auto [error, size] =
      co_await asio::async_write(stream, buffers, kTuple);
  co_return error;
}

class PlainStream final : public HttpStream {
 public:
  explicit PlainStream(StreamSocket socket) : socket_(std::move(socket)) {}

  Task<std::tuple<error_code, std::vector<std::string>>> Handshake() override {
    co_return std::tuple(error_code(), std::vector<std::string>());
  }
  Task<std::tuple<error_code, size_t>> Read(std::span<char> space) override {
    return ReadFrom(socket_, space);
  }
  Task<error_code> Write(std::string_view head,
                         std::string_view body) override {
    return WriteTo(socket_, head, body);
  }
  Task<> End(size_t most) override { return EndSocket(most); }

 private:
  StreamSocket& socket() override { return socket_; }

  StreamSocket socket_;
};

class TlsStream final : public HttpStream {
 public:
  TlsStream(StreamSocket socket, std::shared_ptr<TlsContext> tls)
      : tls_(std::move(tls)), stream_(std::move(socket), tls_->context()) {}

  Task<std::tuple<error_code, std::vector<std::string>>> Handshake() override {
    const auto [error] = co_await stream_.async_handshake(
        asio::ssl::stream_base::server, kTuple);
    std::vector<std::string> names;
    if (!error) {
      X509* const shown = SSL_get0_peer_certificate(stream_.native_handle());
      if (shown != nullptr) names = NamesOf(shown);
    }
    co_return std::tuple(error, std::move(names));
  }
  Task<std::tuple<error_code, size_t>> Read(std::span<char> space) override {
    return ReadFrom(stream_, space);
  }
  Task<error_code> Write(std::string_view head,
                         std::string_view body) override {
    return WriteTo(stream_, head, body);
  }
  Task<> End(size_t most) override {
    // It waits for the client's own end; where bytes come instead, it fails.
    (void)co_await stream_.async_shutdown(kTuple);
    co_await EndSocket(most);
  }

 private:
  StreamSocket& socket() override { return stream_.next_layer(); }

  const std::shared_ptr<TlsContext> tls_;
  asio::ssl::stream<StreamSocket> stream_;
};

}  // namespace

std::unique_ptr<HttpStream> HttpStream::Make(StreamSocket socket,
                                             std::shared_ptr<TlsContext> tls) {
  if (tls == nullptr) return std::make_unique<PlainStream>(std::move(socket));
  return std::make_unique<TlsStream>(std::move(socket), std::move(tls));
}

void HttpStream::Cancel() {
  error_code ignored;
  socket().cancel(ignored);
}

void HttpStream::Reset() {
  error_code ignored;
  socket().set_option(asio::socket_base::linger(true, 0), ignored);
  Close();
}

void HttpStream::Close() {
  error_code ignored;
  socket().close(ignored);
}

Task<> HttpStream::EndSocket(size_t most) {
  error_code ignored;
  socket().shutdown(StreamSocket::shutdown_send, ignored);
  char space[1024];
  for (size_t size = 0; size < most;) {
    const auto buffer = asio::buffer(space);
    const auto [error, count] =
        co_await socket().async_read_some(buffer, kTuple);
    if (error) co_return;
    size += count;
  }
}

}  // namespace portreeve::server
