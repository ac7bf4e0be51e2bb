// HandOver and TakeOver, each in a process of its own, of which the second dies
// or stops at each moment.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <optional>
#include <string>

#include "server/handover/handover_receiver.h"
#include "server/handover/handover_sender.h"
#include "tests/server/handover/handover_fakes.h"
#include "tests/server/handover/handover_pair.h"
#include "tests/testing/descriptors.h"

namespace portreeve::server {
namespace {

using End = HandoverOutcome::End;

constexpr TimePoint kStart{std::chrono::hours(1)};

// How the successor exits.
constexpr int kServed = 0;
constexpr int kFailed = 1;
constexpr int kWasRefused = 2;
constexpr int kHasLeaked = 3;
constexpr int kGotSomethingElse = 4;

// What both processes see.
struct Shared {
  int points = 0;       // That the successor has gone by.
  bool serves = false;  // It has begun to.
};

// The predecessor's clock.  It stands still while the successor can do
// something, and goes to the deadline where that is stopped.
class ParentClock : public HandoverClock {
 public:
  enum class OnStop { kTimeGoesBy, kGoesOn };

  explicit ParentClock(OnStop on_stop) : on_stop_(on_stop) {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &mask_before_);
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGCHLD, &action, &action_before_);
  }
  ~ParentClock() override {
    sigaction(SIGCHLD, &action_before_, nullptr);
    sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
  }

  TimePoint Now() override { return now_; }

  bool Poll(std::span<pollfd> fds, TimePoint deadline) override {
    sigset_t unblocked = mask_before_;
    sigdelset(&unblocked, SIGCHLD);
    for (;;) {
      const bool is_stopped = IsChildStopped();
      if (is_stopped && on_stop_ == OnStop::kGoesOn) kill(child_, SIGCONT);
      if (poll(fds.data(), fds.size(), 0) > 0) return true;
      if (is_stopped && on_stop_ == OnStop::kTimeGoesBy) {
        now_ = std::max(now_, deadline);
        return false;
      }
      if (deadline <= now_) return false;
      ppoll(fds.data(), fds.size(), nullptr, &unblocked);
    }
  }

  void set_child(pid_t child) { child_ = child; }

 private:
  bool IsChildStopped() const {
    siginfo_t info = {};
    // One that goes on is told of once.
    const int keep = on_stop_ == OnStop::kTimeGoesBy ? WNOWAIT : 0;
    return waitid(P_PID, static_cast<id_t>(child_), &info,
                  WSTOPPED | WNOHANG | keep) == 0 &&
           info.si_pid == child_;
  }

  const OnStop on_stop_;
  TimePoint now_ = kStart;
  pid_t child_ = 0;
  sigset_t mask_before_;
  struct sigaction action_before_ = {};
};

// The successor's clock, which stands still.  Each look at it is a point, at
// which `on_point` is called; how often it has to wait is a matter of chance.
class ChildClock : public HandoverClock {
 public:
  explicit ChildClock(std::function<void()> on_point)
      : on_point_(std::move(on_point)) {}
  TimePoint Now() override {
    on_point_();
    return kStart;
  }
  bool Poll(std::span<pollfd> fds, TimePoint deadline) override {
    if (deadline <= kStart) return poll(fds.data(), fds.size(), 0) > 0;
    while (poll(fds.data(), fds.size(), -1) <= 0) {
    }
    return true;
  }

 private:
  const std::function<void()> on_point_;
};

// Whom no signal reaches.
class Unkillable : public HandoverPeer {
 public:
  explicit Unkillable(HandoverPeer peer) : HandoverPeer(std::move(peer)) {}
  absl::Status Kill() override { return absl::PermissionDeniedError("no"); }
};

class HandoverDriversTest : public ::testing::Test {
 protected:
  HandoverDriversTest() {
    void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = new (memory) Shared;
  }
  ~HandoverDriversTest() override {
    munmap(shared_, sizeof(Shared));
    EXPECT_EQ(testing::CountDescriptors(), before_);
  }

  struct Options {
    // At this point the successor sends itself `signal`; 0: at none.
    int point = 0;
    int signal = SIGKILL;
    ParentClock::OnStop on_stop = ParentClock::OnStop::kTimeGoesBy;
    bool is_killable = true;
    // Called as the source is thawed.
    std::function<void()> on_thaw = [] {};
    // Called in the successor before it begins.
    std::function<void(FakeSink&)> prepare = [](FakeSink&) {};
  };

  // Hands `source` over to a successor.
  HandoverOutcome Run(FakeSource& source, const Options& options) {
    const int before = testing::CountDescriptors();
    *shared_ = Shared();
    ParentClock clock(options.on_stop);
    auto [ours, theirs] = SocketPair();
    std::fflush(nullptr);
    child_ = fork();
    if (child_ == 0) {
      ours = Descriptor();
      Succeed(source, std::move(theirs), options);
    }
    theirs = Descriptor();
    ours_ = ours.get();
    clock.set_child(child_);
    HandoverOutcome outcome;
    {
      auto channel = HandoverChannel::Open(std::move(ours), clock);
      auto opened = HandoverPeer::Open(child_);
      Unkillable unkillable(*HandoverPeer::Open(child_));
      EXPECT_TRUE(channel.ok() && opened.ok());
      HandoverPeer& peer = options.is_killable ? *opened : unkillable;
      outcome = HandOver(*channel, peer, source, std::nullopt, "1.0",
                         kStart + std::chrono::seconds(1), clock);
    }
    EXPECT_EQ(testing::CountDescriptors(), before) << "something is left open";
    return outcome;
  }

  // Lets a successor go on that has stopped, or stops yet.  Gives how it has
  // exited, or -1 where it was killed.
  int AwaitExit() {
    for (;;) {
      int status = 0;
      // HandOver has waited for those that it killed.
      if (waitpid(child_, &status, WUNTRACED) != child_) return -1;
      if (WIFEXITED(status)) return WEXITSTATUS(status);
      if (WIFSIGNALED(status)) return -1;
      kill(child_, SIGCONT);
    }
  }

  void ExpectWhole(const FakeSource& source, const HandoverOutcome& outcome) {
    switch (outcome.end) {
      case End::kRefused:
        EXPECT_EQ(source.num_frozen, 0);
        EXPECT_EQ(source.num_thawed + source.num_handed_over, 0);
        return;
      case End::kThawed:
        EXPECT_EQ(source.num_frozen, 1);
        EXPECT_EQ(source.num_thawed, 1);
        EXPECT_EQ(source.num_handed_over, 0);
        EXPECT_FALSE(shared_->serves);
        return;
      case End::kHandedOver:
        EXPECT_EQ(source.num_frozen, 1);
        EXPECT_EQ(source.num_thawed, 0);
        EXPECT_EQ(source.num_handed_over, 1);
        return;
      case End::kCrashed:
        ADD_FAILURE() << "nobody can have done that";
    }
  }

  // Has it stop or die at each point in turn; gives how many there are.
  template <typename Look>
  void AtEachPoint(Options options, Look look) {
    int points = 0;
    {
      FakeSource source(3);
      ASSERT_EQ(Run(source, {}).end, End::kHandedOver);
      ASSERT_EQ(AwaitExit(), kServed);
      points = shared_->points;
    }
    ASSERT_GT(points, 40);
    bool has_served = false;
    int num_thawed = 0;
    for (int point = 1; point <= points; ++point) {
      SCOPED_TRACE(point);
      options.point = point;
      FakeSource source(3);
      source.on_thaw = options.on_thaw;
      const HandoverOutcome outcome = Run(source, options);
      ExpectWhole(source, outcome);
      // Once it comes so far as to serve, it does so from each later point.
      const bool serves = outcome.end == End::kHandedOver;
      EXPECT_TRUE(serves || !has_served);
      has_served = serves;
      num_thawed += outcome.end == End::kThawed;
      look(outcome);
      if (HasFailure()) return;
    }
    EXPECT_TRUE(has_served) << "the last points are after its word";
    if (options.on_stop == ParentClock::OnStop::kTimeGoesBy) {
      EXPECT_GT(num_thawed, 20);
    }
  }

  Shared* shared_;
  pid_t child_ = 0;
  int ours_ = -1;  // This end of the channel, during Run().

 private:
  [[noreturn]] void Succeed(const FakeSource& source, Descriptor socket,
                            const Options& options) {
    const auto on_point = [&] {
      if (++shared_->points == options.point) raise(options.signal);
    };
    ChildClock clock(on_point);
    auto channel = HandoverChannel::Open(std::move(socket), clock);
    const int before = testing::CountDescriptors();
    absl::Status status;
    bool is_right = true;
    {
      FakeSink sink(source);
      sink.on_call = [&] {
        on_point();
        return absl::OkStatus();
      };
      sink.on_serve = [&] {
        shared_->serves = true;
        on_point();
      };
      options.prepare(sink);
      status = TakeOver(*channel, sink, {"1.1", std::nullopt}, clock);
      is_right = sink.is_right();
    }
    int exit_status = kServed;
    if (!status.ok()) {
      exit_status = absl::IsFailedPrecondition(status) ? kWasRefused : kFailed;
    }
    if (testing::CountDescriptors() != before) exit_status = kHasLeaked;
    if (!is_right) exit_status = kGotSomethingElse;
    _exit(exit_status);
  }

  const int before_ = testing::CountDescriptors();
};

TEST_F(HandoverDriversTest, EverythingComesAsItWas) {
  for (const int size : {0, 1, 1000}) {
    FakeSource source(size);
    const HandoverOutcome outcome = Run(source, {});
    EXPECT_EQ(outcome.end, End::kHandedOver) << outcome.reason;
    EXPECT_EQ(outcome.reason, "");
    EXPECT_FALSE(outcome.is_deaf);
    EXPECT_EQ(AwaitExit(), kServed);
    EXPECT_TRUE(shared_->serves);
    EXPECT_EQ(outcome.counts.listeners(), size);
    EXPECT_EQ(outcome.counts.connections(), 2 * size);
    EXPECT_EQ(outcome.counts.requests(), size);
    EXPECT_EQ(outcome.counts.control_sockets(), 2);
    EXPECT_EQ(outcome.counts.event_bytes(), 1000);
    EXPECT_EQ(outcome.counts.stores(), 1);
    EXPECT_EQ(outcome.counts.descriptors(), 5 * size + 4);
  }
}

TEST_F(HandoverDriversTest, WithoutAStateThereIsNone) {
  FakeSource source(1);
  source.has_state = false;
  EXPECT_EQ(Run(source, {}).end, End::kHandedOver);
  EXPECT_EQ(AwaitExit(), kServed);
}

TEST_F(HandoverDriversTest, ASuccessorThatIsKilledLeavesThePredecessorServing) {
  Options options;
  options.on_thaw = [&] {
    EXPECT_EQ(kill(child_, 0), -1) << "it goes on beside one that may live";
  };
  AtEachPoint(options, [&](const HandoverOutcome& outcome) {
    AwaitExit();
    EXPECT_EQ(kill(child_, 0), -1);
    if (outcome.end != End::kHandedOver) EXPECT_FALSE(shared_->serves);
  });
}

TEST_F(HandoverDriversTest,
       ASuccessorThatIsStoppedLeavesThePredecessorServing) {
  Options options;
  options.signal = SIGSTOP;
  options.on_thaw = [&] {
    EXPECT_EQ(kill(child_, 0), -1) << "it goes on beside one that may live";
  };
  AtEachPoint(options, [&](const HandoverOutcome& outcome) {
    switch (outcome.end) {
      case End::kRefused:
        // It finds nobody, and ends.
        EXPECT_EQ(AwaitExit(), kFailed);
        break;
      case End::kThawed:
        EXPECT_EQ(AwaitExit(), -1) << "it was to be killed";
        break;
      default:
        // It goes on from where it was.
        EXPECT_EQ(AwaitExit(), kServed);
        EXPECT_TRUE(shared_->serves);
    }
  });
}

TEST_F(HandoverDriversTest, ASuccessorThatGoesOnInTimeServes) {
  Options options;
  options.signal = SIGSTOP;
  options.on_stop = ParentClock::OnStop::kGoesOn;
  AtEachPoint(options, [&](const HandoverOutcome& outcome) {
    EXPECT_EQ(outcome.end, End::kHandedOver) << outcome.reason;
    EXPECT_EQ(AwaitExit(), kServed);
    EXPECT_TRUE(shared_->serves);
  });
}

// It was stopped, the time is over, nobody could kill it, and its own clock
// tells it nothing: only that it may not say so keeps it from serving.
TEST_F(HandoverDriversTest, ASuccessorThatGoesOnTooLateDoesNotServe) {
  Options options;
  options.signal = SIGSTOP;
  options.is_killable = false;
  options.on_thaw = [&] {
    char byte;
    EXPECT_EQ(recv(ours_, &byte, 1, MSG_PEEK | MSG_DONTWAIT), 0)
        << "it may still say that it serves";
  };
  AtEachPoint(options, [&](const HandoverOutcome& outcome) {
    const int exit_status = AwaitExit();
    if (outcome.end == End::kHandedOver) {
      EXPECT_EQ(exit_status, kServed);
    } else {
      EXPECT_EQ(exit_status, kFailed);
      EXPECT_FALSE(shared_->serves);
    }
  });
}

// What fails in the successor, or throws, is told in its words.
TEST_F(HandoverDriversTest, ASuccessorThatCannotTakeItSaysWhy) {
  for (const bool throws : {false, true}) {
    for (int call = 1;; ++call) {
      SCOPED_TRACE(call);
      FakeSource source(2);
      Options options;
      options.prepare = [&](FakeSink& sink) {
        sink.on_call = [count = 0, call, throws]() mutable -> absl::Status {
          if (++count != call) return absl::OkStatus();
          if (throws) throw std::bad_alloc();
          return absl::InternalError("the sink is full");
        };
      };
      const HandoverOutcome outcome = Run(source, options);
      ExpectWhole(source, outcome);
      const int exit_status = AwaitExit();
      if (outcome.end == End::kHandedOver) {
        EXPECT_GT(call, 10);
        EXPECT_EQ(exit_status, kServed);
        break;
      }
      EXPECT_EQ(outcome.end, End::kThawed);
      // It is killed, or was faster.
      EXPECT_TRUE(exit_status == kFailed || exit_status == -1) << exit_status;
      EXPECT_NE(outcome.reason.find(throws ? "no memory" : "the sink is full"),
                std::string::npos)
          << outcome.reason;
      ASSERT_FALSE(HasFailure());
    }
  }
}

TEST_F(HandoverDriversTest, ASourceThatFailsIsThawed) {
  for (const bool throws : {false, true}) {
    for (int call = 1;; ++call) {
      SCOPED_TRACE(call);
      FakeSource source(2);
      source.on_call = [count = 0, call, throws]() mutable -> absl::Status {
        if (++count != call) return absl::OkStatus();
        if (throws) throw std::bad_alloc();
        return absl::InternalError("the source is dry");
      };
      const HandoverOutcome outcome = Run(source, {});
      ExpectWhole(source, outcome);
      AwaitExit();
      if (outcome.end == End::kHandedOver) {
        EXPECT_GT(call, 10);
        break;
      }
      // The first is before the freeze.
      EXPECT_EQ(outcome.end, call == 1 ? End::kRefused : End::kThawed);
      if (call > 1 && !throws) EXPECT_EQ(outcome.reason, "the source is dry");
      EXPECT_EQ(outcome.step, call == 1   ? HandoverStep::kHello
                              : call == 2 ? HandoverStep::kFreeze
                                          : HandoverStep::kContents);
      ASSERT_FALSE(HasFailure());
    }
  }
}

TEST_F(HandoverDriversTest, ASuccessorWithoutRoomIsRefused) {
  FakeSource source(1);
  source.num_descriptors = int64_t{1} << 40;
  const HandoverOutcome outcome = Run(source, {});
  EXPECT_EQ(outcome.end, End::kRefused);
  ExpectWhole(source, outcome);
  EXPECT_NE(outcome.reason.find("RLIMIT_NOFILE"), std::string::npos)
      << outcome.reason;
  EXPECT_EQ(AwaitExit(), kWasRefused);
}

// Although it had said that it had room.
TEST_F(HandoverDriversTest, ASuccessorThatLosesDescriptorsDoesNotServe) {
  FakeSource source(200);
  Options options;
  options.prepare = [](FakeSink& sink) {
    sink.on_call = [has_begun = false]() mutable {
      if (!std::exchange(has_begun, true)) {
        const rlim_t few = static_cast<rlim_t>(dup(0)) + 20;
        const rlimit limit = {few, few};
        setrlimit(RLIMIT_NOFILE, &limit);
        close(static_cast<int>(few) - 20);
      }
      return absl::OkStatus();
    };
  };
  const HandoverOutcome outcome = Run(source, options);
  EXPECT_EQ(outcome.end, End::kThawed);
  ExpectWhole(source, outcome);
  EXPECT_NE(outcome.reason.find("descriptors were lost"), std::string::npos)
      << outcome.reason;
  AwaitExit();
}

}  // namespace
}  // namespace portreeve::server
