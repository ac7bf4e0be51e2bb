// Silence: how long a stream has sent nothing.
#ifndef PORTREEVE_SERVER_CALLS_SILENCE_H_
#define PORTREEVE_SERVER_CALLS_SILENCE_H_

#include "lib/base/check.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// A stream whose reader takes nothing is not silent, it is blocked: as long as
// a message is on its way there is no silence to break.
//
// Threads: one.
class Silence {
 public:
  Silence(Duration limit, TimePoint now) : limit_(limit), since_(now) {}

  // A message is on its way; another may be so already.
  void OnSend() { ++num_on_the_way_; }
  // One of them has gone, or never will.
  void OnSent(TimePoint now) {
    PORTREEVE_CHECK(num_on_the_way_ > 0);
    --num_on_the_way_;
    since_ = now;
  }

  // Gives when it will have been silent for the limit; TimePoint::max() while a
  // message is on its way.
  TimePoint due() const {
    return num_on_the_way_ > 0 ? TimePoint::max() : After(since_, limit_);
  }

 private:
  const Duration limit_;
  TimePoint since_;
  int num_on_the_way_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_SILENCE_H_
