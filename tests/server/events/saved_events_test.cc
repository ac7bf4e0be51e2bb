#include "server/events/saved_events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/escaping.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "portreeve/v1/event.pb.h"
#include "server/api/errors.h"
#include "server/events/event_log.h"
#include "tests/server/random_events.h"
#include "tests/server/sealed_copies.h"

namespace portreeve::server {
namespace {

using testing::AllOf;
using testing::Checking;
using testing::kAllSeals;
using testing::kContentsAt;
using testing::kVersionAt;
using testing::RandomEvents;
using testing::ReadAll;
using testing::Sealed;

constexpr size_t kMuch = size_t{1} << 30;

Descriptor Save(const EventLog& log) {
  auto file = log.Save();
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

std::unique_ptr<EventLog> Load(const Descriptor& file, int64_t capacity,
                               size_t max_bytes = kMuch) {
  auto log = std::make_unique<EventLog>(capacity, max_bytes);
  const absl::Status status = log->Load(file);
  EXPECT_TRUE(status.ok()) << status;
  return log;
}

// Fails unless the file is refused, and the log is as it was.
void ExpectRefused(const Descriptor& file) {
  EventLog log(10);
  const std::string before = AllOf(log, {});
  EXPECT_EQ(ReasonOf(log.Load(file)), "HANDOVER_DAMAGED");
  EXPECT_EQ(AllOf(log, {}), before);
}

// The capacity, and the bytes of memory.
class SavedEventsTest
    : public ::testing::TestWithParam<std::tuple<int64_t, size_t>> {
 protected:
  int64_t capacity() const { return std::get<0>(GetParam()); }
  size_t max_bytes() const { return std::get<1>(GetParam()); }
};

// At whatever moment it is saved.
TEST_P(SavedEventsTest, WhatWasSavedIsWhatIsLoaded) {
  RandomEvents events(1, 5);
  EventLog log(capacity(), max_bytes());
  const int64_t last = 2 * capacity() + 3 * EventRing::kChunk;
  for (int64_t i = 0; i <= last; ++i) {
    const int64_t at_edge = i % EventRing::kChunk;
    if (at_edge <= 1 || i % 97 == 0 || i == last) {
      const auto loaded = Load(Save(log), capacity(), max_bytes());
      ASSERT_EQ(AllOf(*loaded, events.names()), AllOf(log, events.names()))
          << i;
      EXPECT_LE(loaded->MemoryUse(), log.MemoryUse()) << i;
    }
    events.Append(log);
  }
}

// And so does the one after it, and so on.
TEST_P(SavedEventsTest, TheNextOneGoesOnAsTheLastOneWould) {
  RandomEvents events(2, 5);
  RandomEvents same(2, 5);
  EventLog log(capacity(), max_bytes());
  auto other = std::make_unique<EventLog>(capacity(), max_bytes());
  const std::string instance_id = other->instance_id();
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 97; ++i) {
      events.AppendConnection(log);
      same.AppendConnection(*other);
    }
    other = Load(Save(*other), capacity(), max_bytes());
    ASSERT_EQ(other->instance_id(), instance_id);
    ASSERT_EQ(other->last_revision(), log.last_revision());
    // What the last chunk takes beyond its bytes is not handed over; so they
    // may differ in when it is too much.
    const int64_t first =
        std::max(log.first_revision(), other->first_revision());
    for (int64_t r = first; r <= log.last_revision(); ++r) {
      ASSERT_EQ(other->at(r).bytes, log.at(r).bytes);
      ASSERT_EQ(other->at(r).listener_name, log.at(r).listener_name);
    }
    if (max_bytes() == kMuch) {
      ASSERT_EQ(other->first_revision(), log.first_revision());
      for (const SharedName& listener : events.names()) {
        for (int64_t r = 1; r < first; r += 7) {
          ASSERT_EQ(other->HasLost(r, {*listener}, {}),
                    log.HasLost(r, {*listener}, {}))
              << r;
        }
      }
    }
    ASSERT_LE(other->MemoryUse(), std::max(max_bytes(), log.MemoryUse()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bounds, SavedEventsTest,
    ::testing::Combine(::testing::Values(1, EventRing::kChunk,
                                         EventRing::kChunk + 1,
                                         2 * EventRing::kChunk + 17),
                       ::testing::Values(size_t{1}, size_t{30'000}, kMuch)));

TEST(SavedEventsBoundsTest, OneWithOtherBoundsKeepsTheNewestOfThem) {
  RandomEvents events(3, 5);
  EventLog log(1'000, 200'000);
  for (int i = 0; i < 3'000; ++i) events.Append(log);
  const Descriptor file = Save(log);
  struct Bounds {
    int64_t capacity;
    size_t max_bytes;
  };
  for (const Bounds& bounds :
       {Bounds{1, kMuch}, Bounds{300, kMuch}, Bounds{5'000, kMuch},
        Bounds{1'000, 50'000}, Bounds{1'000, 1}, Bounds{5'000, 20'000}}) {
    const auto loaded = Load(file, bounds.capacity, bounds.max_bytes);
    ASSERT_EQ(loaded->last_revision(), 3'000);
    EXPECT_GE(loaded->first_revision(), log.first_revision());
    EXPECT_LE(loaded->first_revision(), 3'000);
    if (loaded->first_revision() < 3'000) {
      EXPECT_LE(loaded->MemoryUse(), bounds.max_bytes);
    }
    if (bounds.max_bytes == kMuch) {
      EXPECT_EQ(loaded->first_revision(),
                std::max(log.first_revision(), 3'000 - bounds.capacity + 1));
    }
    for (int64_t r = loaded->first_revision(); r <= 3'000; ++r) {
      EXPECT_EQ(loaded->at(r).bytes, log.at(r).bytes);
    }
    // What is not kept any more is known to be lost.
    for (int64_t r = log.first_revision(); r < loaded->first_revision(); ++r) {
      EventKinds kind;
      kind.set(static_cast<size_t>(log.at(r).kind));
      EXPECT_TRUE(loaded->HasLost(r, {}, kind)) << r;
      if (log.at(r).listener_name.empty()) continue;
      EXPECT_TRUE(loaded->HasLost(r, {log.at(r).listener_name}, kind)) << r;
    }
  }
}

// So that the names take their memory once.
TEST(SavedEventsBoundsTest, EventsShareTheNamesOfTheirListeners) {
  RandomEvents events(4, 3);
  EventLog log(1'000);
  for (int i = 0; i < 1'000; ++i) events.AppendConnection(log);
  const auto loaded = Load(Save(log), 1'000);
  std::set<const std::string*> names;
  for (int64_t r = 1; r <= 1'000; ++r) {
    names.insert(&loaded->at(r).listener_name);
  }
  EXPECT_EQ(names.size(), 4u);  // One is none.
}

TEST(SavedEventsBoundsTest, ListenersThatWereSilentForLongStayForgotten) {
  EventLog log(1);
  v1::Event event;
  event.mutable_limit_reached();
  constexpr int kListeners = static_cast<int>(LostEvents::kMaxListeners) + 50;
  std::vector<SharedName> names;
  for (int i = 0; i < kListeners; ++i) {
    const std::string name = "listeners/" + std::to_string(i);
    log.Append(event, name);
    if (i < 60) names.push_back(std::make_shared<const std::string>(name));
  }
  for (int i = 0; i < 800; ++i) log.Append(event, "");
  const auto loaded = Load(Save(log), 1);
  EXPECT_EQ(AllOf(*loaded, names), AllOf(log, names));
  // As it is of one that is known.
  EXPECT_TRUE(loaded->HasLost(40, {"listeners/0"}, {}));
  EXPECT_FALSE(loaded->HasLost(500, {"listeners/0"}, {}));
  EXPECT_TRUE(loaded->HasLost(500, {"listeners/600"}, {}));
}

TEST(SavedEventsBoundsTest, ALogThatHasEventsCannotLoad) {
  const EventLog empty(10);
  const Descriptor file = Save(empty);
  EventLog log(10);
  v1::Event event;
  event.mutable_limit_reached();
  log.Append(event, "");
  EXPECT_DEATH((void)log.Load(file), "CHECK");
}

TEST(SavedEventsBoundsTest, ToLoadCallsNoSubscriber) {
  RandomEvents events(5, 2);
  EventLog log(10);
  for (int i = 0; i < 20; ++i) events.Append(log);
  EventLog loaded(10);
  int num_calls = 0;
  const EventLog::Subscription subscription(loaded, [&] { ++num_calls; });
  ASSERT_TRUE(loaded.Load(Save(log)).ok());
  EXPECT_EQ(num_calls, 0);
  events.Append(loaded);
  EXPECT_EQ(num_calls, 1);
  EXPECT_EQ(loaded.last_revision(), 21);
}

class DamagedEventsTest : public ::testing::Test {
 protected:
  DamagedEventsTest() {
    RandomEvents events(6, 2);
    for (int i = 0; i < 270; ++i) events.AppendConnection(log_);
    for (int i = 0; i < 12; ++i) events.Append(log_);
    bytes_ = ReadAll(Save(log_));
  }

  EventLog log_{8};
  std::string bytes_;
};

TEST_F(DamagedEventsTest, EveryBitCounts) {
  const auto loaded = Load(Sealed(bytes_), 8);
  EXPECT_EQ(AllOf(*loaded, {}), AllOf(log_, {}));
  for (size_t i = 0; i < bytes_.size(); ++i) {
    for (const int bits : {1, 0x10, 0x80, 0xff}) {
      std::string damaged = bytes_;
      damaged[i] = static_cast<char>(damaged[i] ^ bits);
      ExpectRefused(Sealed(damaged));
      if (HasFailure()) FAIL() << i;
    }
  }
}

TEST_F(DamagedEventsTest, EveryByteCounts) {
  for (size_t size = 0; size < bytes_.size(); ++size) {
    ExpectRefused(Sealed(bytes_.substr(0, size)));
    if (HasFailure()) FAIL() << size;
  }
  ExpectRefused(Sealed(bytes_ + '\0'));
}

// Where the checksum is right, and the fault that of a program.
TEST_F(DamagedEventsTest, WhatNoLogWritesIsRefusedOrHarmless) {
  int num_refused = 0;
  for (size_t i = kContentsAt; i < bytes_.size(); ++i) {
    for (const int bits : {1, 0x80, 0xff}) {
      std::string damaged = bytes_;
      damaged[i] = static_cast<char>(damaged[i] ^ bits);
      EventLog log(8);
      const absl::Status status = log.Load(Sealed(Checking(damaged)));
      if (!status.ok()) {
        ++num_refused;
        EXPECT_EQ(ReasonOf(status), "HANDOVER_DAMAGED");
        EXPECT_EQ(log.last_revision(), 0);
        EXPECT_NE(log.instance_id(), log_.instance_id());
      }
      std::string encoded;
      for (int64_t r = log.first_revision(); r <= log.last_revision(); ++r) {
        log.AppendTo(encoded, r);
      }
      (void)log.HasLost(1, {"listeners/0"}, EventKinds(1));
      RandomEvents more(7, 2);
      for (int j = 0; j < 10; ++j) more.AppendConnection(log);
      if (HasFailure()) FAIL() << i;
    }
  }
  EXPECT_GT(num_refused, 1'000);
  for (size_t size = kContentsAt; size < bytes_.size(); ++size) {
    ExpectRefused(Sealed(Checking(bytes_.substr(0, size))));
    if (HasFailure()) FAIL() << size;
  }
  ExpectRefused(Sealed(Checking(bytes_ + '\0')));
}

TEST_F(DamagedEventsTest, AnEventThatWouldTearAMessageIsRefused) {
  EventLog log(8);
  v1::Event event;
  event.mutable_limit_reached();
  log.Append(event, "");
  const std::string bytes = ReadAll(Save(log));
  const std::string encoded(log.at(1).bytes);
  const size_t at = bytes.find(encoded);
  ASSERT_NE(at, std::string::npos);
  for (const size_t i : {size_t{0}, size_t{1}}) {  // The tag, the length.
    std::string torn = bytes;
    ++torn[at + i];
    ExpectRefused(Sealed(Checking(torn)));
  }
}

TEST_F(DamagedEventsTest, ANewerVersionIsRefused) {
  for (const char version : {'\0', '\2'}) {
    std::string newer = bytes_;
    newer[kVersionAt] = version;
    ExpectRefused(Sealed(Checking(newer)));
  }
}

TEST_F(DamagedEventsTest, WhatCanBeChangedIsRefused) {
  for (const int seal :
       {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE}) {
    ExpectRefused(Sealed(bytes_, kAllSeals & ~seal));
  }
  ExpectRefused(Descriptor());
  std::array<int, 2> pipe_ends;
  ASSERT_EQ(pipe(pipe_ends.data()), 0);
  ExpectRefused(Descriptor(pipe_ends[0]));
  ExpectRefused(Descriptor(pipe_ends[1]));
}

TEST_F(DamagedEventsTest, WhatIsSavedCannotBeChanged) {
  const Descriptor file = Save(log_);
  EXPECT_EQ(fcntl(file.get(), F_GET_SEALS), kAllSeals);
  EXPECT_EQ(fcntl(file.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_LT(pwrite(file.get(), "x", 1, 0), 0);
  EXPECT_NE(ftruncate(file.get(), 1), 0);
}

std::string ReadText(const std::string& name) {
  std::ifstream file("tests/server/events/golden/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// Gives what the hexadecimal digits of a text stand for.
std::string BytesOf(const std::string& text) {
  std::string digits;
  for (const char c : text) {
    if (c != '\n') digits.push_back(c);
  }
  return absl::HexStringToBytes(digits);
}

// A file that a daemon has written once, and what its events are, is read by
// every later version.  Neither is ever changed: a new layout has new ones.
TEST(GoldenEventsTest, ThoseOfVersion1AreRead) {
  const auto log = Load(Sealed(BytesOf(ReadText("events_v1.hex"))), 10);
  EXPECT_EQ(log->instance_id(), "dc4975af-6208-483e-8836-38962d709d55");
  EXPECT_EQ(log->last_revision(), 15);
  EXPECT_EQ(log->first_revision(), 6);
  EXPECT_EQ(log->total(v1::EVENT_KIND_CONNECTION_CLOSED), 6);
  EXPECT_EQ(log->total(v1::EVENT_KIND_HANDLER_ERROR), 1);
  EXPECT_TRUE(log->HasLost(1, {"listeners/lost"}, {}));
  EXPECT_FALSE(log->HasLost(2, {"listeners/lost"}, {}));
  EXPECT_TRUE(log->HasLost(5, {"listeners/a"}, {}));
  EXPECT_FALSE(log->HasLost(5, {"listeners/b"}, {}));
  std::string encoded;
  for (int64_t r = 6; r <= 15; ++r) log->AppendTo(encoded, r);
  v1::WatchEventsResponse events;
  ASSERT_TRUE(events.ParseFromString(encoded));
  v1::WatchEventsResponse expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      ReadText("events_v1.textproto"), &expected));
  google::protobuf::util::MessageDifferencer differences;
  std::string text;
  differences.ReportDifferencesToString(&text);
  EXPECT_TRUE(differences.Compare(expected, events)) << text;
}

}  // namespace
}  // namespace portreeve::server
