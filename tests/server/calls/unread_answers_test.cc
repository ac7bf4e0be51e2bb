#include "server/calls/unread_answers.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/base/asio.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

constexpr size_t kMax = UnreadAnswers::kMaxBytes;
constexpr size_t kPage = kMax / 8;

class UnreadAnswersTest : public ::testing::Test {
 protected:
  UnreadAnswers& unread() { return UnreadAnswers::Of(loop_); }

 private:
  asio::io_context loop_;
};

TEST_F(UnreadAnswersTest, CountsForEachConnection) {
  EXPECT_TRUE(unread().TryAdd("a", kMax));
  EXPECT_FALSE(unread().TryAdd("a", 1));
  EXPECT_TRUE(unread().TryAdd("b", kPage));
  EXPECT_EQ(unread().BytesOf("a"), kMax);
  EXPECT_EQ(unread().BytesOf("b"), kPage);
  EXPECT_EQ(unread().BytesOf("c"), 0u);
  unread().Remove("a", kMax);
  EXPECT_EQ(unread().BytesOf("a"), 0u);
  EXPECT_TRUE(unread().TryAdd("a", 1));
}

TEST_F(UnreadAnswersTest, TheRefusalHasItsReason) {
  EXPECT_EQ(TooMuchUnread().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(TooMuchUnread()), "OVERLOADED");
}

// A connection beside what it ought to be.
class Sequence {
 public:
  explicit Sequence(UnreadAnswers& unread) : unread_(unread) {}
  ~Sequence() {
    while (!counted_.empty()) Go(counted_.size() - 1);
  }

  void TryAdd(size_t bytes) {
    const bool fits = bytes_ + bytes <= kMax;
    const bool counts = fits || bytes_ == 0;
    ASSERT_EQ(unread_.TryAdd("peer", bytes), counts);
    is_full_ = is_full_ || !fits;
    if (counts) Count(bytes);
    Check();
  }
  void Add(size_t bytes) {
    unread_.Add("peer", bytes);
    is_full_ = is_full_ || bytes_ + bytes > kMax;
    Count(bytes);
    Check();
  }
  void Go(size_t index) {
    if (index >= counted_.size()) return;
    const size_t bytes = counted_[index];
    counted_.erase(counted_.begin() + static_cast<std::ptrdiff_t>(index));
    bytes_ -= bytes;
    is_full_ = bytes_ >= kMax;
    unread_.Remove("peer", bytes);
    Check();
  }
  void GoNewest() {
    if (!counted_.empty()) Go(counted_.size() - 1);
  }

 private:
  void Count(size_t bytes) {
    bytes_ += bytes;
    counted_.push_back(bytes);
  }
  void Check() {
    ASSERT_EQ(unread_.BytesOf("peer"), bytes_);
    ASSERT_EQ(unread_.IsFull("peer"), is_full_);
    ASSERT_FALSE(unread_.IsFull("another"));
  }

  UnreadAnswers& unread_;
  std::vector<size_t> counted_;
  size_t bytes_ = 0;
  bool is_full_ = false;
};

TEST_F(UnreadAnswersTest, WhateverComesAndGoes) {
  constexpr int kActions = 6;
  int all = 1;
  for (int i = 0; i < 7; ++i) all *= kActions;
  for (int code = 0; code < all; ++code) {
    Sequence sequence(unread());
    for (int i = 0, rest = code; i < 7; ++i, rest /= kActions) {
      switch (rest % kActions) {
        case 0:
          sequence.TryAdd(1);
          break;
        case 1:
          sequence.TryAdd(kMax / 2);
          break;
        case 2:
          sequence.TryAdd(kMax + 1);
          break;
        case 3:
          sequence.Add(kMax / 2);
          break;
        case 4:
          sequence.Go(0);
          break;
        default:
          sequence.GoNewest();
      }
      if (HasFatalFailure()) FAIL() << "sequence " << code << ", step " << i;
    }
  }
}

}  // namespace
}  // namespace portreeve::server
