#include "server/daemon/notify.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "server/daemon/taken_variable.h"

namespace portreeve::server {
namespace {

absl::Status Wrong(const char* variable, const std::string& value,
                   absl::string_view expected) {
  return WrongVariable(variable, value, absl::StrCat("expected ", expected));
}

}  // namespace

NotifyVariables NotifyVariables::Take() {
  NotifyVariables variables;
  variables.socket = TakeVariable("NOTIFY_SOCKET");
  variables.watchdog_usec = TakeVariable("WATCHDOG_USEC");
  variables.watchdog_pid = TakeVariable("WATCHDOG_PID");
  return variables;
}

absl::StatusOr<NotifyAddress> ParseNotifySocket(const std::string& text) {
  NotifyAddress address;
  sockaddr_un& un = address.address;
  un.sun_family = AF_UNIX;
  const bool is_abstract = text.rfind('@', 0) == 0;
  if ((!is_abstract && text.rfind('/', 0) != 0) || text.size() < 2) {
    return Wrong("NOTIFY_SOCKET", text, "an absolute path, or @NAME");
  }
  // A path has its NUL; an abstract name has none at its end.
  if (text.size() + (is_abstract ? 0 : 1) > sizeof un.sun_path) {
    return Wrong("NOTIFY_SOCKET", text, "a name that a unix socket can have");
  }
  std::memcpy(un.sun_path, text.data(), text.size());
  if (is_abstract) un.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                        text.size() + (is_abstract ? 0 : 1));
  return address;
}

absl::StatusOr<std::optional<Duration>> ParseWatchdog(
    const NotifyVariables& variables, pid_t self) {
  if (!variables.watchdog_usec) return std::optional<Duration>();
  if (const auto& text = variables.watchdog_pid) {
    int64_t pid = 0;
    if (!absl::SimpleAtoi(*text, &pid) || pid < 1) {
      return Wrong("WATCHDOG_PID", *text, "the number of a process");
    }
    if (pid != self) return std::optional<Duration>();
  }
  const std::string& text = *variables.watchdog_usec;
  int64_t microseconds = 0;
  constexpr std::chrono::hours kMost{24 * 365};
  if (!absl::SimpleAtoi(text, &microseconds) || microseconds < 1) {
    return Wrong("WATCHDOG_USEC", text, "a number of microseconds");
  }
  if (std::chrono::microseconds(microseconds) > kMost) {
    return std::optional<Duration>(kMost);
  }
  return std::optional<Duration>(std::chrono::microseconds(microseconds));
}

Notifier::Notifier(const NotifyVariables& variables, pid_t self) {
  if (!variables.socket) return;
  const absl::Status opened = Open(*variables.socket);
  if (!opened.ok()) {
    Log(LogLevel::kWarning,
        absl::StrCat(absl::string_view(opened.message()),
                     "; the service manager is told nothing"));
    return;
  }
  const auto watchdog = ParseWatchdog(variables, self);
  if (watchdog.ok()) {
    watchdog_ = *watchdog;
  } else {
    Log(LogLevel::kWarning,
        absl::StrCat(absl::string_view(watchdog.status().message()),
                     "; no sign of life is given"));
  }
}

absl::Status Notifier::Open(const std::string& name) {
  const auto address = ParseNotifySocket(name);
  if (!address.ok()) return address.status();
  address_ = *address;
  socket_ = Descriptor(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return is_on() ? absl::OkStatus()
                 : ErrnoError(errno, "socket", "NOTIFY_SOCKET");
}

void Notifier::Ready(const std::string& status) {
  const MutexLock lock(mutex_);
  Send(messages_.Ready(status));
}

void Notifier::Reloading() {
  // On Linux this is CLOCK_MONOTONIC.
  const Duration now = std::chrono::steady_clock::now().time_since_epoch();
  const MutexLock lock(mutex_);
  Send(messages_.Reloading(now));
}

void Notifier::Reloaded(const std::string& status) {
  const MutexLock lock(mutex_);
  Send(messages_.Reloaded(status));
}

void Notifier::Alive(const std::string& status) {
  const MutexLock lock(mutex_);
  Send(messages_.Alive(status));
}

void Notifier::Stopping(const std::string& status, Duration most) {
  const MutexLock lock(mutex_);
  Send(messages_.Stopping(status, most));
}

void Notifier::MainPid(pid_t pid) {
  const MutexLock lock(mutex_);
  Send(absl::StrCat("MAINPID=", pid));
  silent_ = true;
}

absl::Status Notifier::Store(const std::string& name, int fd) {
  const MutexLock lock(mutex_);
  return SendWith(ServiceMessages::Store(name), fd);
}

absl::Status Notifier::Remove(const std::string& name) {
  const MutexLock lock(mutex_);
  return SendWith(ServiceMessages::Remove(name), -1);
}

absl::Status Notifier::Barrier(int fd) {
  const MutexLock lock(mutex_);
  return SendWith(ServiceMessages::Barrier(), fd);
}

void Notifier::Send(const std::string& message) {
  if (!is_on() || silent_ || message.empty()) return;
  const absl::Status sent = SendWith(message, -1);
  if (sent.ok() || std::exchange(failed_, true)) return;
  Log(LogLevel::kWarning,
      absl::StrCat("the service manager takes no message, of which only the "
                   "first is logged: ",
                   absl::string_view(sent.message())));
}

absl::Status Notifier::SendWith(const std::string& message, int fd) {
  iovec text{const_cast<char*>(message.data()), message.size()};
  msghdr header{};
  header.msg_name = &address_.address;
  header.msg_namelen = address_.size;
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
  if (fd >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  if (sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    return absl::OkStatus();
  }
  const int error = errno;
  const absl::Status status = ErrnoError(error, "sendmsg", "NOTIFY_SOCKET");
  if (error != EAGAIN && error != ENOBUFS) return status;
  return absl::AbortedError(status.message());
}

}  // namespace portreeve::server
