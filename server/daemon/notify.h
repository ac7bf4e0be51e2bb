// Notifier: tells the service manager that has started the daemon (systemd) how
// it does, by sd_notify(3)'s protocol.
#ifndef PORTREEVE_SERVER_DAEMON_NOTIFY_H_
#define PORTREEVE_SERVER_DAEMON_NOTIFY_H_

#include <sys/types.h>
#include <sys/un.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/mutex.h"
#include "lib/base/time_source.h"
#include "server/daemon/service_messages.h"

namespace portreeve::server {

// What the service manager has put into the environment.
struct NotifyVariables {
  std::optional<std::string> socket;         // NOTIFY_SOCKET
  std::optional<std::string> watchdog_usec;  // WATCHDOG_USEC
  std::optional<std::string> watchdog_pid;   // WATCHDOG_PID

  // Takes them out of the environment, so that no child takes them for its
  // own.  It must be called while there is no other thread.
  static NotifyVariables Take();
};

struct NotifyAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};

// Gives the socket that NOTIFY_SOCKET names: an absolute path, or "@" and an
// abstract name.  Errors: INVALID_ARGUMENT, one line.
absl::StatusOr<NotifyAddress> ParseNotifySocket(const std::string& text);

// Gives within which time a sign of life is expected of process `self`; nullopt
// where none is.  Errors: INVALID_ARGUMENT, one line.
absl::StatusOr<std::optional<Duration>> ParseWatchdog(
    const NotifyVariables& variables, pid_t self);

// Without NOTIFY_SOCKET it opens nothing and sends nothing.  What is wrong with
// the variables, or with the first message that cannot be sent, is logged;
// nothing else comes of it.
//
// No method waits.  Threads: any.
class Notifier {
 public:
  Notifier(const NotifyVariables& variables, pid_t self);
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  bool is_on() const { return socket_.is_open(); }
  // Gives how often, at the least, Alive() is to be called, if at all.
  std::optional<Duration> watchdog() const { return watchdog_; }

  // These send what ServiceMessages says.
  void Ready(const std::string& status);
  void Reloading();
  void Reloaded(const std::string& status);
  void Alive(const std::string& status);
  void Stopping(const std::string& status, Duration most);
  // Another process is the main one of the service from now on, and all that is
  // told comes from that.
  void MainPid(pid_t pid);

  // These send what ServiceMessages says, with a copy of a descriptor.  They
  // give the error for which nothing was sent, and log nothing.  Errors:
  // ABORTED where the manager takes no more messages now; those of
  // sendmsg(2).
  absl::Status Store(const std::string& name, int fd);
  absl::Status Remove(const std::string& name);
  absl::Status Barrier(int fd);

 private:
  absl::Status Open(const std::string& name);
  void Send(const std::string& message) PORTREEVE_REQUIRES(mutex_);
  // -1: without a descriptor.
  absl::Status SendWith(const std::string& message, int fd)
      PORTREEVE_REQUIRES(mutex_);

  Descriptor socket_;
  NotifyAddress address_;
  std::optional<Duration> watchdog_;
  Mutex mutex_;  // Messages leave in the order in which they are made.
  ServiceMessages messages_ PORTREEVE_GUARDED_BY(mutex_);
  bool failed_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool silent_ PORTREEVE_GUARDED_BY(mutex_) = false;  // After MainPid().
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_NOTIFY_H_
