// Where the control plane is reached: the values of --control, and what has to
// be done around gRPC's own binding.
#ifndef PORTREEVE_SERVER_CONTROL_ADDRESS_H_
#define PORTREEVE_SERVER_CONTROL_ADDRESS_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "lib/address.h"
#include "lib/unix_socket_file.h"

namespace portreeve::server {

// "tcp:HOST:PORT", where HOST is an IP literal, `localhost` (127.0.0.1), or `*`
// or nothing (every address), and port 0 is chosen by the OS; or "unix:PATH",
// relative to `directory`.  Errors: INVALID_ARGUMENT, one line.
absl::StatusOr<AnyAddress> ParseControlAddress(const std::string& text,
                                               const std::string& directory);

// Whether only this machine reaches `address`: loopback and unix sockets.
bool IsLocal(const AnyAddress& address);

// One control address from before gRPC binds it to the end of the daemon.
//
// A unix socket gets its path by Publish(): gRPC binds another name beside it,
// because it would take away a live daemon's file when it starts, and a
// successor's when it ends.
class ControlEndpoint {
 public:
  // Checks that gRPC will be able to bind, which by itself does not tell why it
  // cannot.  Removes a unix socket's file that a dead daemon left.  Errors:
  // ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, BIND_NOT_PERMITTED, NOT_A_SOCKET,
  // INVALID_FIELD.
  static absl::StatusOr<ControlEndpoint> Prepare(const AnyAddress& address);

  bool is_unix() const { return !bound_path_.empty(); }
  // For ServerBuilder::AddListeningPort().
  const std::string& target() const { return target_; }
  // Where gRPC writes the port.  Stays where it is when the endpoint is moved.
  int* selected_port() { return selected_port_.get(); }

  // Makes a unix socket reachable at its path, once gRPC listens.  Errors:
  // ADDRESS_IN_USE and others of link(2).
  absl::Status Publish();

  // The address, with the port that gRPC got.
  AnyAddress bound() const;

  // Removes what was made in the file system and is still ours.  Idempotent.
  void Remove();

 private:
  ControlEndpoint(AnyAddress address, std::string target,
                  std::string bound_path);

  AnyAddress address_;
  std::string target_;
  std::string bound_path_;  // Of gRPC's own file; "" for TCP.
  std::unique_ptr<int> selected_port_;
  std::optional<UnixSocketFile> file_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_ADDRESS_H_
