// FakeBrowser: what a stream of server-sent events puts, and what a browser
// makes of it.
#ifndef PORTREEVE_TESTS_SERVER_LIVE_FAKE_BROWSER_H_
#define PORTREEVE_TESTS_SERVER_LIVE_FAKE_BROWSER_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "server/http/http_message.h"
#include "tests/server/live/sse_reader.h"

namespace portreeve::testing {

// It reads when it is told to, and then all.  What it takes it has the memory
// for.
// Threads: one.
class FakeBrowser final : private server::HttpSink {
 public:
  using Piece = std::shared_ptr<const std::string>;

  FakeBrowser() { pieces_.reserve(1'000); }

  // What Start() throws ends the stream, as the server has it.
  void Connect(std::shared_ptr<server::HttpFeed> feed) {
    feed_ = std::move(feed);
    try {
      feed_->Start(*this);
    } catch (const std::bad_alloc&) {
      ended_ = true;
    }
  }
  // Its last call.
  void Leave() {
    feed_->Stop();
    feed_.reset();
  }

  // Takes what was put; false where nothing was.
  bool Read() {
    if (pieces_.empty()) return false;
    for (const Piece& piece : pieces_) reader_.Add(*piece);
    taken_.insert(taken_.end(), pieces_.begin(), pieces_.end());
    pieces_.clear();
    waiting_ = 0;
    return true;
  }
  // Tells the feed that it was read.
  void TellDrained() {
    if (!ended_) feed_->OnDrained();
  }

  bool ended() const { return ended_; }
  size_t waiting() const override { return waiting_; }
  const std::vector<Piece>& taken() const { return taken_; }
  SseReader& reader() { return reader_; }

 private:
  void Put(Piece piece) override {
    // What comes after something that is missing must not come.
    EXPECT_FALSE(ended_);
    waiting_ += piece->size();
    pieces_.push_back(std::move(piece));
  }
  void End() override { ended_ = true; }

  std::shared_ptr<server::HttpFeed> feed_;
  std::vector<Piece> pieces_;
  std::vector<Piece> taken_;
  SseReader reader_;
  size_t waiting_ = 0;
  bool ended_ = false;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_LIVE_FAKE_BROWSER_H_
