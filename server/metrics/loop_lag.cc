#include "server/metrics/loop_lag.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace portreeve::server {
namespace {

int64_t Ticks(TimePoint time) { return time.time_since_epoch().count(); }

}  // namespace

LoopLag::LoopLag(asio::io_context& loop, Clock now)
    : loop_(loop), now_(std::move(now)) {}

void LoopLag::Post() {
  if (probe_->posted != 0) return;
  probe_->posted = Ticks(now_());
  asio::post(loop_, [probe = probe_, now = now_] {
    probe->waited = Ticks(now()) - probe->posted;
    probe->posted = 0;
  });
}

Duration LoopLag::Read() const {
  const int64_t posted = probe_->posted;
  return Duration(posted == 0 ? probe_->waited.load() : Ticks(now_()) - posted);
}

}  // namespace portreeve::server
