#include "server/live/stats_feed.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <iterator>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "portreeve/v1/stats.pb.h"
#include "server/live/live_answers.h"

namespace portreeve::server {
namespace {

constexpr std::chrono::seconds kAfterNoMemory{1};
// How often it is looked whether a client that does not read is still there, in
// case there was no memory to tell that it has left.
constexpr std::chrono::minutes kAwaitClient{1};

}  // namespace

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
  link_.loop.Post([self = shared_from_this()] { self->Begin(); });
}

void StatsFeed::Stop() {
  sink_ = nullptr;
  look_.reset();
  gone_ = true;
  try {
    link_.loop.Post([self = shared_from_this()] { self->Leave(); });
  } catch (const std::bad_alloc&) {
    // It leaves at the next look, or when it looks for the client.
  }
}

void StatsFeed::Begin() {
  if (gone_) return;
  timer_.emplace(TimeSource::Of(link_.loop.context()));
  self_ = shared_from_this();
  Join();
}

void StatsFeed::Join() {
  if (gone_) return Leave();
  try {
    looks_->board().Join(*this);
  } catch (const std::bad_alloc&) {
    return timer_->StartAfter(kAfterNoMemory, [this] { Join(); });
  }
  looks_->board().WakeAt(*this, TimeSource::Of(link_.loop.context()).Now());
}

void StatsFeed::Leave() {
  looks_->board().Leave(*this);
  timer_.reset();
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
    AwaitClient();
  } catch (const std::bad_alloc&) {
    AwaitNext();
  }
}

void StatsFeed::AwaitClient() {
  timer_->StartAfter(kAwaitClient, [this] {
    if (gone_) return Leave();
    AwaitClient();
  });
}

// At a multiple of the interval, as those do who watch over gRPC.
void StatsFeed::AwaitNext() {
  if (self_ == nullptr) return;
  if (gone_) return Leave();
  timer_->Cancel();
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
  if (sink_ == nullptr) return;
  if (look_ != nullptr) return PutPart();
  try {
    link_.loop.Post([self = shared_from_this()] { self->AwaitNext(); });
  } catch (const std::bad_alloc&) {
    End();
  }
}

void StatsFeed::PutPart() {
  try {
    sink_->Put(look_->Text(part_));
    if (++part_ == look_->size()) look_.reset();
  } catch (const std::bad_alloc&) {
    End();
  }
}

void StatsFeed::End() {
  std::exchange(sink_, nullptr)->End();
  look_.reset();
}

}  // namespace portreeve::server
