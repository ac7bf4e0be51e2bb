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

namespace portreeve::model {
namespace {

#if __has_feature(address_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

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
    for (const Failure& failure : round.failures()) {
      ++num_failures_;
      bool is_new = false;
      for (const std::string& kind : failure.kinds) {
        is_new |= ++kinds_[kind] <= most_shown_;
      }
      if (is_new) ADD_FAILURE() << failure.text;
    }
  }

  void TearDown() override {
    std::cout << num_pairs_ << " pairs, " << num_failures_
              << " scenes failed\n";
    for (const auto& [kind, count] : kinds_) {
      std::cout << "  " << count << " x " << kind << "\n";
    }
    EXPECT_EQ(num_failures_, 0U);
  }

 private:
  size_t num_pairs_ = 0;
  size_t num_failures_ = 0;
  std::map<std::string, size_t> kinds_;
  const size_t most_shown_ = NumberFrom("PORTREEVE_MODEL_SHOW", kMostShown);
};

bool PlaysSomeAgain() {
  return std::getenv("PORTREEVE_MODEL_SCENE") != nullptr;
}

TEST_F(ModelTest, KnownSeeds) {
  if (PlaysSomeAgain()) GTEST_SKIP();
  RoundOptions options;
  options.seeds = Seeds(1, kSanitized ? 2000 : 5000, 4);
  Play(options);
}

TEST_F(ModelTest, FreshSeed) {
  if (PlaysSomeAgain()) GTEST_SKIP();
  const uint64_t seed =
      NumberFrom("PORTREEVE_MODEL_SEED", std::random_device()());
  std::cout << "PORTREEVE_MODEL_SEED=" << seed << std::endl;
  RoundOptions options;
  options.arguments = {"--loops", "2"};
  options.seeds = Seeds(
      seed, NumberFrom("PORTREEVE_MODEL_SCENES", kSanitized ? 2000 : 5000), 0);
  Play(options);
}

TEST_F(ModelTest, ShutDownInTheMidst) {
  if (PlaysSomeAgain()) GTEST_SKIP();
  for (uint64_t seed = 1; seed <= (kSanitized ? 4 : 8); ++seed) {
    RoundOptions options;
    options.arguments = {"--drain", seed % 2 == 0 ? "0s" : "100ms"};
    options.seeds = Seeds(seed + 100, 128, 0);
    options.terminate_after = 40;
    Play(options);
  }
}

TEST_F(ModelTest, SceneAgain) {
  if (!PlaysSomeAgain()) GTEST_SKIP();
  RoundOptions options;
  std::istringstream seeds(std::getenv("PORTREEVE_MODEL_SCENE"));
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
