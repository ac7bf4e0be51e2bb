// StreamMover: leads connections that clients serve to the daemon's next
// process (ServerFrame.Moved in proto/portreeve/v1/connection.proto).
#ifndef PORTREEVE_SERVER_REMOTE_STREAM_MOVER_H_
#define PORTREEVE_SERVER_REMOTE_STREAM_MOVER_H_

#include <cstdint>

#include "lib/base/deferred.h"

namespace portreeve::server {

// Threads: loop thread only.
class StreamMover {
 public:
  // Determined once there is a next process that takes them.
  virtual Deferred<> begun() const = 0;

  // Gives the connection `id` to that process: here it is let go of
  // (StreamConnection::LetGo()), and forgotten.  Gives false where it cannot
  // be; then nothing has happened.
  virtual bool Move(int64_t id) = 0;

 protected:
  ~StreamMover() = default;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_STREAM_MOVER_H_
