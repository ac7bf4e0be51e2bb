#include "server/live/event_start.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

TEST(EventStartTest, WithoutAnIdThereIsASnapshot) {
  const EventStart snapshot{8, true, ""};
  EXPECT_EQ(StartOf(std::nullopt, "me", 7), snapshot);
  EXPECT_EQ(StartOf("", "me", 7), snapshot);
}

TEST(EventStartTest, WithOneItGoesOnBehindThat) {
  EXPECT_EQ(StartOf("me/0", "me", 7), (EventStart{1, false, ""}));
  EXPECT_EQ(StartOf("me/6", "me", 7), (EventStart{7, false, ""}));
  EXPECT_EQ(StartOf("me/7", "me", 7), (EventStart{8, false, ""}));
}

TEST(EventStartTest, WhatIsNotKnownIsWorthNothing) {
  for (const char* id :
       {"me/8", "me/-1", "me/", "me/x", "me/1x", "me/99999999999999999999"}) {
    EXPECT_EQ(StartOf(id, "me", 7), (EventStart{8, true, "REVISION_UNKNOWN"}))
        << id;
  }
  for (const char* id : {"you/3", "me", "/3", "3", "mee/3", "\xff\n"}) {
    EXPECT_EQ(StartOf(id, "me", 7), (EventStart{8, true, "INSTANCE_CHANGED"}))
        << id;
  }
}

// A daemon whose whole state is how many events it has seen, and a browser,
// which believes what it is told.  Steps: an event happens; one piece of the
// stream arrives; the stream is cut; the daemon starts anew.
class Model {
 public:
  void Do(char step) {
    switch (step) {
      case 'e':
        ++last_;
        break;
      case 'r':
        if (!Receive()) return;
        break;
      case 'c':
        open_ = false;
        break;
      case 'd':
        ++life_;
        last_ = 0;
        open_ = false;
        break;
    }
  }

  // Reads all that there is.
  void CatchUp() {
    while (Receive()) {
    }
  }
  bool KnowsAll() const { return known_life_ == life_ && known_ == last_; }

 private:
  // A snapshot has as many pieces as events before it, and one that ends it.
  bool Receive() {
    if (!open_) Connect();
    if (restart_) {
      restart_ = false;
      known_ = 0;
      return true;
    }
    if (snapshot_left_ > 0) {
      if (--snapshot_left_ > 0) {
        ++known_;
      } else {
        known_life_ = life_;
        id_ = EventId(Name(), next_ - 1);
      }
      return true;
    }
    if (next_ > last_) return false;
    // Exactly the missing ones: none twice, none left out.
    EXPECT_EQ(known_, next_ - 1);
    ++known_;
    id_ = EventId(Name(), next_++);
    return true;
  }
  void Connect() {
    open_ = true;
    const EventStart start = StartOf(id_, Name(), last_);
    restart_ = !start.restart.empty();
    next_ = start.first;
    snapshot_left_ = start.has_snapshot ? last_ + 1 : 0;
    // Without an id it has nothing.
    if (!id_) known_ = 0;
  }
  std::string Name() const { return absl::StrCat("life-", life_); }

  int life_ = 1;
  int64_t last_ = 1;
  bool open_ = false;
  bool restart_ = false;
  int64_t snapshot_left_ = 0;
  int64_t next_ = 0;
  std::optional<std::string> id_;
  int64_t known_ = 0;
  int known_life_ = 0;
};

TEST(EventStartTest, AfterEverySequenceOfStepsABrowserKnowsAll) {
  const std::string steps = "ercd";
  int64_t sequences = 1;
  for (int i = 0; i < 8; ++i) sequences *= 4;
  for (int64_t number = 0; number < sequences; ++number) {
    Model model;
    std::string done;
    for (int64_t rest = number, i = 0; i < 8; ++i, rest /= 4) {
      done += steps[static_cast<size_t>(rest % 4)];
      model.Do(done.back());
    }
    model.CatchUp();
    ASSERT_TRUE(model.KnowsAll()) << done;
  }
}

}  // namespace
}  // namespace portreeve::server
