#include "server/events/event_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

constexpr size_t kMuch = size_t{1} << 30;

// The bytes of the event of this number: of every size from 0 to 40.
std::string BytesOf(int64_t number) {
  std::string bytes = std::to_string(number);
  bytes.resize(static_cast<size_t>(number % 41), '.');
  return bytes;
}

SharedName Name(const std::string& name) {
  return std::make_shared<const std::string>(name);
}

void Add(EventRing& ring, const SharedName& listener = nullptr) {
  const int64_t number = ring.last() + 1;
  const bool packed = number % 3 == 0;
  ring.Add(packed ? v1::EVENT_KIND_CONNECTION_CLOSED : v1::EVENT_KIND_GAP,
           packed ? EventForm::kPacked : EventForm::kEncoded, listener,
           BytesOf(number));
}

void ExpectKept(const EventRing& ring, int64_t number) {
  const EventRing::Entry entry = ring.at(number);
  const bool packed = number % 3 == 0;
  ASSERT_EQ(entry.bytes, BytesOf(number)) << number;
  ASSERT_EQ(entry.kind,
            packed ? v1::EVENT_KIND_CONNECTION_CLOSED : v1::EVENT_KIND_GAP);
  ASSERT_EQ(entry.form, packed ? EventForm::kPacked : EventForm::kEncoded);
}

TEST(EventRingTest, IsEmptyAtFirst) {
  const EventRing ring(10, kMuch);
  EXPECT_EQ(ring.last(), 0);
  EXPECT_EQ(ring.first(), 1);
  EXPECT_EQ(ring.capacity(), 10);
}

// At every number, everything that is to be kept is there; the capacities lie
// on both sides of the chunks' ends.
class EventRingSizeTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(EventRingSizeTest, KeepsTheNewest) {
  const int64_t capacity = GetParam();
  EventRing ring(capacity, kMuch);
  for (int64_t last = 1; last <= 3 * capacity + 3 * EventRing::kChunk; ++last) {
    Add(ring);
    ASSERT_EQ(ring.last(), last);
    ASSERT_EQ(ring.first(), std::max<int64_t>(1, last - capacity + 1));
    for (int64_t n = ring.first(); n <= last;
         n += std::max<int64_t>(1, (last - n) / 8)) {
      ExpectKept(ring, n);
    }
    ExpectKept(ring, last);
  }
  for (int64_t n = ring.first(); n <= ring.last(); ++n) ExpectKept(ring, n);
}

INSTANTIATE_TEST_SUITE_P(Sizes, EventRingSizeTest,
                         ::testing::Values(1, 2, EventRing::kChunk - 1,
                                           EventRing::kChunk,
                                           EventRing::kChunk + 1,
                                           2 * EventRing::kChunk,
                                           5 * EventRing::kChunk + 17));

TEST(EventRingTest, WhatIsNotKeptIsNotGiven) {
  EventRing ring(3, kMuch);
  EXPECT_DEATH(ring.at(0), "CHECK");
  EXPECT_DEATH(ring.at(1), "CHECK");
  for (int i = 0; i < 5; ++i) Add(ring);
  EXPECT_DEATH(ring.at(2), "CHECK");
  ExpectKept(ring, 3);
  ExpectKept(ring, 5);
  EXPECT_DEATH(ring.at(6), "CHECK");
}

// As many listeners as events, more than once round.
TEST(EventRingTest, KnowsTheListenerOfEach) {
  constexpr int64_t kCapacity = 3 * EventRing::kChunk;
  EventRing ring(kCapacity, kMuch);
  for (int64_t i = 1; i <= 3 * kCapacity; ++i) {
    Add(ring, i % 10 == 0 ? nullptr : Name(std::to_string(i)));
  }
  for (int64_t n = ring.first(); n <= ring.last(); ++n) {
    EXPECT_EQ(ring.at(n).listener_name, n % 10 == 0 ? "" : std::to_string(n));
  }
}

TEST(EventRingTest, ANameLivesAsLongAsItsEvents) {
  EventRing ring(EventRing::kChunk, kMuch);
  auto name = std::make_shared<const std::string>("listeners/a");
  const std::weak_ptr<const std::string> alive = name;
  Add(ring, name);
  Add(ring, name);
  EXPECT_EQ(name.use_count(), 2);  // Once for both.
  name.reset();
  EXPECT_EQ(ring.at(2).listener_name, "listeners/a");
  for (int64_t i = 0; i < 2 * EventRing::kChunk; ++i) Add(ring);
  EXPECT_TRUE(alive.expired());
}

// Events of 40 bytes each.
void Fill(EventRing& ring, int64_t count) {
  static const SharedName listener = Name("listeners/a");
  for (int64_t i = 0; i < count; ++i) {
    ring.Add(v1::EVENT_KIND_CONNECTION_ACCEPTED, EventForm::kPacked, listener,
             std::string(40, 'x'));
  }
}

TEST(EventRingTest, TheMemoryGrowsWithTheEvents) {
  EventRing ring(100'000, kMuch);
  EXPECT_LT(ring.MemoryUse(), 4'000u);
  Fill(ring, 1);
  EXPECT_LT(ring.MemoryUse(), 8'000u);
  Fill(ring, 9'999);
  EXPECT_GT(ring.MemoryUse(), 10'000u * 48);
  EXPECT_LT(ring.MemoryUse(), 10'000u * 50 + 20'000);
}

TEST(EventRingTest, TheMemoryOfAFullRingStaysAsItIs) {
  constexpr int64_t kCapacity = 10 * EventRing::kChunk;
  EventRing ring(kCapacity, kMuch);
  Fill(ring, kCapacity + EventRing::kChunk);
  const size_t full = ring.MemoryUse();
  Fill(ring, 20 * kCapacity);
  EXPECT_EQ(ring.MemoryUse(), full);
  // Large ones are given back once they are gone.
  ring.Add(v1::EVENT_KIND_LISTENER_CREATED, EventForm::kEncoded, nullptr,
           std::string(1 << 20, 'x'));
  EXPECT_GT(ring.MemoryUse(), size_t{1} << 20);
  Fill(ring, 20 * kCapacity - 1);
  EXPECT_LT(ring.MemoryUse(), full + 100);
}

// A ring beside what it ought to keep: the newest events, as many as it may, as
// long as their bytes fit.
class Bounded {
 public:
  Bounded(int64_t capacity, size_t max_bytes)
      : capacity_(capacity), max_bytes_(max_bytes), ring_(capacity, max_bytes) {
    empty_ = ring_.MemoryUse();
  }

  const EventRing& ring() const { return ring_; }

  // Its event is of `size` bytes, of a listener of its own in one of three.
  void Add(size_t size) {
    const int64_t first_before = ring_.first();
    const int64_t number = ring_.last() + 1;
    const size_t needed = ring_.MemoryUse() + Growth(size);
    const SharedName name =
        number % 3 == 0 ? Name("listeners/" + std::to_string(number)) : nullptr;
    ring_.Add(v1::EVENT_KIND_LISTENER_CREATED, EventForm::kEncoded, name,
              Bytes(number, size));
    sizes_.push_back(size);
    kept_ += size;
    largest_ = std::max(largest_, size);
    const int64_t by_count = std::max<int64_t>(1, number - capacity_ + 1);
    while (static_cast<int64_t>(sizes_.size()) > number - ring_.first() + 1) {
      kept_ -= sizes_.front();
      sizes_.pop_front();
    }
    ASSERT_EQ(ring_.last(), number);
    ASSERT_GE(ring_.first(), by_count);
    ASSERT_GE(ring_.first(), first_before);
    ASSERT_LE(ring_.first(), number);
    // Nothing goes early that would have had a place.
    if (ring_.first() > std::max(by_count, first_before)) {
      ASSERT_GT(needed, max_bytes_) << number;
    }
    ASSERT_LE(ring_.MemoryUse(), std::max(max_bytes_, empty_ + Growth(size)));
    ASSERT_GE(ring_.MemoryUse(), kept_);
  }

  void ExpectAllKept() {
    for (int64_t n = ring_.first(); n <= ring_.last(); ++n) {
      const auto entry = ring_.at(n);
      const size_t size = sizes_[static_cast<size_t>(n - ring_.first())];
      ASSERT_EQ(entry.bytes, Bytes(n, size)) << n;
      ASSERT_EQ(entry.listener_name,
                n % 3 == 0 ? "listeners/" + std::to_string(n) : "");
    }
  }

 private:
  // What an event may add: a chunk of its own, and a buffer that doubles.
  size_t Growth(size_t size) const {
    return 8 * 1024 + 2 * size +
           std::min<size_t>(static_cast<size_t>(EventRing::kChunk) * largest_,
                            ring_.MemoryUse());
  }
  static std::string Bytes(int64_t number, size_t size) {
    std::string bytes = std::to_string(number);
    bytes.resize(size, static_cast<char>('a' + number % 26));
    return bytes;
  }

  const int64_t capacity_;
  const size_t max_bytes_;
  EventRing ring_;
  size_t empty_ = 0;
  std::deque<size_t> sizes_;  // Of what is kept.
  size_t kept_ = 0;           // All of these.
  size_t largest_ = 0;        // Of all that came.
};

// Every sequence of a few runs of events, each run of one size; the runs end
// on both sides of the ends of chunks.
TEST(EventRingBytesTest, WhatIsTooMuchGoesEarlyAndOldestFirst) {
  const std::vector<size_t> sizes = {0, 3'000};
  const std::vector<int> lengths = {1, 100, 256};
  std::vector<std::pair<size_t, int>> runs;
  for (const size_t size : sizes) {
    for (const int length : lengths) runs.emplace_back(size, length);
  }
  for (const int64_t capacity : {int64_t{1}, int64_t{300}, int64_t{2'000}}) {
    for (const size_t max_bytes :
         {size_t{0}, size_t{50'000}, size_t{900'000}}) {
      for (const auto& first : runs) {
        for (const auto& second : runs) {
          for (const auto& third : runs) {
            SCOPED_TRACE(::testing::Message()
                         << capacity << " events, " << max_bytes
                         << " bytes: " << first.second << " of " << first.first
                         << ", " << second.second << " of " << second.first
                         << ", " << third.second << " of " << third.first);
            Bounded bounded(capacity, max_bytes);
            for (const auto& [size, length] : {first, second, third}) {
              for (int i = 0; i < length; ++i) bounded.Add(size);
            }
            bounded.ExpectAllKept();
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(EventRingBytesTest, AnySequenceOfSizesIsKeptAsFarAsItFits) {
  std::mt19937 random(7);
  const std::vector<size_t> sizes = {0, 1, 60, 400, 5'000, 70'000};
  for (int round = 0; round < 12; ++round) {
    const auto capacity = static_cast<int64_t>(1 + random() % 3'000);
    const size_t max_bytes = random() % 3'000'000;
    SCOPED_TRACE(::testing::Message() << capacity << " " << max_bytes);
    Bounded bounded(capacity, max_bytes);
    size_t size = 0;
    for (int i = 0; i < 3'000; ++i) {
      if (random() % 20 == 0) size = sizes[random() % sizes.size()];
      bounded.Add(size);
      if (HasFatalFailure()) return;
      if (i % 500 == 0) bounded.ExpectAllKept();
    }
    bounded.ExpectAllKept();
  }
}

TEST(EventRingBytesTest, SmallEventsFillTheRingAgainAfterLargeOnes) {
  constexpr int64_t kCapacity = 1'000;
  Bounded bounded(kCapacity, 200'000);
  for (int i = 0; i < 100; ++i) bounded.Add(10'000);
  EXPECT_LT(bounded.ring().last() - bounded.ring().first() + 1, 20);
  for (int64_t i = 0; i < kCapacity + EventRing::kChunk; ++i) bounded.Add(40);
  EXPECT_EQ(bounded.ring().last() - bounded.ring().first() + 1, kCapacity);
  bounded.ExpectAllKept();
}

// A name is counted, though it may be all that is left of its listener.
TEST(EventRingBytesTest, NamesCount) {
  EventRing ring(100'000, kMuch);
  const size_t before = ring.MemoryUse();
  for (int i = 0; i < 256; ++i) Add(ring, Name(std::string(1'000, 'x')));
  EXPECT_GT(ring.MemoryUse(), before + 256'000);
}

}  // namespace
}  // namespace portreeve::server
