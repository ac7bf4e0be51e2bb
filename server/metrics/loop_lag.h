// LoopLag: how long a function that is posted to a loop waits for its turn.
#ifndef PORTREEVE_SERVER_METRICS_LOOP_LAG_H_
#define PORTREEVE_SERVER_METRICS_LOOP_LAG_H_

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "lib/base/asio.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// Posts a function that does nothing, and never waits for it: of a loop that is
// stuck it gives a value that grows.
//
// Threads: any, but no two calls of Post() at a time.
// Lifetime: the loop must outlive it.
class LoopLag {
 public:
  using Clock = std::function<TimePoint()>;

  // `now` is called on this thread and on the loop's.
  LoopLag(asio::io_context& loop, Clock now);

  // Posts the next function, unless the last one still waits.
  void Post();

  // Gives the age of the function that waits or, if none does, how long the
  // last one has waited.
  Duration Read() const;

 private:
  struct Probe {
    // Ticks of the clock; 0: no function waits.
    std::atomic<int64_t> posted = 0;
    std::atomic<int64_t> waited = 0;
  };

  asio::io_context& loop_;
  const Clock now_;
  const std::shared_ptr<Probe> probe_ = std::make_shared<Probe>();
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_LOOP_LAG_H_
