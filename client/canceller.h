// Canceller: ends calls that are under way, and those that are to come.
#ifndef PORTREEVE_CLIENT_CANCELLER_H_
#define PORTREEVE_CLIENT_CANCELLER_H_

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace grpc {
class ClientContext;
}  // namespace grpc

namespace portreeve::client {

// The calls that have one among their options end with CANCELLED once it is
// cancelled, whatever they wait for: a Stream, a Watch or a Worker has a Cancel
// of its own, but only a Canceller ends the wait for its start.
//
// Threads: any.
// Lifetime: it must outlive those calls, and the streams that they give.
class Canceller {
 public:
  Canceller() = default;
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  // Ends the calls that there are or will be.  Idempotent.
  void Cancel();

  // Whether Cancel has been called.
  bool is_cancelled() const;

 private:
  friend class AppliedOptions;

  void Add(grpc::ClientContext& context);
  void Remove(grpc::ClientContext& context);

  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_CANCELLER_H_
