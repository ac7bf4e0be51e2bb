#include "server/daemon/handover_port.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/socket_calls.h"
#include "lib/base/status.h"
#include "lib/net/address.h"

namespace portreeve::server {
namespace {

constexpr UnixSocketFile::Rights kOwn{0600, std::nullopt};
// One is served at a time, and those who come too often wait here.
constexpr int kBacklog = 4;

Descriptor NewSocket() {
  return Descriptor(
      socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

std::string NameOf(const std::string& path) {
  return absl::StrCat("unix:", path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HandoverPort>> HandoverPort::Open(
    Loop& loop, const std::string& path, Former former, OnProcess on_process) {
  Descriptor socket = NewSocket();
  if (!socket.is_open()) return ErrnoError(errno, "socket", NameOf(path));
  // One that was killed before Publish() leaves that, which is taken away.
  const std::string own_path =
      former == Former::kIsReplaced ? path + std::string(kNext) : path;
  auto file = UnixSocketFile::ListenOn(socket.get(), own_path, kOwn, kBacklog);
  if (!file.ok()) return file.status();
  std::unique_ptr<HandoverPort> port(new HandoverPort(
      loop, path, std::move(socket), *std::move(file), std::move(on_process)));
  Watch& watch = *port;
  if (const int error = port->poller_.Add(port->socket_.get(), EPOLLIN, watch);
      error != 0) {
    return ErrnoError(error, "epoll_ctl", NameOf(path));
  }
  port->watched_ = true;
  return port;
}

HandoverPort::HandoverPort(Loop& loop, std::string path, Descriptor socket,
                           UnixSocketFile file, OnProcess on_process)
    : poller_(Poller::Of(loop.context())),
      path_(std::move(path)),
      socket_(std::move(socket)),
      file_(std::move(file)),
      on_process_(std::move(on_process)),
      retry_(TimeSource::Of(loop.context())) {}

HandoverPort::~HandoverPort() {
  if (!leaves_file_) file_.RemoveIfOurs();
  if (watched_) poller_.RemoveNow(socket_.get(), *this);
}

absl::Status HandoverPort::Publish() {
  UnixSocketFile::Identity published = file_.identity();
  if (published.path == path_) return absl::OkStatus();
  if (std::rename(published.path.c_str(), path_.c_str()) != 0) {
    return ErrnoError(errno, "rename", NameOf(path_));
  }
  published.path = path_;
  if (auto file = UnixSocketFile::Find(published)) file_ = *std::move(file);
  return absl::OkStatus();
}

void HandoverPort::OnReady(uint32_t, int) {
  // Those who are behind it are reported in the next round.
  Descriptor process(
      accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (process.is_open()) {
    Guarded([&] { on_process_(std::move(process)); });
  } else if (!WouldBlock(errno)) {
    // Such as without a descriptor for it.
    (void)poller_.Change(socket_.get(), 0, *this);
    retry_.StartAfter(kRetryAfter, [this] {
      (void)poller_.Change(socket_.get(), EPOLLIN, *this);
    });
  }
}

absl::StatusOr<Descriptor> ConnectToTakeOver(const std::string& path) {
  Descriptor socket = NewSocket();
  if (!socket.is_open()) return ErrnoError(errno, "socket", NameOf(path));
  const Unix::Address address(path);
  if (connect(socket.get(), address.data(),
              static_cast<socklen_t>(address.size())) != 0) {
    return ErrnoError(errno, "connect", NameOf(path));
  }
  return socket;
}

}  // namespace portreeve::server
