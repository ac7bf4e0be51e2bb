// OpenCalls: the calls of a service that are not over.
#ifndef PORTREEVE_SERVER_CALLS_OPEN_CALLS_H_
#define PORTREEVE_SERVER_CALLS_OPEN_CALLS_H_

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <memory>

#include "lib/base/deferred.h"
#include "lib/base/executor.h"

namespace portreeve::server {

// A call that gRPC drives through a reactor, and that ends by itself in the
// end.
// Threads: loop thread only.
class OpenCall {
 public:
  virtual ~OpenCall() = default;

  // Ends it as its service does when the daemon goes: at once with
  // SHUTTING_DOWN where it has not begun, else as it is described there.
  virtual void CloseForShutdown() = 0;

 private:
  friend class OpenCalls;

  boost::intrusive::list_member_hook<> hook_;
  std::shared_ptr<OpenCall> self_;  // While OpenCalls keeps it.
};

// gRPC's part in owning them, and the gate that ends them.
// Threads: loop thread only, but for the constructor.
class OpenCalls {
 public:
  explicit OpenCalls(const Executor& executor) : all_ended_(executor) {}
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;

  // Keeps `call` until Remove().  False after End(): it was closed with
  // SHUTTING_DOWN.  To keep it takes no memory: a call that nobody keeps
  // would never end.
  bool Add(std::shared_ptr<OpenCall> call);
  void Remove(OpenCall* call);

  size_t size() const { return calls_.size(); }

  // Closes all, and later ones, for the shutdown.  Determined when there is
  // none left; one whose client does not read what it was sent stays.
  // Idempotent.
  Deferred<> End();

 private:
  void CheckAllEnded();

  bool ended_ = false;
  const Ivar<> all_ended_;
  boost::intrusive::list<
      OpenCall,
      boost::intrusive::member_hook<
          OpenCall, boost::intrusive::list_member_hook<>, &OpenCall::hook_>>
      calls_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_OPEN_CALLS_H_
