// Claim: by which a client takes a connection of a remote listener for itself.
#ifndef PORTREEVE_SERVER_REMOTE_CLAIM_H_
#define PORTREEVE_SERVER_REMOTE_CLAIM_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

#include "lib/base/deferred.h"
#include "lib/base/executor.h"
#include "server/api/utf8.h"

namespace portreeve::server {

// The error of a handler: its client sent `raised`.
class HandlerRaised : public std::runtime_error {
 public:
  // The most that is kept of a message, since events and logs hold it for long.
  static constexpr size_t kMaxMessageBytes = 512;

  // `message` is UTF-8, and is cut at the end of a character.
  explicit HandlerRaised(const std::string& message)
      : std::runtime_error(std::string(ClipUtf8(message, kMaxMessageBytes))) {}

  // The worker that the connection was offered to; 0: none.
  int64_t worker = 0;
};

// Stands between the handler's coroutine, which waits, and the Attach call that
// serves the connection.  It is unclaimed, then taken, then ended.
// Threads: loop thread only.
class Claim {
 public:
  explicit Claim(const Executor& executor)
      : taken_(executor), ended_(executor) {}

  // Gives true to the first caller, who has the connection from then on.
  bool Take() { return taken_.FillIfEmpty(); }
  Deferred<> taken() const { return taken_.deferred(); }
  bool is_taken() const { return taken_.deferred().determined(); }

  // The client is through with the connection, and has raised `error`, a
  // HandlerRaised, or nothing: null.  Only the first call counts.
  void End(std::exception_ptr error) { ended_.FillIfEmpty(error); }
  Deferred<std::exception_ptr> ended() const { return ended_.deferred(); }

  // Whether the connection's handler has begun, and so waits.
  bool begun = false;

  // A client has had the connection in the former process of the daemon.
  bool was_elsewhere = false;

  // The worker that the connection was offered to last; 0: none.
  int64_t offered_to = 0;

 private:
  const Ivar<> taken_;
  const Ivar<std::exception_ptr> ended_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_CLAIM_H_
