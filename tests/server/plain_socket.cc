#include "tests/server/plain_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace portreeve::testing {
namespace {

constexpr int kDeadlineSeconds = 20;

int NewSocket(int family) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval deadline{kDeadlineSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
  return fd;
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

PlainClient::PlainClient(int port) : fd_(NewSocket(AF_INET)) {
  const sockaddr_in address = Loopback(port);
  EXPECT_EQ(
      connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address),
      0)
      << strerrorname_np(errno);
}

PlainClient::PlainClient(const std::string& path) : fd_(NewSocket(AF_UNIX)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(
      connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address),
      0)
      << strerrorname_np(errno);
}

PlainClient::PlainClient(Accepted accepted) : fd_(accepted.fd) {
  const timeval deadline{kDeadlineSeconds, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
}

PlainClient::PlainClient(PlainClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

PlainClient::~PlainClient() { Close(); }

void PlainClient::Send(const std::string& data) {
  EXPECT_EQ(send(fd_, data.data(), data.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(data.size()));
}

void PlainClient::HalfClose() { shutdown(fd_, SHUT_WR); }

std::string PlainClient::Receive() {
  char buffer[4096];
  const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
  if (n < 0) return strerrorname_np(errno);
  return n == 0 ? "EOF" : std::string(buffer, static_cast<size_t>(n));
}

bool PlainClient::HasInput() const {
  pollfd poll_fd{fd_, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1;
}

std::string PlainClient::ReceiveAll() {
  std::string all;
  char buffer[65536];
  for (;;) {
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0) return all + "|" + strerrorname_np(errno);
    if (n == 0) return all + "|EOF";
    all.append(buffer, static_cast<size_t>(n));
  }
}

void PlainClient::Expect(const std::string& data) {
  std::string got(data.size(), '\0');
  const ssize_t n = recv(fd_, got.data(), got.size(), MSG_WAITALL);
  ASSERT_EQ(n, static_cast<ssize_t>(data.size())) << strerrorname_np(errno);
  EXPECT_TRUE(got == data);
}

void PlainClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void PlainClient::Reset() {
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  Close();
}

PlainListener::PlainListener(int backlog) : fd_(NewSocket(AF_INET)) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(fd_, any, size), 0);
  EXPECT_EQ(listen(fd_, backlog), 0);
  EXPECT_EQ(getsockname(fd_, any, &size), 0);
  port_ = ntohs(address.sin_port);
}

PlainListener::~PlainListener() { Close(); }

PlainClient PlainListener::Accept() {
  const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  EXPECT_GE(fd, 0) << strerrorname_np(errno);
  return PlainClient(PlainClient::Accepted{fd});
}

bool PlainListener::HasClient() const {
  pollfd poll_fd{fd_, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1;
}

void PlainListener::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

}  // namespace portreeve::testing
