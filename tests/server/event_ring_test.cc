#include "server/event_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace portreeve::server {
namespace {

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
  const EventRing ring(10);
  EXPECT_EQ(ring.last(), 0);
  EXPECT_EQ(ring.first(), 1);
  EXPECT_EQ(ring.capacity(), 10);
}

// At every number, everything that is to be kept is there; the capacities lie
// on both sides of the chunks' ends.
class EventRingSizeTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(EventRingSizeTest, KeepsTheNewest) {
  const int64_t capacity = GetParam();
  EventRing ring(capacity);
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
  EventRing ring(3);
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
  EventRing ring(kCapacity);
  for (int64_t i = 1; i <= 3 * kCapacity; ++i) {
    Add(ring, i % 10 == 0 ? nullptr : Name(std::to_string(i)));
  }
  for (int64_t n = ring.first(); n <= ring.last(); ++n) {
    EXPECT_EQ(ring.at(n).listener_name, n % 10 == 0 ? "" : std::to_string(n));
  }
}

TEST(EventRingTest, ANameLivesAsLongAsItsEvents) {
  EventRing ring(EventRing::kChunk);
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
  EventRing ring(100'000);
  EXPECT_LT(ring.MemoryUse(), 4'000u);
  Fill(ring, 1);
  EXPECT_LT(ring.MemoryUse(), 8'000u);
  Fill(ring, 9'999);
  EXPECT_GT(ring.MemoryUse(), 10'000u * 48);
  EXPECT_LT(ring.MemoryUse(), 10'000u * 50 + 20'000);
}

TEST(EventRingTest, TheMemoryOfAFullRingStaysAsItIs) {
  constexpr int64_t kCapacity = 10 * EventRing::kChunk;
  EventRing ring(kCapacity);
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

}  // namespace
}  // namespace portreeve::server
