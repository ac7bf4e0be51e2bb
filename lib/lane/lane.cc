#include "lib/lane/lane.h"

#include "lib/base/loop_service.h"

namespace portreeve {

Lane& Lane::Of(asio::io_context& loop) { return OfLoop<Lane>(loop); }

Lane::Lane(asio::io_context& loop)
    : loop_(loop),
      poller_(Poller::Of(loop)),
      time_(TimeSource::Of(loop)),
      young_(time_, std::chrono::seconds(1)),
      tasks_(Executor(loop.get_executor())) {
  poller_.SetRoundWatch(this);
}

Lane::~Lane() { poller_.SetRoundWatch(nullptr); }

}  // namespace portreeve
