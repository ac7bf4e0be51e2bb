// StatsFeed: a stream of statistics over HTTP.
#ifndef PORTREEVE_SERVER_LIVE_STATS_FEED_H_
#define PORTREEVE_SERVER_LIVE_STATS_FEED_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/time_source.h"
#include "server/http/http_message.h"
#include "server/live/live_link.h"
#include "server/stats/stats_board.h"

namespace portreeve::server {

// What all streams of statistics share: those that want the same of a look have
// the same text, which is made once.
class StatsLooks {
 public:
  // A part has about so many bytes, before it is JSON.
  static constexpr size_t kMaxPartBytes = 32 * 1024;

  // What one look has for some streams: messages, each a part.
  class Look {
   public:
    explicit Look(std::vector<std::string> messages)
        : messages_(std::move(messages)), texts_(messages_.size()) {}

    // Threads: any.
    size_t size() const { return messages_.size(); }
    // Gives a part as a server-sent event, which is kept for as long as
    // somebody has it.
    // Threads: one.
    std::shared_ptr<const std::string> Text(size_t part);

   private:
    const std::vector<std::string> messages_;
    std::vector<std::weak_ptr<const std::string>> texts_;
  };

  // `board` outlives it.
  // Threads: any.
  explicit StatsLooks(StatsBoard& board) : board_(board) {}

  StatsBoard& board() { return board_; }

  // Gives what the last look has that is news after look `since`, of the
  // listeners `names`, if there are any.
  // Threads: that of the board.
  std::shared_ptr<Look> Since(int64_t since,
                              const std::set<std::string>& names);

 private:
  struct Made {
    int64_t since = 0;
    std::set<std::string> names;
    std::weak_ptr<Look> look;
  };

  StatsBoard& board_;
  int64_t last_ = 0;  // The look of which these are.
  std::vector<Made> made_;
};

// Sends what there is, and then once a second what has changed.  A client that
// does not read in time is told when it does, what is true then: nothing waits
// for it but the parts of one look.
//
// Threads: those of HttpFeed; what it does on the loop it posts.
class StatsFeed final : public HttpFeed,
                        public std::enable_shared_from_this<StatsFeed>,
                        private StatsBoard::Watcher {
 public:
  static constexpr std::chrono::seconds kInterval{1};

  StatsFeed(LiveLink link, std::shared_ptr<StatsLooks> looks,
            std::set<std::string> names);

  void Start(HttpSink& sink) override;
  void OnDrained() override;
  void Stop() override;

 private:
  // On the loop.
  int64_t told() const override { return told_; }
  void OnLook() override;
  void Begin();
  void Join();
  void AwaitClient();
  void AwaitNext();
  void Leave();

  // On the server's thread.
  void OnNews(std::shared_ptr<StatsLooks::Look> look);
  void PutPart();
  void End();

  const LiveLink link_;
  const std::shared_ptr<StatsLooks> looks_;
  const std::set<std::string> names_;
  std::atomic<bool> gone_ = false;  // The client.

  // The loop's.
  std::shared_ptr<StatsFeed> self_;  // While it watches.
  int64_t told_ = 0;
  // Armed where there was no memory, or while the client is waited for.
  std::optional<Timer> timer_;

  // The server's thread's.
  HttpSink* sink_ = nullptr;  // While there is a client, until it is ended.
  std::shared_ptr<StatsLooks::Look> look_;  // That is being sent.
  size_t part_ = 0;                         // Of that, the next.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_STATS_FEED_H_
