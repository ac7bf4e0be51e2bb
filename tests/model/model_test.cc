// Pairs of peers that do at random what peers do, through a real daemon: each
// gets what the other sent, and an end only where there was one (verdict.h).
//
// A scene that fails prints its seed, its script and what was seen.  To play it
// again:
//   bazel test //tests/model:model_test --test_env=PORTREEVE_MODEL_SCENE=SEED
// (some seeds, with commas between; PORTREEVE_MODEL_REPEAT times, as what the
// kernel and the daemon do at the same time is not in the seed).  Others:
// PORTREEVE_MODEL_SEED for the seeds of the fresh round, PORTREEVE_MODEL_SCENES
// for how many it has, PORTREEVED_BINARY for another daemon.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/round.h"
#include "tests/model/sanitized.h"

namespace portreeve::model {
namespace {

constexpr size_t kScenes = kSanitized ? 2000 : 5000;

// Of each kind; PORTREEVE_MODEL_SHOW for another number.
constexpr size_t kMostShown = 2;

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// `count` seeds from one; the first few need the time of a forced close.
std::vector<uint64_t> Seeds(uint64_t seed, size_t count, size_t num_long) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> seeds;
  for (size_t i = 0; i < count; ++i) {
    // Short enough to be typed.
    seeds.push_back(random() % 1'000'000'000'000);
    if (i < num_long) seeds.back() |= kLongSeed;
  }
  return seeds;
}

class ModelTest : public ::testing::Test {
 protected:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }

  void Play(RoundOptions options) {
    Round round(std::move(options));
    round.Run();
    num_pairs_ += round.num_pairs();
    for (const auto& [reason, count] : round.reasons()) {
      reasons_[reason] += count;
    }
    for (const Failure& failure : round.failures()) {
      ++num_failures_;
      bool is_new = false;
      for (const std::string& kind : failure.kinds) {
        is_new |= ++kinds_[kind] <= most_shown_;
      }
      if (is_new) ADD_FAILURE() << failure.text;
    }
  }

  // Connections that ended with `reason`.
  size_t num_closed(v1::CloseReason reason) const {
    const auto found = reasons_.find(reason);
    return found == reasons_.end() ? 0 : found->second;
  }

  void TearDown() override {
    std::cout << num_pairs_ << " pairs, " << num_failures_
              << " scenes failed\n";
    for (const auto& [reason, count] : reasons_) {
      std::cout << "  " << CloseReason_Name(reason) << ": " << count << "\n";
    }
    for (const auto& [kind, count] : kinds_) {
      std::cout << "  " << count << " x " << kind << "\n";
    }
    EXPECT_EQ(num_failures_, 0U);
  }

 private:
  size_t num_pairs_ = 0;
  size_t num_failures_ = 0;
  std::map<v1::CloseReason, size_t> reasons_;
  std::map<std::string, size_t> kinds_;
  const size_t most_shown_ = NumberFrom("PORTREEVE_MODEL_SHOW", kMostShown);
};

uint64_t FreshSeed() {
  const uint64_t seed =
      NumberFrom("PORTREEVE_MODEL_SEED", std::random_device()());
  std::cout << "PORTREEVE_MODEL_SEED=" << seed << std::endl;
  return seed;
}

TEST_F(ModelTest, KnownSeeds) {
  RoundOptions options;
  options.seeds = Seeds(1, kScenes, 10);
  Play(options);
  // The plans come as far as they are meant to.
  for (const auto reason :
       {v1::CLOSE_REASON_PEER_CLOSED, v1::CLOSE_REASON_PEER_RESET,
        v1::CLOSE_REASON_HANDLER_DONE, v1::CLOSE_REASON_HANDLER_ERROR,
        v1::CLOSE_REASON_BUFFER_AGE, v1::CLOSE_REASON_FORCED,
        v1::CLOSE_REASON_CALLED, v1::CLOSE_REASON_LISTENER_CLOSED,
        v1::CLOSE_REASON_UNCLAIMED, v1::CLOSE_REASON_CLIENT_GONE,
        v1::CLOSE_REASON_UPSTREAM_UNREACHABLE, v1::CLOSE_REASON_UPSTREAM_CLOSED,
        v1::CLOSE_REASON_UPSTREAM_RESET, v1::CLOSE_REASON_CANCELLED}) {
    EXPECT_GT(num_closed(reason), 0U) << CloseReason_Name(reason);
  }
}

TEST_F(ModelTest, FreshSeed) {
  RoundOptions options;
  options.arguments = {"--loops", "2"};
  options.seeds =
      Seeds(FreshSeed(), NumberFrom("PORTREEVE_MODEL_SCENES", kScenes), 0);
  Play(options);
}

TEST_F(ModelTest, ShutDownInTheMidst) {
  const uint64_t fresh = FreshSeed();
  for (uint64_t round = 0; round < (kSanitized ? 4 : 10); ++round) {
    RoundOptions options;
    options.arguments = {"--drain", round % 4 < 2 ? "0s" : "100ms"};
    options.seeds = Seeds((round % 2 == 0 ? 100 : fresh) + round, 128, 0);
    options.terminate_after = 40;
    Play(options);
  }
  EXPECT_GT(num_closed(v1::CLOSE_REASON_SHUTDOWN), 0U);
}

TEST_F(ModelTest, SceneAgain) {
  const char* const scenes = std::getenv("PORTREEVE_MODEL_SCENE");
  ASSERT_NE(scenes, nullptr);
  RoundOptions options;
  std::istringstream seeds(scenes);
  std::vector<uint64_t> all;
  for (std::string seed; std::getline(seeds, seed, ',');) {
    all.push_back(std::stoull(seed));
  }
  const uint64_t repeat = NumberFrom("PORTREEVE_MODEL_REPEAT", 1);
  for (uint64_t i = 0; i < repeat; ++i) {
    options.seeds.insert(options.seeds.end(), all.begin(), all.end());
  }
  Play(options);
}

}  // namespace
}  // namespace portreeve::model

// With PORTREEVE_MODEL_SCENE its scenes alone are played, and else all others.
int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (::testing::GTEST_FLAG(filter) == "*") {
    ::testing::GTEST_FLAG(filter) =
        std::getenv("PORTREEVE_MODEL_SCENE") != nullptr
            ? "ModelTest.SceneAgain"
            : "-ModelTest.SceneAgain";
  }
  return RUN_ALL_TESTS();
}
