// Handshakes under every short sequence of events.
#include "server/control/handshakes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using std::chrono::seconds;

enum class Event {
  kEnter,
  kOldestIsOver,
  kNewestIsOver,
  kTime,  // Half of what each may take passes, and those late are taken out.
  kAsk,   // When the next is late.
  kGiveWay,
};
constexpr int kNumEvents = 6;
constexpr const char* kNames[kNumEvents] = {"enter", "oldest", "newest",
                                            "time",  "ask",    "give way"};
constexpr seconds kHalf{5};

// The clients by number, and when each came.
struct Model {
  struct Client {
    int number;
    int64_t came;  // In halves.
  };
  std::vector<Client> waiting;  // The oldest first; none that is over.
  int64_t now = 0;
};

class Course {
 public:
  explicit Course(size_t most)
      : most_(most), handshakes_(most, 2 * kHalf, [this](int client) {
          return over_.count(client) > 0;
        }) {}

  void Step(Event event) {
    switch (event) {
      case Event::kEnter:
        return Enter();
      case Event::kOldestIsOver:
        if (!model_.waiting.empty()) End(model_.waiting.begin());
        return;
      case Event::kNewestIsOver:
        if (!model_.waiting.empty()) End(model_.waiting.end() - 1);
        return;
      case Event::kTime:
        ++model_.now;
        return Expire();
      case Event::kAsk:
        return Ask();
      case Event::kGiveWay:
        return GiveWay();
    }
  }

 private:
  using Clients = std::vector<Model::Client>;

  TimePoint Now() const { return TimePoint(model_.now * kHalf); }

  void Enter() {
    std::optional<int> expected;
    if (model_.waiting.size() == most_) {
      expected = model_.waiting.front().number;
      model_.waiting.erase(model_.waiting.begin());
    }
    model_.waiting.push_back({++last_number_, model_.now});
    EXPECT_EQ(handshakes_.Enter(last_number_, Now()), expected);
  }
  void End(Clients::iterator client) {
    over_.insert(client->number);
    model_.waiting.erase(client);
  }
  void Expire() {
    std::vector<int> expected;
    while (!model_.waiting.empty() &&
           model_.waiting.front().came + 2 <= model_.now) {
      expected.push_back(model_.waiting.front().number);
      model_.waiting.erase(model_.waiting.begin());
    }
    std::vector<int> late;
    while (const auto client = handshakes_.Expire(Now())) {
      late.push_back(*client);
    }
    EXPECT_EQ(late, expected);
  }
  void Ask() {
    std::optional<TimePoint> expected;
    if (!model_.waiting.empty()) {
      expected = TimePoint((model_.waiting.front().came + 2) * kHalf);
    }
    EXPECT_EQ(handshakes_.next(), expected);
  }
  // The one that has come last is never the one.
  void GiveWay() {
    std::optional<int> expected;
    if (model_.waiting.size() > 1) {
      expected = model_.waiting.front().number;
      model_.waiting.erase(model_.waiting.begin());
    }
    EXPECT_EQ(handshakes_.GiveWay(), expected);
  }

  const size_t most_;
  Model model_;
  int last_number_ = 0;
  std::set<int> over_;
  Handshakes<int> handshakes_;
};

TEST(Handshakes, HoldUnderEveryShortSequenceOfEvents) {
  constexpr int kLength = 7;
  for (const size_t most : {1, 2, 3}) {
    int num_sequences = 1;
    for (int i = 0; i < kLength; ++i) num_sequences *= kNumEvents;
    for (int sequence = 0; sequence < num_sequences; ++sequence) {
      Course course(most);
      std::string text;
      for (int i = 0, rest = sequence; i < kLength; ++i, rest /= kNumEvents) {
        text += std::string(kNames[rest % kNumEvents]) + " ";
        course.Step(static_cast<Event>(rest % kNumEvents));
        ASSERT_FALSE(HasFailure()) << most << " at most, " << text;
      }
    }
  }
}

TEST(Handshakes, TheTimeMayBeEndless) {
  Handshakes<int> handshakes(1, Duration::max(), [](int) { return false; });
  EXPECT_EQ(handshakes.Enter(1, TimePoint(seconds(1))), std::nullopt);
  EXPECT_EQ(handshakes.next(), TimePoint::max());
  EXPECT_EQ(handshakes.Expire(TimePoint::max() - seconds(1)), std::nullopt);
  EXPECT_EQ(handshakes.Enter(2, TimePoint(seconds(2))), 1);
}

}  // namespace
}  // namespace portreeve::server
