// EventRing, to which each piece of memory in turn is refused.
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <string>
#include <vector>

#include "server/events/event_ring.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

constexpr int64_t kCapacity = 2 * EventRing::kChunk + 10;
constexpr int kEvents = 5 * EventRing::kChunk;

// Adds kEvents events, the memory for one of which is refused from the
// `given`th piece on; whether any was.
class Adder {
 public:
  Adder(size_t max_bytes, int num_refusals)
      : ring_(kCapacity, max_bytes), num_refusals_(num_refusals) {
    for (int i = 0; i < 3; ++i) {
      names_.push_back(std::make_shared<const std::string>(
          "listeners/one-whose-name-is-long-" + std::to_string(i)));
    }
  }

  bool Run(int given) {
    std::vector<std::string> events;
    for (int i = 0; i < kEvents; ++i) {
      events.push_back(std::to_string(i) + std::string(i % 50, '.'));
    }
    added_.reserve(kEvents);
    testing::RefuseMemoryAfter(given, num_refusals_);
    for (int i = 0; i < kEvents; ++i) {
      try {
        ring_.Add(v1::EVENT_KIND_GAP, EventForm::kEncoded,
                  names_[static_cast<size_t>(i % 3)],
                  events[static_cast<size_t>(i)]);
        added_.push_back(i);
      } catch (const std::bad_alloc&) {
        // It is none.
      }
    }
    const bool refused = testing::GiveMemoryAgain();
    ExpectWhatWasAdded(events);
    return refused;
  }

 private:
  void ExpectWhatWasAdded(const std::vector<std::string>& events) {
    ASSERT_EQ(ring_.last(), static_cast<int64_t>(added_.size()));
    for (int64_t number = ring_.first(); number <= ring_.last(); ++number) {
      const int i = added_[static_cast<size_t>(number - 1)];
      const EventRing::Entry entry = ring_.at(number);
      ASSERT_EQ(entry.bytes, events[static_cast<size_t>(i)]) << number;
      ASSERT_EQ(entry.listener_name, *names_[static_cast<size_t>(i % 3)])
          << number;
    }
    ASSERT_LE(ring_.last() - ring_.first() + 1, kCapacity);
  }

  EventRing ring_;
  const int num_refusals_;
  std::vector<SharedName> names_;
  std::vector<int> added_;
};

class EventRingNoMemoryTest : public ::testing::TestWithParam<int> {};

TEST_P(EventRingNoMemoryTest, WhatWasNotAddedLeavesTheOthers) {
  for (const size_t max_bytes : {size_t{1} << 30, size_t{20'000}}) {
    int num_runs = 0;
    for (bool refused = true; refused; ++num_runs) {
      SCOPED_TRACE(num_runs);
      Adder adder(max_bytes, GetParam());
      refused = adder.Run(num_runs);
      if (HasFailure()) return;
    }
    EXPECT_GT(num_runs, 10);
  }
}

// The memory that it counts is what it has, in the end, too.
TEST_P(EventRingNoMemoryTest, TheMemoryIsCountedAllTheSame) {
  const auto name = std::make_shared<const std::string>("listeners/a");
  const auto add = [&](EventRing& ring) {
    try {
      ring.Add(v1::EVENT_KIND_GAP, EventForm::kEncoded, name,
               std::string(100, 'x'));
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  };
  EventRing sound(kCapacity, size_t{1} << 30);
  for (int i = 0; i < kEvents; ++i) EXPECT_TRUE(add(sound));
  bool refused = true;
  for (int given = 0; refused; ++given) {
    EventRing ring(kCapacity, size_t{1} << 30);
    testing::RefuseMemoryAfter(given, GetParam());
    for (int i = 0; i < kEvents; i += add(ring) ? 1 : 0) {
    }
    refused = testing::GiveMemoryAgain();
    EXPECT_EQ(ring.MemoryUse(), sound.MemoryUse()) << given;
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(, EventRingNoMemoryTest, ::testing::Values(1, 2, 10));

}  // namespace
}  // namespace portreeve::server
