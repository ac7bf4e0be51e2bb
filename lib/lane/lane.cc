#include "lib/lane/lane.h"

namespace portreeve {
namespace {

class LaneService : public asio::execution_context::service {
 public:
  using key_type = LaneService;
  inline static asio::execution_context::id id;

  explicit LaneService(asio::execution_context& context)
      : service(context),
        lane_(std::make_unique<Lane>(static_cast<asio::io_context&>(context))) {
  }

  Lane& Get() { return *lane_; }

 private:
  void shutdown() override { lane_.reset(); }

  std::unique_ptr<Lane> lane_;
};

}  // namespace

Lane& Lane::Of(asio::io_context& loop) {
  return asio::use_service<LaneService>(loop).Get();
}

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
