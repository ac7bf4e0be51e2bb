// OpenStreams: the calls of a service that are not over.
#ifndef PORTREEVE_SERVER_CALLS_OPEN_STREAMS_H_
#define PORTREEVE_SERVER_CALLS_OPEN_STREAMS_H_

#include <map>
#include <memory>

#include "lib/base/deferred.h"
#include "lib/base/executor.h"
#include "server/calls/call_stream.h"

namespace portreeve::server {

// gRPC's part in owning them, and the gate that ends them.
// Threads: loop thread only, but for the constructor.
class OpenStreams {
 public:
  explicit OpenStreams(const Executor& executor) : all_ended_(executor) {}
  OpenStreams(const OpenStreams&) = delete;
  OpenStreams& operator=(const OpenStreams&) = delete;

  // Keeps `stream` until Remove().  False after End(): it was closed with
  // SHUTTING_DOWN.
  bool Add(std::shared_ptr<CallStream> stream);
  void Remove(CallStream* stream);

  // Closes those that no message has come on, and later ones, with
  // SHUTTING_DOWN.  Determined when there is none left; one whose client does
  // not read what it was sent stays.  Idempotent.
  Deferred<> End();

 private:
  void CheckAllEnded();

  bool ended_ = false;
  const Ivar<> all_ended_;
  std::map<CallStream*, std::shared_ptr<CallStream>> streams_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_OPEN_STREAMS_H_
