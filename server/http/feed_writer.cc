#include "server/http/feed_writer.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <span>
#include <utility>

namespace portreeve::server {
namespace {

// What a client gets after a silence, which is no event.
constexpr char kComment[] = ": \n\n";

// What a client sends beside its request, at most.
constexpr size_t kMostThrownAway = 64 * 1024;

// Stops a feed, whatever ends the stream.
class Feeding {
 public:
  explicit Feeding(HttpFeed& feed) : feed_(feed) {}
  Feeding(const Feeding&) = delete;
  Feeding& operator=(const Feeding&) = delete;
  ~Feeding() { feed_.Stop(); }

 private:
  HttpFeed& feed_;
};

// Resets a client whose stream cannot go on, as where there is no memory for
// that: else it would wait for what it never gets.
class Cutting {
 public:
  Cutting(HttpStream& stream, Timer& deadline, const bool& is_over)
      : stream_(stream), deadline_(deadline), is_over_(is_over) {}
  Cutting(const Cutting&) = delete;
  Cutting& operator=(const Cutting&) = delete;
  ~Cutting() {
    deadline_.Cancel();
    if (!is_over_) stream_.Reset();
  }

 private:
  HttpStream& stream_;
  Timer& deadline_;  // What it does is about the stream.
  const bool& is_over_;
};

}  // namespace

FeedWriter::FeedWriter(const Executor& executor, HttpStream& stream,
                       Duration write, Duration silence)
    : executor_(executor),
      stream_(stream),
      write_(write),
      silence_(silence),
      deadline_(TimeSource::Of(executor)) {}

Task<> FeedWriter::Run(std::shared_ptr<HttpFeed> feed) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  const Feeding feeding(*feed);
  feed->Start(*this);
  co_await (Write(*feed) || AwaitLeave());
}

Task<> FeedWriter::Write(HttpFeed& feed) {
  const Cutting cutting(stream_, deadline_, is_over_);
  while (true) {
    while (!pieces_.empty()) {
      const Piece piece = std::move(pieces_.front());
      pieces_.pop_front();
      deadline_.StartAfter(write_, [this] { stream_.Reset(); });
      const error_code error = co_await stream_.Write(*piece, "");
      if (error) co_return;
      waiting_ -= piece->size();
    }
    if (ended_) {
      is_over_ = true;
      co_return;
    }
    if (std::exchange(fed_, false)) {
      feed.OnDrained();
      continue;
    }
    bool is_silent = false;
    deadline_.StartAfter(silence_, [this, &is_silent] {
      is_silent = true;
      Wake();
    });
    news_.emplace(executor_);
    const Deferred<> news = news_->deferred();
    co_await news.Wait();
    news_.reset();
    deadline_.Cancel();
    if (!is_silent) continue;
    // It does not count as waiting, for a feed hears of the end of that only
    // where there was something of its own.
    deadline_.StartAfter(write_, [this] { stream_.Reset(); });
    const error_code error = co_await stream_.Write(kComment, "");
    if (error) co_return;
  }
}

Task<> FeedWriter::AwaitLeave() {
  char space[256];
  for (size_t thrown_away = 0; thrown_away <= kMostThrownAway;) {
    const auto [error, size] = co_await stream_.Read(std::span<char>(space));
    if (error) break;
    thrown_away += size;
  }
  is_over_ = true;
}

void FeedWriter::Put(Piece piece) {
  if (ended_) return;
  if (waiting_ > 0 && waiting_ + piece->size() > kMostWaiting) {
    return stream_.Reset();
  }
  fed_ = true;
  pieces_.push_back(std::move(piece));
  waiting_ += pieces_.back()->size();
  Wake();
}

void FeedWriter::End() {
  ended_ = true;
  Wake();
}

void FeedWriter::Wake() {
  if (news_) news_->FillIfEmpty();
}

}  // namespace portreeve::server
