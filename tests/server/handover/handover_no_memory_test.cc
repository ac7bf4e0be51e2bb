// HandOver, to which each piece of memory in turn is refused.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>

#include "server/handover/handover_receiver.h"
#include "server/handover/handover_sender.h"
#include "tests/server/handover/handover_fakes.h"
#include "tests/server/handover/handover_pair.h"
#include "tests/testing/descriptors.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using End = HandoverOutcome::End;

// Stands still, and waits for the other side as long as it takes.
class PatientClock : public HandoverClock {
 public:
  TimePoint Now() override { return TimePoint(std::chrono::hours(1)); }
  bool Poll(std::span<pollfd> fds, TimePoint deadline) override {
    return System().Poll(
        fds, deadline <= Now() ? TimePoint::min() : TimePoint::max());
  }
};

class HandoverNoMemoryTest : public ::testing::TestWithParam<int> {
 protected:
  HandoverNoMemoryTest() {
    void* const memory = mmap(nullptr, sizeof(bool), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    serves_ = new (memory) bool(false);
  }
  ~HandoverNoMemoryTest() override { munmap(serves_, sizeof(bool)); }

  // Gives false once no memory was refused.
  bool HandOverAfter(int given) {
    PatientClock clock;
    FakeSource source(2);
    *serves_ = false;
    auto [ours, theirs] = SocketPair();
    const pid_t child = fork();
    if (child == 0) {
      ours = Descriptor();
      auto channel = HandoverChannel::Open(std::move(theirs), clock);
      FakeSink sink(source);
      sink.on_serve = [this] { *serves_ = true; };
      _exit(TakeOver(*channel, sink, {}, clock).ok() ? 0 : 1);
    }
    theirs = Descriptor();
    bool was_refused = false;
    HandoverOutcome outcome;
    {
      auto channel = HandoverChannel::Open(std::move(ours), clock);
      auto peer = HandoverPeer::Open(child);
      testing::RefuseMemoryAfter(given, GetParam());
      outcome = HandOver(*channel, *peer, source, std::nullopt, "",
                         TimePoint::max(), clock);
      was_refused = testing::GiveMemoryAgain();
    }
    waitpid(child, nullptr, 0);
    EXPECT_EQ(outcome.end == End::kHandedOver, *serves_) << outcome.reason;
    EXPECT_EQ(outcome.end == End::kHandedOver, source.num_handed_over == 1);
    EXPECT_EQ(outcome.end == End::kThawed, source.num_thawed == 1);
    if (outcome.end == End::kRefused) EXPECT_EQ(source.num_frozen, 0);
    EXPECT_NE(outcome.end, End::kCrashed);
    return was_refused;
  }

 private:
  bool* serves_;
};

TEST_P(HandoverNoMemoryTest, OneOfThemServes) {
  const int before = testing::CountDescriptors();
  int given = 0;
  while (HandOverAfter(given)) {
    ++given;
    ASSERT_FALSE(HasFailure()) << given;
    ASSERT_EQ(testing::CountDescriptors(), before) << given;
  }
  EXPECT_GT(given, 20);
}

// So many pieces, one after the other.
INSTANTIATE_TEST_SUITE_P(Times, HandoverNoMemoryTest,
                         ::testing::Values(1, 2, 3, 5));

}  // namespace
}  // namespace portreeve::server
