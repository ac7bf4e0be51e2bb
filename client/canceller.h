// Canceller: ends calls that are under way, and those that are to come.
#ifndef PORTREEVE_CLIENT_CANCELLER_H_
#define PORTREEVE_CLIENT_CANCELLER_H_

#include <functional>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

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
  friend class CancellerEntry;

  void Add(const void* key, std::function<void()> cancel);
  void Remove(const void* key);

  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<const void*, std::function<void()>> entries_ ABSL_GUARDED_BY(mutex_);
};

// What a Canceller ends, while this lives.  For the .cc files of this library
// only.
class CancellerEntry {
 public:
  // `canceller` may be null.  `cancel` is called once, by another thread or at
  // once; it may not wait for the end of this.
  CancellerEntry(Canceller* canceller, std::function<void()> cancel);
  CancellerEntry(const CancellerEntry&) = delete;
  CancellerEntry& operator=(const CancellerEntry&) = delete;
  ~CancellerEntry();

 private:
  Canceller* const canceller_;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_CANCELLER_H_
