#include "client/cli/patience.h"

#include <gtest/gtest.h>

#include <string>

namespace portreeve::cli {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

// Lets a command block for good.  `answers` are those of the daemon, in order:
// t, it is there; n, it is not.  Gives when it was given up; InfiniteFuture
// where that was not before there was no answer left.
absl::Duration GiveUpAfter(absl::Duration grace, const std::string& answers) {
  Patience patience(grace);
  absl::Time now = kStart;
  size_t num_asked = 0;
  while (true) {
    EXPECT_FALSE(patience.has_given_up());
    switch (patience.OnBlocked(now)) {
      case Patience::Step::kWait:
        EXPECT_GT(patience.next(), now);
        now = patience.next();
        if (now == absl::InfiniteFuture()) return absl::InfiniteDuration();
        break;
      case Patience::Step::kAsk:
        if (num_asked == answers.size()) return absl::InfiniteDuration();
        patience.OnAnswer(now, answers[num_asked++] == 't');
        break;
      case Patience::Step::kGiveUp:
        EXPECT_TRUE(patience.has_given_up());
        return now - kStart;
    }
  }
}

// It asks every 5 s, so that three answers span a grace of 10 s.
TEST(PatienceTest, GivesUpOnceEveryAnswerOfAGraceWasThatItIsOver) {
  for (int set = 0; set < 64; ++set) {
    std::string answers;
    for (int i = 0; i < 6; ++i) answers += (set >> i & 1) != 0 ? 't' : 'n';
    const size_t over = answers.find("nnn");
    EXPECT_EQ(GiveUpAfter(absl::Seconds(10), answers),
              over == std::string::npos
                  ? absl::InfiniteDuration()
                  : absl::Seconds(5) * static_cast<double>(over + 3))
        << answers;
  }
}

TEST(PatienceTest, AShortGraceIsAskedForSoonAndALongOneNeverRarely) {
  EXPECT_EQ(GiveUpAfter(absl::Milliseconds(300), "nn"),
            absl::Milliseconds(600));
  EXPECT_EQ(GiveUpAfter(absl::Milliseconds(50), "n"), absl::Milliseconds(150));
  EXPECT_EQ(GiveUpAfter(absl::ZeroDuration(), "n"), absl::Milliseconds(100));
  EXPECT_EQ(GiveUpAfter(absl::Seconds(-1), "n"), absl::Milliseconds(100));
  EXPECT_EQ(GiveUpAfter(absl::Hours(1), std::string(1000, 'n')),
            absl::Hours(1) + absl::Seconds(5));
  EXPECT_EQ(GiveUpAfter(absl::InfiniteDuration(), std::string(1000, 'n')),
            absl::InfiniteDuration());
}

// A command that took all again is no more given up for what was said before.
TEST(PatienceTest, AnAnswerOfLongAgoIsAskedForAnew) {
  Patience patience(absl::Seconds(10));
  EXPECT_EQ(patience.OnBlocked(kStart), Patience::Step::kWait);
  patience.OnAnswer(kStart + absl::Seconds(5), false);
  const absl::Time later = kStart + absl::Hours(1);
  EXPECT_EQ(patience.OnBlocked(later), Patience::Step::kAsk);
  patience.OnAnswer(later, true);
  EXPECT_EQ(patience.OnBlocked(later), Patience::Step::kWait);
  EXPECT_FALSE(patience.has_given_up());
}

}  // namespace
}  // namespace portreeve::cli
