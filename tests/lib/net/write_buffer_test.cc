// WriteBuffer over every short sequence of what a Writer does with it, beside a
// model that keeps each byte with its age.
#include "lib/net/write_buffer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace portreeve {
namespace {

using std::chrono::milliseconds;

constexpr size_t kLeast = 64;

// Each byte that waits, and when it was written; some of what is not stamped
// yet has no time.
struct Model {
  struct Byte {
    char value;
    std::optional<TimePoint> time;
  };

  void Append(std::string_view data) {
    for (const char value : data) bytes.push_back({value, std::nullopt});
    written += static_cast<int64_t>(data.size());
  }
  void Stamp(TimePoint now) {
    // What follows closely shares the time of what was stamped last.
    if (!last || now - *last >= WriteBuffer::kGranularity) last = now;
    for (Byte& byte : bytes) {
      if (!byte.time) byte.time = last;
    }
  }
  void Take(size_t size) {
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<int64_t>(size));
    // There is nothing to share a time with.
    if (bytes.empty()) last.reset();
  }
  std::string text() const {
    std::string text;
    for (const Byte& byte : bytes) text += byte.value;
    return text;
  }

  std::deque<Byte> bytes;
  std::optional<TimePoint> last;
  int64_t written = 0;
};

// The time of each byte that waits in `frozen`.
std::vector<TimePoint> TimesOf(const FrozenWriter& frozen) {
  std::vector<TimePoint> times;
  for (const FrozenWriter::Age& age : frozen.ages) {
    while (static_cast<int64_t>(times.size()) < age.end) {
      times.push_back(age.written);
    }
  }
  return times;
}

class Both {
 public:
  void Do(int step) {
    switch (step) {
      case 0:
        Write("ab");
        break;
      case 1:
        // The kernel takes a part at once where nothing waits.
        WriteRest({"cd", "", "efg"}, buffer_.size() == 0 ? 3 : 0);
        break;
      case 2:
        Take(buffer_.size() / 2);
        break;
      case 3:
        Take(buffer_.size());
        break;
      case 4:
        now_ += milliseconds(15);
        break;
      default:
        // It is another one that goes on.
        FrozenWriter frozen;
        buffer_.Freeze(frozen);
        EXPECT_EQ(frozen.to_write, model_.text());
        WriteBuffer next(kLeast);
        next.Restore(frozen, now_);
        FrozenWriter again;
        next.Freeze(again);
        EXPECT_EQ(again, frozen);
    }
    Check();
  }

 private:
  void Write(std::string_view data) {
    buffer_.Append(data);
    buffer_.Stamp(now_);
    model_.Append(data);
    model_.Stamp(now_);
  }
  void WriteRest(const std::vector<std::string_view>& pieces, size_t taken) {
    std::string all;
    for (const std::string_view piece : pieces) all += piece;
    buffer_.AppendRest(pieces, taken);
    buffer_.Stamp(now_);
    model_.Append(all);
    model_.Take(taken);
    model_.Stamp(now_);
  }
  void Take(size_t size) {
    buffer_.Take(size);
    buffer_.DropTaken();
    model_.Take(size);
  }

  void Check() const {
    ASSERT_EQ(buffer_.bytes(), model_.text());
    ASSERT_EQ(buffer_.size(), model_.bytes.size());
    ASSERT_EQ(buffer_.written(), model_.written);
    ASSERT_EQ(buffer_.taken(),
              model_.written - static_cast<int64_t>(model_.bytes.size()));
    ASSERT_EQ(buffer_.oldest().has_value(), !model_.bytes.empty());
    FrozenWriter frozen;
    buffer_.Freeze(frozen);
    const std::vector<TimePoint> times = TimesOf(frozen);
    ASSERT_EQ(times.size(), model_.bytes.size());
    for (size_t i = 0; i < times.size(); ++i) {
      ASSERT_EQ(times[i], model_.bytes[i].time) << i;
    }
    if (!times.empty()) ASSERT_EQ(buffer_.oldest(), times[0]);
  }

  WriteBuffer buffer_{kLeast};
  Model model_;
  TimePoint now_{std::chrono::hours(1)};
};

TEST(WriteBuffer, EverySequence) {
  constexpr int kSteps = 6;
  constexpr int kLength = 6;
  int num_sequences = 1;
  for (int i = 0; i < kLength; ++i) num_sequences *= kSteps;
  for (int sequence = 0; sequence < num_sequences; ++sequence) {
    Both both;
    std::string steps;
    for (int i = 0, rest = sequence; i < kLength; ++i, rest /= kSteps) {
      steps += std::to_string(rest % kSteps);
      both.Do(rest % kSteps);
    }
    ASSERT_FALSE(::testing::Test::HasFailure()) << steps;
  }
}

TEST(WriteBuffer, BytesThatComeWithoutAnAgeAreAsOldAsTheMove) {
  const TimePoint now(std::chrono::hours(1));
  FrozenWriter frozen;
  frozen.to_write = "abcd";
  frozen.ages = {{2, now - std::chrono::seconds(5)}};
  WriteBuffer buffer(0);
  buffer.Restore(frozen, now);
  EXPECT_EQ(buffer.oldest(), now - std::chrono::seconds(5));
  buffer.Take(2);
  buffer.DropTaken();
  EXPECT_EQ(buffer.oldest(), now);
  EXPECT_EQ(buffer.bytes(), "cd");
}

TEST(WriteBuffer, WhereAgesDoNotCountThereIsNone) {
  FrozenWriter frozen;
  frozen.to_write = "abcd";
  WriteBuffer buffer(0);
  buffer.Restore(frozen, std::nullopt);
  EXPECT_EQ(buffer.oldest(), std::nullopt);
  EXPECT_EQ(buffer.written(), 4);
}

}  // namespace
}  // namespace portreeve
