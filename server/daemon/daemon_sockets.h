// DaemonSockets: the sockets of --control and --http, as they go over.
#ifndef PORTREEVE_SERVER_DAEMON_DAEMON_SOCKETS_H_
#define PORTREEVE_SERVER_DAEMON_DAEMON_SOCKETS_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/net/address.h"
#include "lib/serve/listening_socket.h"
#include "lib/serve/unix_socket_file.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/flags.h"
#include "server/daemon/http_port.h"
#include "server/upgrade/own_sockets.h"

namespace portreeve::server {

// Lifetime: what it is made of must outlive it.
class DaemonSockets final : public OwnSockets {
 public:
  // Opens what was taken, each by its place, and what is lacking.
  using Open =
      std::function<absl::Status(std::map<size_t, HandedSocket> control,
                                 std::map<size_t, HandedSocket> http)>;

  // `flags` are those of the process, in one that takes over without --control
  // they get the addresses of the other one's sockets.  `plane` and `http` may
  // be null as long as they are not open.
  DaemonSockets(Flags& flags, const std::unique_ptr<ControlPlane>& plane,
                const std::unique_ptr<HttpPort>& http, Open open = nullptr)
      : flags_(flags), plane_(plane), http_(http), open_(std::move(open)) {}

  std::vector<OwnSocket> Freeze() override;
  void HandOver() override;
  absl::Status Take(const OwnSocket& socket, Descriptor descriptor) override;
  absl::Status Complete() override;
  void Own() override;
  // All is closed with the process, by nothing but close(2).
  void GiveUp() override {}

 private:
  Flags& flags_;
  const std::unique_ptr<ControlPlane>& plane_;
  const std::unique_ptr<HttpPort>& http_;
  const Open open_;
  bool has_control_ = false;  // The other one's, in place of the default.
  // Of sockets that nobody listens at any more.
  std::vector<UnixSocketFile::Identity> needless_files_;
  std::map<size_t, HandedSocket> control_taken_;
  std::map<size_t, HandedSocket> http_taken_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_DAEMON_SOCKETS_H_
