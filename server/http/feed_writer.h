// FeedWriter: sends what a feed gives, for as long as the client stays.
#ifndef PORTREEVE_SERVER_HTTP_FEED_WRITER_H_
#define PORTREEVE_SERVER_HTTP_FEED_WRITER_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/time_source.h"
#include "server/http/http_message.h"
#include "server/http/http_stream.h"

namespace portreeve::server {

// Threads: loop thread only.
class FeedWriter final : private HttpSink {
 public:
  // What waits for a client that does not read; with more it is reset.
  static constexpr size_t kMostWaiting = 256 * 1024;

  // The client is reset that does not take a piece within `write`, and gets a
  // comment of server-sent events after so long a `silence`.  `stream` must
  // outlive it.
  FeedWriter(const Executor& executor, HttpStream& stream, Duration write,
             Duration silence);
  FeedWriter(const FeedWriter&) = delete;
  FeedWriter& operator=(const FeedWriter&) = delete;

  // Returns when the feed has ended, or the client has: one that ends its own
  // sending has left.  What else it sends is thrown away, up to a bound.
  Task<> Run(std::shared_ptr<HttpFeed> feed);

 private:
  using Piece = std::shared_ptr<const std::string>;

  Task<> Write(HttpFeed& feed);
  Task<> AwaitLeave();

  void Put(Piece piece) override;
  size_t waiting() const override { return waiting_; }
  void End() override;
  void Wake();

  const Executor executor_;
  HttpStream& stream_;
  const Duration write_;
  const Duration silence_;
  Timer deadline_;
  std::deque<Piece> pieces_;
  size_t waiting_ = 0;  // The bytes of those, and of the one on its way.
  bool fed_ = false;    // Since the feed was told that nothing waits.
  bool ended_ = false;
  bool is_over_ = false;        // All was sent, or the client has left.
  std::optional<Ivar<>> news_;  // While it waits for a piece, or the end.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_FEED_WRITER_H_
