// OpenStreams: the calls of a service that are not over.
#ifndef PORTREEVE_SERVER_CALLS_OPEN_STREAMS_H_
#define PORTREEVE_SERVER_CALLS_OPEN_STREAMS_H_

#include <boost/intrusive/list.hpp>
#include <memory>

#include "lib/base/deferred.h"
#include "lib/base/executor.h"

namespace portreeve::server {

// One of them: a reactor of gRPC, which ends by itself in the end.
// Threads: loop thread only.
class OpenStream {
 public:
  virtual ~OpenStream() = default;

  // Ends it as its service does when the daemon goes: at once with
  // SHUTTING_DOWN where it has not begun, else as it is described there.
  virtual void CloseForShutdown() = 0;

 private:
  friend class OpenStreams;

  boost::intrusive::list_member_hook<> hook_;
  std::shared_ptr<OpenStream> self_;  // While it is one of them.
};

// gRPC's part in owning them, and the gate that ends them.
// Threads: loop thread only, but for the constructor.
class OpenStreams {
 public:
  explicit OpenStreams(const Executor& executor) : all_ended_(executor) {}
  OpenStreams(const OpenStreams&) = delete;
  OpenStreams& operator=(const OpenStreams&) = delete;

  // Keeps `stream` until Remove().  False after End(): it was closed with
  // SHUTTING_DOWN.  To keep it takes no memory: a call that nobody keeps
  // would never end.
  bool Add(std::shared_ptr<OpenStream> stream);
  void Remove(OpenStream* stream);

  // Closes all, and later ones, for the shutdown.  Determined when there is
  // none left; one whose client does not read what it was sent stays.
  // Idempotent.
  Deferred<> End();

 private:
  void CheckAllEnded();

  bool ended_ = false;
  const Ivar<> all_ended_;
  boost::intrusive::list<
      OpenStream,
      boost::intrusive::member_hook<
          OpenStream, boost::intrusive::list_member_hook<>, &OpenStream::hook_>>
      streams_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_OPEN_STREAMS_H_
