// Answers that are streams, by raw bytes.
#include <gtest/gtest.h>

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "server/http/feed_writer.h"
#include "tests/server/http/http_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

using server::FeedWriter;
using server::HttpAnswer;
using std::chrono::milliseconds;
using std::chrono::seconds;

class HttpFeedTest : public HttpFixture {
 protected:
  void ServeFeeds() {
    ServeFeedsAt({Inet::Address(asio::ip::address_v4::loopback(), 0)});
  }
  void ServeFeedsAt(const server::HttpPlace& place) {
    server::HttpPages pages;
    pages["/feed"] = [this](const server::HttpRequest& request,
                            const server::HttpDone& done) {
      last_ids_.push_back(request.last_event_id.value_or("(none)"));
      feeds_.push_back(std::make_shared<NotingFeed>());
      HttpAnswer answer{200, ""};
      answer.content_type = "text/event-stream";
      answer.feed = feeds_.back();
      done(std::move(answer));
    };
    more_pages_ = std::move(pages);
    ServeAt(place);
  }
  void Advance(Duration by) {
    Settle();
    time().Advance(by);
    Settle();
  }
  static std::string Head(RawClient& client) {
    std::string head;
    while (head.find("\r\n\r\n") == head.npos) head += client.Receive(1);
    return head;
  }
  // A client that has the head.
  RawClient Begun(const std::string& fields = "") {
    RawClient client = Sent(Get("/feed", fields));
    EXPECT_EQ(Head(client).substr(9, 3), "200");
    Settle();
    return client;
  }
  NotingFeed& feed() { return *feeds_.back(); }

  std::vector<std::shared_ptr<NotingFeed>> feeds_;
  std::vector<std::string> last_ids_;
};

TEST_F(HttpFeedTest, SendsWhatIsPut) {
  ServeFeeds();
  RawClient client = Sent(Get("/feed", "Last-Event-ID: a/7\r\n"));
  const std::string head = Head(client);
  EXPECT_EQ(head.rfind("HTTP/1.1 200 OK\r\n", 0), 0u);
  EXPECT_EQ(FieldOf(head, "Content-Type"), "text/event-stream");
  EXPECT_EQ(FieldOf(head, "Cache-Control"), "no-store");
  EXPECT_EQ(FieldOf(head, "Connection"), "close");
  EXPECT_EQ(FieldOf(head, "Content-Length"), "");
  EXPECT_EQ(FieldOf(head, "Transfer-Encoding"), "");
  Settle();
  EXPECT_EQ(last_ids_, std::vector<std::string>{"a/7"});
  EXPECT_EQ(feed().drained, 0);
  feed().Put("one ");
  feed().Put("two");
  EXPECT_EQ(feed().sink->waiting(), 7u);
  EXPECT_EQ(client.ReceiveExactly(7), "one two");
  Settle();
  EXPECT_EQ(feed().sink->waiting(), 0u);
  EXPECT_EQ(feed().drained, 1);
  feed().Put("last");
  feed().sink->End();
  // Something before it may be missing, for which there was no memory.
  feed().Put("too late");
  EXPECT_EQ(client.ReceiveExactly(4), "last");
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_TRUE(feed().stopped);
}

TEST_F(HttpFeedTest, TheOldVersionHasTheSame) {
  ServeFeeds();
  RawClient client = Sent("GET /feed HTTP/1.0\r\n\r\n");
  EXPECT_EQ(Head(client).rfind("HTTP/1.0 200 OK\r\n", 0), 0u);
  Settle();
  feed().Put("x");
  EXPECT_EQ(client.Receive(), "x");
}

TEST_F(HttpFeedTest, TheHeadAloneBeginsNothing) {
  ServeFeeds();
  RawClient client = Sent("HEAD /feed HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string head = Head(client);
  EXPECT_EQ(FieldOf(head, "Content-Type"), "text/event-stream");
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(feed().sink, nullptr);
  EXPECT_FALSE(feed().stopped);
}

TEST_F(HttpFeedTest, WhoLeavesIsNoticedAtOnce) {
  ServeFeeds();
  RawClient closes = Begun();
  closes.Close();
  EXPECT_TRUE(RunUntil([&] { return feeds_[0]->stopped; }));
  RawClient resets = Begun();
  resets.Reset();
  EXPECT_TRUE(RunUntil([&] { return feeds_[1]->stopped; }));
  // What it sends besides is nothing to it.
  RawClient half = Begun();
  EXPECT_EQ(half.Send(Get("/hello")), "ok");
  Settle();
  EXPECT_FALSE(feeds_[2]->stopped);
  half.CloseSending();
  EXPECT_EQ(half.Receive(), "EOF");
  EXPECT_TRUE(feeds_[2]->stopped);
}

TEST_F(HttpFeedTest, WhoSendsWithoutEndIsClosed) {
  ServeFeeds();
  RawClient client = Begun();
  EXPECT_EQ(client.Send(std::string(70 * 1024, 'x')), "ok");
  EXPECT_TRUE(RunUntil([&] { return feed().stopped; }));
}

TEST_F(HttpFeedTest, Stream65IsRefused) {
  ServeFeeds();
  std::list<RawClient> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(Begun());
  RawClient late = Sent(Get("/feed"));
  EXPECT_EQ(Answer(late), "503 there are too many streams");
  EXPECT_EQ(feed().sink, nullptr);
  // Other pages are there, and so is the head.
  EXPECT_EQ(late.Send(Get("/hello")), "ok");
  EXPECT_EQ(Answer(late), "200 hello");
  clients.pop_front();
  EXPECT_TRUE(RunUntil([&] { return feeds_.front()->stopped; }));
  Settle();
  EXPECT_EQ(late.Send(Get("/feed")), "ok");
  EXPECT_EQ(Head(late).substr(9, 3), "200");
}

TEST_F(HttpFeedTest, WhoDoesNotReadIsResetWhenTooMuchWaits) {
  ServeFeeds();
  RawClient client(loop(), [this](const std::function<bool()>& condition) {
    return RunUntil(condition);
  });
  client.ShrinkReceiveBuffer();
  ASSERT_EQ(client.Connect(server_->addresses().at(0)), "ok");
  ASSERT_EQ(client.Send(Get("/feed")), "ok");
  RawClient reader = Begun();
  NotingFeed& of_reader = feed();
  NotingFeed& stalled = *feeds_.front();
  const auto piece = std::make_shared<const std::string>(32 * 1024, 'x');
  size_t put = 0;
  while (!stalled.stopped && put < 64u << 20) {
    // All that the kernel takes is taken.
    if (stalled.sink->waiting() + piece->size() <= FeedWriter::kMostWaiting) {
      stalled.sink->Put(piece);
      Settle();
      ASSERT_FALSE(stalled.stopped);
    } else {
      stalled.sink->Put(piece);
      ASSERT_TRUE(RunUntil([&] { return stalled.stopped; }));
    }
    put += piece->size();
  }
  EXPECT_TRUE(stalled.stopped);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
  // The other one has not noticed.
  of_reader.Put("still there");
  EXPECT_EQ(reader.ReceiveExactly(11), "still there");
}

TEST_F(HttpFeedTest, ALargePieceThatNothingWaitsBeforeIsTaken) {
  ServeFeeds();
  RawClient client = Begun();
  feed().Put(std::string(1 << 20, 'x'));
  EXPECT_EQ(client.ReceiveExactly(1 << 20).size(), 1u << 20);
}

TEST_F(HttpFeedTest, WhoDoesNotTakeAPieceInTimeIsReset) {
  ServeFeeds();
  RawClient client = Begun();
  feed().Put(std::string(16 << 20, 'x'));
  Advance(seconds(30) - milliseconds(1));
  EXPECT_FALSE(feed().stopped);
  Advance(milliseconds(1));
  EXPECT_TRUE(feed().stopped);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
}

TEST_F(HttpFeedTest, SilenceIsBroken) {
  ServeFeeds();
  RawClient client = Begun();
  Advance(seconds(15) - milliseconds(1));
  EXPECT_EQ(client.Peek(), "nothing");
  Advance(milliseconds(1));
  EXPECT_EQ(client.Receive(), ": \n\n");
  Advance(seconds(10));
  feed().Put("x");
  EXPECT_EQ(client.Receive(), "x");
  Advance(seconds(15) - milliseconds(1));
  EXPECT_EQ(client.Peek(), "nothing");
  Advance(milliseconds(1));
  EXPECT_EQ(client.Receive(), ": \n\n");
  EXPECT_EQ(feed().drained, 1);
}

// A feed that sends on when nothing waits is told of no end of a comment.
TEST_F(HttpFeedTest, ACommentIsNotWaitedFor) {
  ServeFeeds();
  RawClient client = Begun();
  Settle();
  time().Advance(seconds(15));
  do {
    EXPECT_EQ(feed().sink->waiting(), 0u);
  } while (loop().poll_one() > 0);
  EXPECT_EQ(client.Receive(), ": \n\n");
  // What is put while it is on its way follows it.
  time().Advance(seconds(15));
  loop().poll_one();
  feed().Put("x");
  EXPECT_EQ(client.ReceiveExactly(5), ": \n\nx");
  Settle();
  EXPECT_EQ(feed().drained, 1);
}

// A socket that is full to the last byte takes no comment either.
TEST_F(HttpFeedTest, WhoDoesNotTakeACommentIsReset) {
  const TemporaryFolder folder;
  ServeFeedsAt({Unix::Address(folder.File("http"))});
  const auto puts = [this](int most) {
    for (int i = 0; i < most; ++i) {
      const int drained = feed().drained;
      feed().Put("x");
      Settle();
      if (feed().drained == drained) return i;
    }
    return most;
  };
  // What a socket of unix takes does not depend on its reader's pace.
  RawClient first = Begun();
  const int taken = puts(100'000);
  ASSERT_LT(taken, 100'000);
  RawClient client = Begun();
  ASSERT_EQ(puts(taken), taken);
  EXPECT_EQ(feed().sink->waiting(), 0u);
  time().Advance(seconds(15));
  Settle();
  Advance(seconds(29));
  EXPECT_FALSE(feed().stopped);
  Advance(seconds(1));
  EXPECT_TRUE(feed().stopped);
}

TEST_F(HttpFeedTest, TheEndOfTheServerEndsThem) {
  ServeFeeds();
  RawClient client = Begun();
  Stop();
  EXPECT_TRUE(feed().stopped);
  EXPECT_EQ(client.Receive(), "EOF");
}

}  // namespace
}  // namespace portreeve::testing
