#include "server/live/stats_feed.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/time_source.h"
#include "portreeve/v1/stats.pb.h"
#include "server/live/live_answers.h"

namespace portreeve::server {

std::shared_ptr<const std::string> StatsLooks::Look::Text(size_t part) {
  auto text = texts_[part].lock();
  if (text != nullptr) return text;
  v1::WatchStatsResponse message;
  (void)message.ParseFromString(messages_[part]);
  text = std::make_shared<const std::string>(
      absl::StrCat("data: ", JsonOf(message), "\n\n"));
  texts_[part] = text;
  return text;
}

std::shared_ptr<StatsLooks::Look> StatsLooks::Since(
    int64_t since, const std::set<std::string>& names) {
  if (last_ != board_.last()) made_.clear();
  last_ = board_.last();
  for (const Made& made : made_) {
    if (made.since != since || made.names != names) continue;
    if (auto look = made.look.lock()) return look;
  }
  std::deque<std::string> messages =
      board_.MessagesSince(since, names, kMaxPartBytes);
  auto look = std::make_shared<Look>(
      std::vector<std::string>(std::make_move_iterator(messages.begin()),
                               std::make_move_iterator(messages.end())));
  made_.push_back({since, names, look});
  return look;
}

StatsFeed::StatsFeed(LiveLink link, std::shared_ptr<StatsLooks> looks,
                     std::set<std::string> names)
    : link_(std::move(link)),
      looks_(std::move(looks)),
      names_(std::move(names)) {}

void StatsFeed::Start(HttpSink& sink) {
  sink_ = &sink;
  link_.loop.Post([self = shared_from_this()] { self->Join(); });
}

void StatsFeed::Stop() {
  sink_ = nullptr;
  look_.reset();
  gone_ = true;
  try {
    link_.loop.Post([self = shared_from_this()] { self->Leave(); });
  } catch (const std::bad_alloc&) {
    // It leaves at the next look.
  }
}

void StatsFeed::Join() {
  if (gone_) return;
  self_ = shared_from_this();
  looks_->board().Join(*this);
  looks_->board().WakeAt(*this, TimeSource::Of(link_.loop.context()).Now());
}

void StatsFeed::Leave() {
  looks_->board().Leave(*this);
  self_.reset();
}

void StatsFeed::OnLook() {
  if (gone_) return Leave();
  try {
    auto look = looks_->Since(told_, names_);
    link_.http->Post([self = shared_from_this(), look = std::move(look)] {
      self->OnNews(look);
    });
    told_ = looks_->board().last();
  } catch (const std::bad_alloc&) {
    AwaitNext();
  }
}

// At a multiple of the interval, as those do who watch over gRPC.
void StatsFeed::AwaitNext() {
  if (gone_ || self_ == nullptr) return;
  const TimePoint now = TimeSource::Of(link_.loop.context()).Now();
  const Duration since = now.time_since_epoch() % Duration(kInterval);
  looks_->board().WakeAt(*this, now + (Duration(kInterval) - since));
}

void StatsFeed::OnNews(std::shared_ptr<StatsLooks::Look> look) {
  if (sink_ == nullptr) return;
  look_ = std::move(look);
  part_ = 0;
  PutPart();
}

void StatsFeed::OnDrained() {
  if (look_ != nullptr) return PutPart();
  try {
    link_.loop.Post([self = shared_from_this()] { self->AwaitNext(); });
  } catch (const std::bad_alloc&) {
    sink_->End();
  }
}

void StatsFeed::PutPart() {
  try {
    sink_->Put(look_->Text(part_));
    if (++part_ == look_->size()) look_.reset();
  } catch (const std::bad_alloc&) {
    sink_->End();
  }
}

}  // namespace portreeve::server
