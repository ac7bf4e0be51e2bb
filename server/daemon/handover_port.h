// HandoverPort: where a process that somebody starts may take over from this
// one (--handover and --takeover).
#ifndef PORTREEVE_SERVER_DAEMON_HANDOVER_PORT_H_
#define PORTREEVE_SERVER_DAEMON_HANDOVER_PORT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/loop.h"
#include "lib/base/poller.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/serve/unix_socket_file.h"

namespace portreeve::server {

// A unix socket of type SOCK_SEQPACKET, whose file has mode 0600: whoever gets
// in there gets all that the daemon has.
// Threads: loop thread only, but for the constructor.
class HandoverPort final : private Poller::Watch {
 public:
  // What is behind the path of one that has not been published.
  static constexpr std::string_view kNext = ".next";
  // How long a path may be.
  static constexpr size_t kMaxPathBytes = kMaxUnixPathBytes - kNext.size();

  // Takes the connection of a process.
  using OnProcess = std::function<void(Descriptor)>;

  // What becomes of a file that is there already.
  enum class Former {
    kIsAnothers,  // One at which somebody listens is an error.
    kIsReplaced,  // It stays until Publish(): it is the former process's.
  };

  // Listens at `path`.
  // Errors: those of UnixSocketFile::ListenOn(), and of epoll_ctl(2).
  static absl::StatusOr<std::unique_ptr<HandoverPort>> Open(
      Loop& loop, const std::string& path, Former former, OnProcess on_process);

  HandoverPort(const HandoverPort&) = delete;
  HandoverPort& operator=(const HandoverPort&) = delete;
  // Removes the file, unless it is another process's by now, or LeaveFile() was
  // called.
  ~HandoverPort();

  // Takes the place of whatever is at the path.  With kIsAnothers it has it
  // already.
  // Errors: those of rename(2).
  absl::Status Publish();

  // Leaves the file to the process that has taken over, which may put its own
  // there at any moment.
  void LeaveFile() { leaves_file_ = true; }

 private:
  // How long it waits after a failed accept(2).
  static constexpr std::chrono::seconds kRetryAfter{1};

  HandoverPort(Loop& loop, std::string path, Descriptor socket,
               UnixSocketFile file, OnProcess on_process);

  void OnReady(uint32_t events, int tag) override;

  Poller& poller_;
  const std::string path_;
  const Descriptor socket_;
  UnixSocketFile file_;
  const OnProcess on_process_;
  bool watched_ = false;
  bool leaves_file_ = false;
  Timer retry_;
};

// Connects to the process whose --handover is `path`.
// Errors: those of connect(2).
absl::StatusOr<Descriptor> ConnectToTakeOver(const std::string& path);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_HANDOVER_PORT_H_
