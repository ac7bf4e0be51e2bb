// LogQueue under every short sequence of events.
#include "server/daemon/log_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace portreeve::server {
namespace {

std::string Note(int64_t dropped) { return "#" + std::to_string(dropped); }

enum class Event {
  kShort,      // A line of one character is added.
  kLong,       // One of three.
  kWriteAll,   // All of the next piece is written.
  kWriteOne,   // One byte of it.
  kFail,       // It cannot be written.
  kSameFile,   // The file is opened anew.
  kOtherFile,  // It is another one now.
};
constexpr int kNumEvents = 7;

// Who adds, and the files that were written.
struct World {
  std::vector<std::string> added;  // Each of a letter of its own.
  std::vector<std::string> files = {""};
};

class Explorer {
 public:
  Explorer(size_t capacity, size_t most) : capacity_(capacity), most_(most) {}

  void Explore(int length) {
    Extend(LogQueue(capacity_, &Note), World(), length);
  }
  int64_t num_sequences() const { return num_sequences_; }

 private:
  // Tries every event after sequence_, which has led to `queue`.
  void Extend(const LogQueue& queue, const World& world, int length) {
    if (length == 0) return;
    for (int i = 0; i < kNumEvents; ++i) {
      LogQueue next_queue = queue;
      World next_world = world;
      sequence_.push_back(static_cast<Event>(i));
      if (Step(sequence_.back(), next_queue, next_world)) {
        ++num_sequences_;
        Check(next_queue, next_world);
        Extend(next_queue, next_world, length - 1);
      }
      sequence_.pop_back();
      if (::testing::Test::HasFailure()) return;
    }
  }

  // False if the event is not possible there.
  bool Step(Event event, LogQueue& queue, World& world) const {
    switch (event) {
      case Event::kShort:
      case Event::kLong: {
        const char letter = static_cast<char>('a' + world.added.size());
        world.added.emplace_back(event == Event::kShort ? 1 : 3, letter);
        queue.Add(world.added.back());
        return true;
      }
      case Event::kWriteAll:
        return Write(100, queue, world);
      case Event::kWriteOne:
        return Write(1, queue, world);
      case Event::kFail:
        if (queue.empty()) return false;
        queue.Next(most_);
        queue.OnFailure();
        return true;
      case Event::kSameFile:
        queue.OnReopened(true);
        return true;
      case Event::kOtherFile:
        queue.OnReopened(false);
        world.files.emplace_back();
        return true;
    }
    return false;
  }

  bool Write(size_t size, LogQueue& queue, World& world) const {
    if (queue.empty()) return false;
    const std::string_view next = queue.Next(most_);
    EXPECT_FALSE(next.empty()) << Text();
    EXPECT_LE(next.size(), most_) << Text();
    const std::string_view written = next.substr(0, size);
    world.files.back().append(written);
    queue.OnWritten(written.size());
    return true;
  }

  // What the files have in them once all that waits has gone out.
  void Check(LogQueue queue, World world) const {
    size_t before = 0;
    for (const std::string& file : world.files) before += file.size();
    while (!queue.empty()) Write(100, queue, world);
    size_t after = 0;
    for (const std::string& file : world.files) after += file.size();
    // Two notes, and the end of a line that was torn.
    EXPECT_LE(after - before, capacity_ + 2 * 3 + 1) << Text();
    CheckLines(world);
  }

  // Every line is there once, whole and in order, or counted in its place; what
  // an error has torn is a line by itself, and the whole follows.
  void CheckLines(const World& world) const {
    auto next = world.added.begin();
    size_t used = 0;
    std::string torn;
    int64_t dropped = 0;
    for (const std::string& file : world.files) {
      for (size_t at = 0; at < file.size();) {
        const size_t end = std::min(file.find('\n', at), file.size());
        const std::string part = file.substr(at, end - at);
        const bool is_last = end == file.size();
        at = end + 1;
        ASSERT_FALSE(part.empty()) << Text();
        if (is_last) ASSERT_NE(&file, &world.files.back()) << Text();
        const bool is_note = part[0] == '#';
        if (is_note ? part.size() == 1 : IsTorn(next, part)) {
          torn = part;
          continue;
        }
        EXPECT_EQ(part.compare(0, torn.size(), torn), 0) << Text();
        torn.clear();
        const int64_t lines = is_note ? std::stoll(part.substr(1)) : 1;
        ASSERT_LE(lines, world.added.end() - next) << Text();
        if (is_note) {
          dropped += lines;
        } else {
          ASSERT_EQ(part, *next) << Text();
        }
        next += lines;
      }
    }
    EXPECT_EQ(torn, "") << Text();
    EXPECT_EQ(next, world.added.end()) << Text();
    for (const std::string& line : world.added) used += line.size() + 1;
    if (used <= capacity_) EXPECT_EQ(dropped, 0) << Text();
  }

  static bool IsTorn(std::vector<std::string>::const_iterator next,
                     const std::string& part) {
    return part.size() < next->size() && part[0] == (*next)[0];
  }

  std::string Text() const {
    static const char* const kNames[kNumEvents] = {
        "short", "long", "all", "one", "fail", "same", "other"};
    std::string text;
    for (const Event event : sequence_) {
      text += std::string(kNames[static_cast<int>(event)]) + " ";
    }
    return text;
  }

  const size_t capacity_;
  const size_t most_;
  std::vector<Event> sequence_;
  int64_t num_sequences_ = 0;
};

TEST(LogQueueTest, HoldsUnderEveryShortSequenceOfEvents) {
  int64_t total = 0;
  for (const size_t capacity : {3, 6, 9}) {
    for (const size_t most : {2, 5}) {
      Explorer explorer(capacity, most);
      explorer.Explore(6);
      total += explorer.num_sequences();
    }
  }
  EXPECT_GT(total, 200000);
}

std::string Rest(LogQueue& queue) {
  std::string text;
  while (!queue.empty()) {
    const std::string_view piece = queue.Next(100);
    text += piece;
    queue.OnWritten(piece.size());
  }
  return text;
}

TEST(LogQueueTest, PiecesAreWholeLinesWhereOneFits) {
  LogQueue queue(100, &Note);
  for (const char* line : {"one", "two", "a long one", "x"}) queue.Add(line);
  EXPECT_EQ(queue.Next(8), "one\ntwo\n");
  queue.OnWritten(8);
  EXPECT_EQ(queue.Next(8), "a long o");
  queue.OnWritten(8);
  EXPECT_EQ(Rest(queue), "ne\nx\n");
}

TEST(LogQueueTest, TheNoteStandsWhereTheLinesWere) {
  LogQueue queue(8, &Note);
  for (const char* line : {"one", "two", "three", "x"}) queue.Add(line);
  const std::string_view piece = queue.Next(100);
  EXPECT_EQ(piece, "one\ntwo\n#2\n");
  queue.OnWritten(piece.size());
  EXPECT_TRUE(queue.empty());
  queue.Add("four");
  EXPECT_EQ(Rest(queue), "four\n");
}

TEST(LogQueueTest, ALineThatNeverFitsIsCountedAtOnce) {
  LogQueue queue(8, &Note);
  queue.Add("much too long");
  EXPECT_EQ(Rest(queue), "#1\n");
}

TEST(LogQueueTest, ALineIsALine) {
  LogQueue queue(100, &Note);
  queue.Add("two\nlines\n");
  EXPECT_EQ(Rest(queue), "two lines \n");
}

}  // namespace
}  // namespace portreeve::server
