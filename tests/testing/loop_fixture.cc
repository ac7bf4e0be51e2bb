#include "tests/testing/loop_fixture.h"

#include <utility>

#include "lib/base/log.h"

namespace portreeve::testing {

std::string LoggedText(const LogLine& line) {
  static constexpr const char* kLevels[] = {"debug", "info", "warning",
                                            "error"};
  return kLevels[static_cast<int>(line.level)] + (": " + TextOf(line));
}

LoopFixture::LoopFixture()
    : descriptors_before_(CountDescriptors()),
      loop_(std::make_unique<asio::io_context>(1)),
      time_(std::make_unique<FakeTimeSource>(*loop_)),
      monitor_(Monitor::TopLevel(), "creator",
               [this](std::exception_ptr error) {
                 errors_.push_back(DescribeException(error));
               }),
      tasks_(std::make_unique<TaskScope>(executor())) {
  SetLogSink([this](const LogLine& line) { log_.push_back(LoggedText(line)); });
}

LoopFixture::~LoopFixture() {
  Settle();
  EXPECT_TRUE(tasks_->empty()) << "a task of Start() has not ended";
  tasks_->Cancel();
  Settle();
  tasks_.reset();
  EXPECT_TRUE(loop_->stopped()) << "something still waits on the loop";
  EXPECT_EQ(time_->earliest(), TimePoint::max()) << "a timer is still set";
  EXPECT_EQ(errors_, std::vector<std::string>());
  EXPECT_EQ(log_, std::vector<std::string>());
  monitor_.Detach();
  time_.reset();
  loop_.reset();
  SetLogSink(nullptr);
  EXPECT_EQ(CountDescriptors(), descriptors_before_) << "descriptors leaked";
}

bool LoopFixture::RunUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    loop_->restart();
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero() || loop_->run_one_for(left) == 0) {
      ADD_FAILURE() << "the condition did not come true: "
                    << (loop_->stopped() ? "the loop has nothing left to do"
                                         : "deadline");
      return false;
    }
  }
  return true;
}

void LoopFixture::Settle() {
  do {
    loop_->restart();
  } while (loop_->poll() > 0);
}

void LoopFixture::RunTask(Task<> task) {
  bool ended = false;
  std::exception_ptr error;
  tasks_->Spawn(std::move(task), [&](std::exception_ptr e) {
    ended = true;
    error = e;
  });
  ASSERT_TRUE(RunUntil([&] { return ended; }));
  if (error) std::rethrow_exception(error);
}

std::vector<std::string> LoopFixture::TakeErrors() {
  return std::exchange(errors_, {});
}

std::vector<std::string> LoopFixture::TakeLog() {
  return std::exchange(log_, {});
}

}  // namespace portreeve::testing
