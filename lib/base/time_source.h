// TimeSource: the clock and the timers of one loop, replaceable in tests.
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_TIME_SOURCE_H_
#define PORTREEVE_LIB_BASE_TIME_SOURCE_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/set.hpp>
#include <chrono>
#include <functional>

#include "lib/base/asio.h"

namespace portreeve {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Gives the time that is `delay` after `time`, or the end of time where that is
// earlier.
TimePoint After(TimePoint time, Duration delay);

class TimeSource;

// Calls a function once at a time that was set.  Destroying it cancels it.
//
// Memory: setting it takes none but what copying the function takes, which is
// none for a lambda that holds two pointers at most.  So whoever has a timer
// can always wait.
// Threads: loop thread only.
class Timer : public boost::intrusive::set_base_hook<
                  boost::intrusive::optimize_size<true>> {
 public:
  explicit Timer(TimeSource& time_source) : time_source_(time_source) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Cancel(); }

  // Calls `f` on the loop at `when`, or soon if that is past; a call that was
  // set before is forgotten.  `f` may destroy the timer.  It must not throw.
  void StartAt(TimePoint when, std::function<void()> f);

  // Does the same `delay` from now.  With a delay past the end of time `f` is
  // never called.
  void StartAfter(Duration delay, std::function<void()> f);

  void Cancel();

  bool armed() const { return is_linked(); }

 private:
  friend class TimeSource;
  struct When {
    using type = TimePoint;
    TimePoint operator()(const Timer& timer) const { return timer.when_; }
  };

  TimeSource& time_source_;
  TimePoint when_;  // While it is armed.
  std::function<void()> function_;
};

// All timers of a loop, held in one ordered tree behind one timer of the
// system, so that an idle loop with thousands of timers wakes only for the
// earliest.  One for each io_context: Of() finds it, or makes one that follows
// the steady clock.  A test installs a FakeTimeSource before anything else.
//
// Threads: loop thread only.  Lifetime: it must outlive every Timer on it.
class TimeSource {
 public:
  static TimeSource& Of(asio::io_context& loop);
  static TimeSource& Of(const Executor& executor) {
    return Of(LoopOf(executor));
  }

  TimeSource(const TimeSource&) = delete;
  TimeSource& operator=(const TimeSource&) = delete;
  virtual ~TimeSource();

  virtual TimePoint Now() const = 0;

 protected:
  explicit TimeSource(asio::io_context& loop) : loop_(loop) {}

  // Called when another timer is due first: arranges for FireDue() to be called
  // then.  It needs no memory.
  virtual void Arm() noexcept = 0;

  // Runs every timer whose time has come, in the order of their times.  What
  // one throws goes to the top-level monitor.
  void FireDue();

  // Gives when the next timer is due; TimePoint::max() for none.
  TimePoint earliest() const;

  asio::io_context& loop_;

 private:
  friend class Timer;
  // Those with equal times in the order in which they were set.
  boost::intrusive::multiset<Timer, boost::intrusive::key_of_value<Timer::When>,
                             boost::intrusive::constant_time_size<false>>
      queue_;
};

// Waits for `delay`.  Cancellation of any type ends it with operation_aborted.
Task<> Sleep(Duration delay);

// A clock that stands still until the test moves it.
class FakeTimeSource : public TimeSource {
 public:
  // Becomes the loop's time source.  CHECKs that it has none yet.  It must
  // outlive all use of the loop.
  explicit FakeTimeSource(asio::io_context& loop);
  ~FakeTimeSource() override;

  TimePoint Now() const override { return now_; }

  // Moves the clock on, running the timers that come due in their order, each
  // at its own time.  Call it on the loop's thread, or while nothing runs the
  // loop; what the timers post runs when the loop does.
  void Advance(Duration delay);

  // Gives when the next timer is due; TimePoint::max() if none is set.
  using TimeSource::earliest;

 private:
  void Arm() noexcept override {}

  TimePoint now_{std::chrono::hours(1)};
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_TIME_SOURCE_H_
