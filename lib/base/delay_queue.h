// DelayQueue: one timer for many that wait equally long.
#ifndef PORTREEVE_LIB_BASE_DELAY_QUEUE_H_
#define PORTREEVE_LIB_BASE_DELAY_QUEUE_H_

#include <boost/intrusive/list.hpp>

#include "lib/base/time_source.h"

namespace portreeve {

// Calls each of its entries a fixed delay after it has joined.  It is for
// entries that almost always leave before: joining and leaving allocate nothing
// and seldom set the timer.  Where many are due at once, it calls kPerStep of
// them in a step of the loop.
//
// Threads: loop thread only.
class DelayQueue {
 public:
  class Entry : public boost::intrusive::list_base_hook<> {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // Called when the delay is over, after the entry was taken out of the
    // queue.  The entry may join again, and may destroy itself.  What it throws
    // goes to the top-level monitor.
    virtual void OnDelayOver() = 0;

   protected:
    ~Entry() = default;  // It has left by then.

   private:
    friend class DelayQueue;
    TimePoint due_;
  };

  static constexpr int kPerStep = 1000;

  // What becomes of the timer when the entry leaves that it was set for.
  enum class OnLeave {
    kKeepTimer,  // The timer may go off in vain, and costs less.
    kMoveTimer,  // It is set for the one behind it.
  };

  DelayQueue(TimeSource& time, Duration delay,
             OnLeave on_leave = OnLeave::kKeepTimer);

  // `entry` must be in no queue.
  void Join(Entry& entry);
  // Has no effect on an entry that is in no queue.
  void Leave(Entry& entry);

 private:
  void SetTimer();
  void OnTimer();

  TimeSource& time_;
  const Duration delay_;
  const OnLeave on_leave_;
  boost::intrusive::list<Entry> entries_;  // In the order of their times.
  Timer timer_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_DELAY_QUEUE_H_
