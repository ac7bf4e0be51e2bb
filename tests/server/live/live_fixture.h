// LiveFixture: what streams of server-sent events show, on a loop whose time is
// the test's.
#ifndef PORTREEVE_TESTS_SERVER_LIVE_LIVE_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_LIVE_LIVE_FIXTURE_H_

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "lib/net/descriptor_budget.h"
#include "server/access/gate.h"
#include "server/access/policy.h"
#include "server/events/event_log.h"
#include "server/live/event_feed.h"
#include "server/live/live_link.h"
#include "server/registry/registry.h"
#include "server/stats/stats_board.h"
#include "server/watch/event_service.h"
#include "tests/testing/refused_memory.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::testing {

// What the daemon does on the thread of the HTTP server is done by the test's
// thread, when it settles; so are the browsers.
class LiveFixture : public ::testing::Test {
 protected:
  // `capacity` is how many events are kept.
  explicit LiveFixture(int64_t capacity = server::EventLog::kCapacity);
  ~LiveFixture() override;

  // On the loop; gives what `f` gives.
  template <typename F>
  auto OnLoop(F f) {
    // Whatever memory the code under test is given.
    const GivenMemory for_the_test;
    return loop_.Run(std::move(f)).get();
  }
  Loop& loop() { return loop_; }
  server::EventLog& log() { return log_; }
  server::Registry& registry() { return *registry_; }
  server::EventService& service() { return *service_; }
  server::StatsBoard& board() { return *board_; }
  const server::LiveLink& link() const { return link_; }
  server::EventFeed::Shared shared(std::shared_ptr<server::EventTexts> texts) {
    return {link_, log_, *registry_, *service_, std::move(texts)};
  }

  // On the loop: an echo listener, which is made, or deleted once it is closed.
  void CreateOnLoop(const std::string& id);
  void DeleteOnLoop(const std::string& id);
  void Create(const std::string& id) {
    OnLoop([&] { CreateOnLoop(id); });
  }
  void Close(const std::string& id);
  // Appends `count` events in one step of the loop; each has more than `size`.
  void Append(int count, size_t size = 0);

  // Does what is ready on both threads, and all that follows from it.
  void Settle();
  // How many times no memory was left to whoever runs the threads.
  int num_escaped() const { return num_escaped_; }
  // Lets time pass, and what is due then happen.
  void Advance(Duration by);

 private:
  Loop loop_;
  asio::io_context http_;
  const server::LiveLink link_{loop_,
                               std::make_shared<server::LoopLink>(http_)};
  std::optional<FakeTimeSource> time_;
  server::EventLog log_;
  DescriptorBudget budget_{10'000};
  std::optional<TestLanes> lanes_;
  const server::Policy policy_;
  server::Gate gate_;
  std::unique_ptr<server::Registry> registry_;
  std::unique_ptr<server::EventService> service_;
  std::unique_ptr<server::StatsBoard> board_;
  int num_escaped_ = 0;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_LIVE_LIVE_FIXTURE_H_
