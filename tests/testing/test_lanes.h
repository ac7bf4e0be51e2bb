// TestLanes: the lanes that a test's servers carry their connections on.
#ifndef PORTREEVE_TESTS_TESTING_TEST_LANES_H_
#define PORTREEVE_TESTS_TESTING_TEST_LANES_H_

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/loop.h"
#include "lib/lane/lane.h"

namespace portreeve::testing {

// With PORTREEVE_TEST_LOOPS greater than 1 in the environment there are as many
// loops, and every connection is on another one than its server; else all
// connections are on the server's.
// Lifetime: it must outlive the servers.
class TestLanes {
 public:
  explicit TestLanes(asio::io_context& home) : set_(Lane::Of(home)) {
    const char* const text = std::getenv("PORTREEVE_TEST_LOOPS");
    const int count = text == nullptr ? 1 : std::stoi(text);
    // Connections go to the lane with the fewest, so that home must have many.
    for (int i = 0; count > 1 && i < kEnough; ++i) set_.Take();
    for (int i = 1; i < count; ++i) {
      others_.push_back(std::make_unique<Loop>());
      Loop& loop = *others_.back();
      auto make_lane = [&loop] { return &Lane::Of(loop.context()); };
      set_.Add(*loop.Run(make_lane).get());
    }
  }

  LaneSet& set() { return set_; }

 private:
  static constexpr int kEnough = 100'000;

  std::vector<std::unique_ptr<Loop>> others_;
  LaneSet set_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_TEST_LANES_H_
