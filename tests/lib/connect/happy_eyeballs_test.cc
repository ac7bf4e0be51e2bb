#include "lib/connect/happy_eyeballs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace portreeve {
namespace {

using Family = HappyEyeballs::Family;
using Step = HappyEyeballs::Step;
using Addresses = std::vector<asio::ip::address>;

constexpr Family kV4 = Family::kV4;
constexpr Family kV6 = Family::kV6;

asio::ip::address A(const char* text) { return asio::ip::make_address(text); }

// The step as text: "start 10.0.0.1, timer 250ms", "give up", "wait".
std::string Text(const Step& step) {
  if (step.give_up) return "give up";
  std::string text;
  if (step.start) text += "start " + step.start->to_string() + ", ";
  if (step.timer) {
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(*step.timer);
    text += "timer " + std::to_string(ms.count()) + "ms";
  }
  return text.empty() ? "wait" : text;
}

absl::Status Error(const char* text) { return absl::UnavailableError(text); }

TEST(HappyEyeballs, StartsWithIPv6AsSoonAsItIsThere) {
  HappyEyeballs machine({kV4, kV6});
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {A("::1")})),
            "start ::1, timer 250ms");
}

TEST(HappyEyeballs, IPv4Waits50msForIPv6) {
  HappyEyeballs machine({kV4, kV6});
  EXPECT_EQ(Text(machine.OnLookupDone(kV4, {A("10.0.0.1")})), "timer 50ms");
  EXPECT_EQ(Text(machine.OnTimer()), "start 10.0.0.1, timer 250ms");
}

TEST(HappyEyeballs, IPv6WithinTheResolutionDelayGoesFirst) {
  HappyEyeballs machine({kV4, kV6});
  EXPECT_EQ(Text(machine.OnLookupDone(kV4, {A("10.0.0.1")})), "timer 50ms");
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {A("::1")})),
            "start ::1, timer 250ms");
  EXPECT_EQ(Text(machine.OnTimer()), "start 10.0.0.1, timer 250ms");
}

TEST(HappyEyeballs, NoIPv6EndsTheResolutionDelay) {
  HappyEyeballs none({kV4, kV6});
  none.OnLookupDone(kV4, {A("10.0.0.1")});
  EXPECT_EQ(Text(none.OnLookupDone(kV6, {})), "start 10.0.0.1, timer 250ms");

  HappyEyeballs failed({kV4, kV6});
  failed.OnLookupDone(kV4, {A("10.0.0.1")});
  EXPECT_EQ(Text(failed.OnLookupFailed(kV6, Error("no server"))),
            "start 10.0.0.1, timer 250ms");
}

TEST(HappyEyeballs, NoResolutionDelayWhereIPv6IsNotLookedUp) {
  HappyEyeballs machine({kV4});
  EXPECT_EQ(Text(machine.OnLookupDone(kV4, {A("10.0.0.1")})),
            "start 10.0.0.1, timer 250ms");
}

TEST(HappyEyeballs, NoResolutionDelayWithoutAnIPv4Address) {
  HappyEyeballs machine({kV4, kV6});
  EXPECT_EQ(Text(machine.OnLookupDone(kV4, {})), "wait");
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {A("::1")})),
            "start ::1, timer 250ms");
}

TEST(HappyEyeballs, FamiliesTakeTurnsAndKeepTheResolversOrder) {
  HappyEyeballs machine({kV4, kV6});
  std::string order;
  Step step = machine.OnLookupDone(kV6, {A("::3"), A("::1"), A("::2")});
  order += step.start->to_string() + " ";
  machine.OnLookupDone(kV4, {A("10.0.0.2"), A("10.0.0.1")});
  for (int i = 0; i < 4; ++i) {
    order += machine.OnTimer().start->to_string() + " ";
  }
  EXPECT_EQ(order, "::3 10.0.0.2 ::1 10.0.0.1 ::2 ");
  EXPECT_EQ(Text(machine.OnTimer()), "wait");
}

TEST(HappyEyeballs, TheNextAttemptStartsAtOnceWhenOneFails) {
  HappyEyeballs machine({kV4});
  machine.OnLookupDone(kV4, {A("10.0.0.1"), A("10.0.0.2"), A("10.0.0.3")});
  EXPECT_EQ(Text(machine.OnAttemptFailed(Error("refused"))),
            "start 10.0.0.2, timer 250ms");
  EXPECT_EQ(Text(machine.OnTimer()), "start 10.0.0.3, timer 250ms");
}

TEST(HappyEyeballs, ALateAddressWaitsForTheAttemptDelayOnly) {
  HappyEyeballs within({kV4, kV6});
  within.OnLookupDone(kV6, {A("::1")});
  EXPECT_EQ(Text(within.OnLookupDone(kV4, {A("10.0.0.1")})), "wait");
  EXPECT_EQ(Text(within.OnTimer()), "start 10.0.0.1, timer 250ms");

  HappyEyeballs after({kV4, kV6});
  after.OnLookupDone(kV6, {A("::1")});
  EXPECT_EQ(Text(after.OnTimer()), "wait");
  EXPECT_EQ(Text(after.OnLookupDone(kV4, {A("10.0.0.1")})),
            "start 10.0.0.1, timer 250ms");
}

TEST(HappyEyeballs, ALateIPv6AddressIsNextAfterIPv4) {
  HappyEyeballs machine({kV4, kV6});
  machine.OnLookupDone(kV4, {A("10.0.0.1"), A("10.0.0.2")});
  EXPECT_EQ(Text(machine.OnTimer()), "start 10.0.0.1, timer 250ms");
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {A("::1")})), "wait");
  EXPECT_EQ(Text(machine.OnTimer()), "start ::1, timer 250ms");
  EXPECT_EQ(Text(machine.OnTimer()), "start 10.0.0.2, timer 250ms");
}

TEST(HappyEyeballs, ALateAddressStartsAtOnceIfAllBeforeItFailed) {
  HappyEyeballs machine({kV4, kV6});
  machine.OnLookupDone(kV6, {A("::1")});
  EXPECT_EQ(Text(machine.OnAttemptFailed(Error("refused"))), "wait");
  EXPECT_EQ(Text(machine.OnLookupDone(kV4, {A("10.0.0.1")})),
            "start 10.0.0.1, timer 250ms");
}

TEST(HappyEyeballs, AnAddressIsTriedOnce) {
  HappyEyeballs machine({kV4, kV6});
  machine.OnLookupDone(kV6, {A("10.0.0.1"), A("10.0.0.1")});
  EXPECT_EQ(Text(machine.OnLookupDone(kV4, {A("10.0.0.1")})), "wait");
  EXPECT_EQ(Text(machine.OnAttemptFailed(Error("refused"))), "give up");
}

TEST(HappyEyeballs, GivesUpWithTheLastAttemptsError) {
  HappyEyeballs machine({kV4, kV6});
  machine.NoteRefused(Error("outside policy"));
  machine.OnLookupDone(kV6, {A("::1")});
  machine.OnLookupDone(kV4, {A("10.0.0.1")});
  machine.OnAttemptFailed(Error("refused"));
  EXPECT_EQ(Text(machine.OnAttemptFailed(Error("unreachable"))), "give up");
  EXPECT_EQ(machine.error(), Error("unreachable"));
}

TEST(HappyEyeballs, ADroppedAttemptIsNoneToWaitFor) {
  HappyEyeballs machine({kV4});
  machine.OnLookupDone(kV4, {A("10.0.0.1"), A("10.0.0.2")});
  EXPECT_EQ(Text(machine.OnTimer()), "start 10.0.0.2, timer 250ms");
  machine.OnAttemptDropped();
  EXPECT_EQ(Text(machine.OnTimer()), "wait");
  EXPECT_EQ(Text(machine.OnAttemptFailed(Error("refused"))), "give up");
  EXPECT_EQ(machine.error(), Error("refused"));
}

TEST(HappyEyeballs, AnAttemptsErrorOutranksALaterLookups) {
  HappyEyeballs machine({kV4, kV6});
  machine.OnLookupDone(kV6, {A("::1")});
  machine.OnAttemptFailed(Error("refused"));
  EXPECT_EQ(Text(machine.OnLookupFailed(kV4, Error("no server"))), "give up");
  EXPECT_EQ(machine.error(), Error("refused"));
}

TEST(HappyEyeballs, GivesUpWithTheLookupsErrorWithoutAnAddress) {
  HappyEyeballs machine({kV4, kV6});
  EXPECT_EQ(Text(machine.OnLookupFailed(kV4, Error("no server"))), "wait");
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {})), "give up");
  EXPECT_EQ(machine.error(), Error("no server"));
}

TEST(HappyEyeballs, GivesUpWithTheRefusalIfAllWereRefused) {
  HappyEyeballs machine({kV4, kV6});
  machine.NoteRefused(Error("outside policy"));
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {})), "wait");
  EXPECT_EQ(Text(machine.OnLookupFailed(kV4, Error("no server"))), "give up");
  EXPECT_EQ(machine.error(), Error("outside policy"));
}

TEST(HappyEyeballs, GivesUpWithoutAnErrorIfThereIsNoAddress) {
  HappyEyeballs machine({kV4, kV6});
  machine.OnLookupDone(kV4, {});
  EXPECT_EQ(Text(machine.OnLookupDone(kV6, {})), "give up");
  EXPECT_TRUE(machine.error().ok());
}

// Every sequence of events that a driver can produce, with 0-2 addresses a
// family, against what must hold whatever happens.
class Explorer {
 public:
  struct World {
    HappyEyeballs machine;
    std::vector<Family> lookups;
    Addresses queued, started;
    int running = 0;
    bool timer = false;
    bool attempt_timer = false;
    bool given_up = false;
  };

  void Explore(const World& world, int depth) {
    ++num_worlds_;
    CheckInvariants(world);
    if (world.given_up || depth == 0) return;
    for (Family family : world.lookups) {
      ExploreLookup(world, family, depth);
    }
    if (world.running > 0) {
      World next = world;
      --next.running;
      next.attempt_timer = false;
      Apply(next, next.machine.OnAttemptFailed(Error("refused")));
      Explore(next, depth - 1);
    }
    if (world.timer) {
      World next = world;
      next.timer = next.attempt_timer = false;
      Apply(next, next.machine.OnTimer());
      Explore(next, depth - 1);
    }
  }

  int num_worlds() const { return num_worlds_; }
  int num_given_up() const { return num_given_up_; }

 private:
  void ExploreLookup(const World& world, Family family, int depth) {
    const Addresses all = family == kV4
                              ? Addresses{A("10.0.0.1"), A("10.0.0.2")}
                              : Addresses{A("::1"), A("::2")};
    World failed = world;
    Finish(failed, family);
    Apply(failed, failed.machine.OnLookupFailed(family, Error("no server")));
    Explore(failed, depth - 1);
    for (size_t n = 0; n <= all.size(); ++n) {
      World next = world;
      Finish(next, family);
      const Addresses addresses(all.begin(), all.begin() + n);
      next.queued.insert(next.queued.end(), addresses.begin(), addresses.end());
      Apply(next, next.machine.OnLookupDone(family, addresses));
      Explore(next, depth - 1);
    }
  }

  static void Finish(World& world, Family family) {
    auto& lookups = world.lookups;
    lookups.erase(std::find(lookups.begin(), lookups.end(), family));
  }

  void Apply(World& world, const Step& step) {
    if (step.start) {
      auto it =
          std::find(world.queued.begin(), world.queued.end(), *step.start);
      ASSERT_NE(it, world.queued.end()) << "unknown or tried before";
      ASSERT_FALSE(world.attempt_timer) << "within the attempt delay";
      CheckOrder(world, *step.start);
      world.queued.erase(it);
      world.started.push_back(*step.start);
      ++world.running;
      ASSERT_EQ(step.timer, HappyEyeballs::kAttemptDelay);
    }
    if (step.timer) {
      world.timer = true;
      world.attempt_timer = step.start.has_value();
      if (!step.start) {
        ASSERT_EQ(*step.timer, HappyEyeballs::kResolutionDelay);
      }
    }
    if (step.give_up) ++num_given_up_;
    world.given_up = step.give_up;
  }

  static void CheckOrder(const World& world, const asio::ip::address& start) {
    const bool other_waits =
        std::any_of(world.queued.begin(), world.queued.end(),
                    [&](const asio::ip::address& address) {
                      return address.is_v6() != start.is_v6();
                    });
    if (!other_waits) return;
    if (world.started.empty()) {
      ASSERT_TRUE(start.is_v6());
    } else {
      ASSERT_NE(start.is_v6(), world.started.back().is_v6());
    }
  }

  static void CheckInvariants(const World& world) {
    const bool hopeless =
        world.lookups.empty() && world.running == 0 && world.queued.empty();
    ASSERT_EQ(world.given_up, hopeless);
    // What waits in the queue is tried without anything else happening.
    if (!world.queued.empty()) {
      ASSERT_TRUE(world.timer);
    }
    // Nothing waits while nothing runs, but for the resolution delay.
    if (!world.queued.empty() && world.running == 0) {
      ASSERT_TRUE(world.started.empty());
      ASSERT_EQ(world.lookups, std::vector<Family>{kV6});
    }
  }

  int num_worlds_ = 0;
  int num_given_up_ = 0;
};

TEST(HappyEyeballs, HoldsInEverySequenceOfEvents) {
  Explorer explorer;
  explorer.Explore({HappyEyeballs({kV4, kV6}), {kV4, kV6}, {}, {}}, 12);
  EXPECT_GT(explorer.num_worlds(), 1000);
  EXPECT_GT(explorer.num_given_up(), 100);
}

}  // namespace
}  // namespace portreeve
