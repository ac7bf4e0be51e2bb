// DelayQueue: one timer for many that wait equally long.
#ifndef PORTREEVE_LIB_BASE_DELAY_QUEUE_H_
#define PORTREEVE_LIB_BASE_DELAY_QUEUE_H_

#include <boost/intrusive/list.hpp>

#include "lib/base/time_source.h"

namespace portreeve {

// Calls each of its entries a fixed delay after it has joined.  For what almost
// always leaves before: joining and leaving allocate nothing and seldom set the
// timer.
//
// Threads: loop thread only.
class DelayQueue {
 public:
  class Entry : public boost::intrusive::list_base_hook<> {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // Out of the queue again.  It may join again, and destroy itself.  What it
    // throws goes to the top-level monitor.
    virtual void OnDelayOver() = 0;

   protected:
    ~Entry() = default;  // It has left.

   private:
    friend class DelayQueue;
    TimePoint due_;
  };

  DelayQueue(TimeSource& time, Duration delay);

  // `entry` is in no queue.
  void Join(Entry& entry);
  // Without effect on one that is not in the queue.
  void Leave(Entry& entry);

 private:
  void OnTimer();

  TimeSource& time_;
  const Duration delay_;
  boost::intrusive::list<Entry> entries_;  // In the order of their times.
  Timer timer_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_DELAY_QUEUE_H_
