#include "lib/base/time_source.h"

#include <boost/asio/bind_allocator.hpp>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/deferred.h"
#include "lib/base/guarded.h"
#include "lib/base/handler_memory.h"
#include "lib/base/loop_service.h"

namespace portreeve {
namespace {

// It outlives the loop's queue, where the wait that uses it may be.
struct Memory : HandlerMemory {};

// The time source of a loop; null until one is installed or asked for, and once
// it has ended.
struct Current {
  TimeSource* source = nullptr;
};

class SteadyTimeSource : public TimeSource {
 public:
  static constexpr bool kEndsFirst = true;  // See OfLoop().

  explicit SteadyTimeSource(asio::io_context& loop)
      : TimeSource(loop), memory_(OfLoop<Memory>(loop)), timer_(loop) {
    // Asio's queue of timers takes its memory here, and keeps it.
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
    timer_.async_wait(asio::bind_allocator(memory_.allocator(),
                                           [this](error_code) { Arm(); }));
    timer_.cancel();
  }

  ~SteadyTimeSource() override { OfLoop<Current>(loop_).source = nullptr; }

  TimePoint Now() const override { return std::chrono::steady_clock::now(); }

 private:
  void Arm() noexcept override {
    const TimePoint when = earliest();
    // Where it is armed for a timer that was cancelled, it looks for the next
    // one only when it fires: most timers are cancelled, and each rearming
    // would be a system call.  Where no timer is left it must not keep the loop
    // running.
    if (when >= armed_for_ && when != TimePoint::max()) return;
    if (when == armed_for_) return;
    armed_for_ = when;
    timer_.cancel();
    if (when == TimePoint::max()) return;
    timer_.expires_at(
        std::chrono::time_point_cast<std::chrono::steady_clock::duration>(
            when));
    const auto fire = [this](error_code ec) { OnWaited(ec); };
    try {
      if (!memory_.is_used()) {
        timer_.async_wait(asio::bind_allocator(memory_.allocator(), fire));
      } else {
        timer_.async_wait(fire);
      }
    } catch (...) {
      // There is no memory.  The wait that uses memory_ is cancelled, and arms
      // the timer when it comes to its end.
      armed_for_ = TimePoint::max();
    }
  }

  void OnWaited(error_code ec) {
    if (ec) return Arm();  // Cancelled: for most, nothing is left to do.
    armed_for_ = TimePoint::max();
    FireDue();
  }

  HandlerMemory& memory_;
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>,
                             asio::io_context::executor_type>
      timer_;
  TimePoint armed_for_ = TimePoint::max();
};

}  // namespace

TimePoint After(TimePoint time, Duration delay) {
  return delay > TimePoint::max() - time ? TimePoint::max() : time + delay;
}

TimeSource& TimeSource::Of(asio::io_context& loop) {
  TimeSource*& source = OfLoop<Current>(loop).source;
  if (source == nullptr) source = &OfLoop<SteadyTimeSource>(loop);
  return *source;
}

TimeSource::~TimeSource() { queue_.clear(); }

TimePoint TimeSource::earliest() const {
  return queue_.empty() ? TimePoint::max() : queue_.begin()->when_;
}

void TimeSource::FireDue() {
  const TimePoint now = Now();
  while (!queue_.empty() && queue_.begin()->when_ <= now) {
    Timer& timer = *queue_.begin();
    queue_.erase(queue_.begin());
    // A copy on the stack, since the function may destroy the timer.
    const std::function<void()> function = std::move(timer.function_);
    Guarded(function);  // Those that are due after it have their turn.
  }
  Arm();
}

void Timer::StartAt(TimePoint when, std::function<void()> f) {
  auto& queue = time_source_.queue_;
  if (armed()) queue.erase(queue.iterator_to(*this));
  when_ = when;
  function_ = std::move(f);
  queue.insert(*this);
  time_source_.Arm();
}

void Timer::StartAfter(Duration delay, std::function<void()> f) {
  StartAt(After(time_source_.Now(), delay), std::move(f));
}

void Timer::Cancel() {
  if (!armed()) return;
  function_ = nullptr;
  time_source_.queue_.erase(time_source_.queue_.iterator_to(*this));
  time_source_.Arm();
}

Task<> Sleep(Duration delay) {
  const Executor executor = co_await asio::this_coro::executor;
  const Ivar<> elapsed(executor);
  Timer timer(TimeSource::Of(executor));
  timer.StartAfter(delay, [elapsed] { elapsed.Fill(); });
  co_await elapsed.deferred().Wait();
}

FakeTimeSource::FakeTimeSource(asio::io_context& loop) : TimeSource(loop) {
  TimeSource*& source = OfLoop<Current>(loop).source;
  PORTREEVE_CHECK(source == nullptr);
  source = this;
}

FakeTimeSource::~FakeTimeSource() { OfLoop<Current>(loop_).source = nullptr; }

void FakeTimeSource::Advance(Duration delay) {
  const TimePoint end = After(now_, delay);
  while (earliest() <= end) {
    now_ = std::max(now_, earliest());
    FireDue();
  }
  now_ = end;
}

}  // namespace portreeve
