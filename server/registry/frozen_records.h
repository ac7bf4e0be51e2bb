// What a process hands over of sockets and addresses, from and to the messages
// of portreeve/internal/v1/handover.proto.
#ifndef PORTREEVE_SERVER_REGISTRY_FROZEN_RECORDS_H_
#define PORTREEVE_SERVER_REGISTRY_FROZEN_RECORDS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/serve/frozen_server.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// Gives a time as all processes of the machine have it.
inline int64_t NanosOf(TimePoint time) {
  return time.time_since_epoch().count();
}
inline TimePoint TimeOfNanos(int64_t nanos) {
  return TimePoint(std::chrono::nanoseconds(nanos));
}

// Gives an address as the kernel has it where ToProto() cannot be read back: a
// unix one whose path is not UTF-8, or longer than others may be, as anybody
// may bind a socket to; "" for any other.
std::string RawOf(const AnyAddress& address);
// Gives the address that ToProto() and RawOf() were given.
// Errors: HANDOVER_DAMAGED for what is none.
absl::StatusOr<AnyAddress> AddressOf(const v1::Address& address,
                                     const std::string& raw);

// Gives where a socket is bound, as the kernel has it.
// Errors: those of getsockname(2).
absl::StatusOr<AnyAddress> BoundAddressOf(int fd);

// Puts what is said of a listening socket into a HandoverListener or a
// HandoverControlSocket.  Its descriptor is the record's only one.
template <typename Record>
void PutSocket(const FrozenListeningSocket& socket, Record& record) {
  if (socket.descriptor >= 0) record.set_listening_descriptor(0);
  record.set_leave_to_others(!socket.shut_down);
  if (!socket.file) return;
  auto& file = *record.mutable_unix_file();
  file.set_path(socket.file->path);
  file.set_device(socket.file->device);
  file.set_inode(socket.file->inode);
}

// Gives what PutSocket() was given, but for the descriptor.
template <typename Record>
FrozenListeningSocket SocketOf(const Record& record, AnyAddress address,
                               int effective_backlog) {
  FrozenListeningSocket socket;
  socket.address = std::move(address);
  socket.effective_backlog = effective_backlog;
  socket.shut_down = !record.leave_to_others();
  if (record.has_unix_file()) {
    const auto& file = record.unix_file();
    socket.file =
        UnixSocketFile::Identity{file.path(), static_cast<dev_t>(file.device()),
                                 static_cast<ino_t>(file.inode())};
  }
  return socket;
}

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_FROZEN_RECORDS_H_
