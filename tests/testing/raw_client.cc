#include "tests/testing/raw_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace portreeve::testing {
namespace {

// The kernel answers on the loopback interface by itself; this only keeps a
// test from hanging.
constexpr int kKernelDeadlineMs = 20000;

}  // namespace

std::string ErrnoName(int error_number) {
  const char* const name = strerrorname_np(error_number);
  return name != nullptr ? name : "?";
}

std::string RawClient::Connect(const AnyAddress& address) {
  return std::visit(
      [this](const auto& a) -> std::string {
        const asio::generic::stream_protocol protocol(a.protocol());
        socket_.open(protocol);
        socket_.native_non_blocking(true);
        if (receive_buffer_ > 0) {
          socket_.set_option(
              asio::socket_base::receive_buffer_size(receive_buffer_));
        }
        auto endpoint = a;
        if constexpr (std::is_same_v<decltype(endpoint), Inet::Address>) {
          // A server on every address is reached on the loopback one.
          if (endpoint.address().is_unspecified()) {
            endpoint.address(asio::ip::address_v4::loopback());
          }
        }
        const int result = connect(socket_.native_handle(), endpoint.data(),
                                   static_cast<socklen_t>(endpoint.size()));
        if (result == 0) return "ok";
        return errno == EINPROGRESS ? AwaitConnection() : ErrnoName(errno);
      },
      address);
}

std::string RawClient::AwaitConnection() {
  pollfd wait = {socket_.native_handle(), POLLOUT, 0};
  if (!waits_for_connection_ || poll(&wait, 1, kKernelDeadlineMs) != 1) {
    return "EINPROGRESS";
  }
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? "ok" : ErrnoName(error);
}

std::string RawClient::StartConnecting(const AnyAddress& address) {
  waits_for_connection_ = false;
  return Connect(address);
}

std::string RawClient::Send(const std::string& data) {
  size_t sent = 0;
  while (sent < data.size()) {
    const ssize_t n = send(socket_.native_handle(), data.data() + sent,
                           data.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) return ErrnoName(errno);
    if (n > 0) {
      sent += static_cast<size_t>(n);
      continue;
    }
    bool writable = false;
    socket_.async_wait(asio::socket_base::wait_write,
                       [&](error_code) { writable = true; });
    if (!run_until_([&] { return writable; })) return "stuck";
  }
  return "ok";
}

std::string RawClient::TryReceive(size_t most) {
  std::string data(most, '\0');
  const ssize_t n =
      recv(socket_.native_handle(), data.data(), data.size(), MSG_DONTWAIT);
  if (n == 0) return "EOF";
  if (n < 0) return errno == EAGAIN ? "nothing" : ErrnoName(errno);
  data.resize(static_cast<size_t>(n));
  return data;
}

std::string RawClient::Peek() { return TryReceive(65536); }

std::string RawClient::Receive(size_t most) {
  while (true) {
    std::string received = TryReceive(most);
    if (received != "nothing") return received;
    bool readable = false;
    socket_.async_wait(asio::socket_base::wait_read,
                       [&](error_code) { readable = true; });
    if (!run_until_([&] { return readable; })) {
      socket_.cancel();
      return "nothing";
    }
  }
}

std::string RawClient::ReceiveExactly(size_t size) {
  std::string all;
  while (all.size() < size) {
    const std::string some = Receive(size - all.size());
    if (some == "EOF" || some == "nothing" || some[0] == 'E') {
      return all + some;
    }
    all += some;
  }
  return all;
}

RawClient::Drained RawClient::Drain() {
  Drained drained;
  while (true) {
    const std::string some = Receive(1 << 20);
    if (some == "EOF" || some == "nothing" ||
        (some.size() < 16 && some[0] == 'E')) {
      drained.end = some;
      return drained;
    }
    drained.bytes += some.size();
  }
}

void RawClient::CloseSending() {
  socket_.shutdown(asio::socket_base::shutdown_send);
}

void RawClient::Close() { socket_.close(); }

void RawClient::Reset() {
  socket_.set_option(asio::socket_base::linger(true, 0));
  socket_.close();
}

void RawClient::ShrinkReceiveBuffer() {
  if (socket_.is_open()) throw std::logic_error("it is connected already");
  receive_buffer_ = 4096;
}

AnyAddress RawClient::local_address() const {
  return FromEndpoint(socket_.local_endpoint());
}

}  // namespace portreeve::testing
