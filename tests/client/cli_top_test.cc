// top on a terminal, with a daemon that does not answer.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/fake_daemon.h"

namespace portreeve::cli {
namespace {

using client::FakeDaemon;
using grpc::Status;

// What is typed into a program, and what it shows.
class Terminal {
 public:
  Terminal() {
    winsize size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(openpty(&keyboard_, &program_, nullptr, nullptr, &size), 0);
    reader_ = std::thread([this] { Read(); });
  }
  ~Terminal() {
    close(program_);
    reader_.join();
    close(keyboard_);
  }

  // The program's end.
  int program() const { return program_; }

  void Type(const std::string& keys) const {
    EXPECT_EQ(write(keyboard_, keys.data(), keys.size()),
              static_cast<ssize_t>(keys.size()));
  }

  // Waits until `text` is shown, behind what was waited for before.
  void AwaitScreenWith(const std::string& text) {
    absl::MutexLock lock(&mutex_);
    const auto shows = [&] { return absl::StrContains(written_, text); };
    mutex_.Await(absl::Condition(&shows));
    written_.erase(0, written_.find(text) + text.size());
  }

 private:
  void Read() {
    char bytes[4096];
    ssize_t n;
    // EIO, once nobody has the other end.
    while ((n = read(keyboard_, bytes, sizeof(bytes))) > 0) {
      absl::MutexLock lock(&mutex_);
      written_.append(bytes, static_cast<size_t>(n));
    }
  }

  int keyboard_ = -1;
  int program_ = -1;
  absl::Mutex mutex_;
  std::string written_;  // By mutex_.
  std::thread reader_;
};

class CliTopTest : public CliTest {
 protected:
  std::future<ExitStatus> Top() {
    return std::async(std::launch::async, [this] {
      return Run({"top"}, {.server = daemon_.address(),
                           .directory = "/",
                           .input = terminal_.program(),
                           .output = terminal_.program()});
    });
  }

  Terminal terminal_;
};

TEST_F(CliTopTest, QEndsItBeforeTheDaemonHasAnswered) {
  absl::Notification asked;
  daemon_.watch_stats.set_answer([&](const auto&, auto&) {
    asked.Notify();
    end_.WaitForNotification();
    return Status::OK;
  });
  auto top = Top();
  asked.WaitForNotification();
  terminal_.AwaitScreenWith("0 listeners");
  terminal_.Type("q");
  EXPECT_EQ(top.get(), ExitStatus::kDone);
}

TEST_F(CliTopTest, WhoeverAsksForDetailsMayGoBackBeforeTheyCome) {
  daemon_.watch_stats.set_answer([&](const auto&, FakeDaemon::Stats& stats) {
    v1::WatchStatsResponse message;
    message.mutable_time()->set_seconds(1);
    message.add_listeners()->set_name("listeners/web");
    stats.Write(message);
    end_.WaitForNotification();
    return Status::OK;
  });
  absl::Notification asked;
  daemon_.get_listener.set_answer([&](const auto&, auto&) {
    if (!asked.HasBeenNotified()) asked.Notify();
    end_.WaitForNotification();
    return Status::OK;
  });
  auto top = Top();
  terminal_.AwaitScreenWith("web ");
  terminal_.Type("\r");
  terminal_.AwaitScreenWith("asking the daemon about listeners/web");
  terminal_.AwaitScreenWith("any key: back");
  asked.WaitForNotification();
  terminal_.Type("x");
  terminal_.AwaitScreenWith("ACC/S");
  terminal_.Type("\r");
  terminal_.AwaitScreenWith("any key: back");
  terminal_.Type("x");
  terminal_.AwaitScreenWith("ACC/S");
  terminal_.Type("q");
  EXPECT_EQ(top.get(), ExitStatus::kDone);
}

// Events that do not come hold nobody up either.
TEST_F(CliTopTest, SoItIsWhileTheEventsAreAskedFor) {
  daemon_.watch_stats.set_answer([&](const auto&, FakeDaemon::Stats& stats) {
    v1::WatchStatsResponse message;
    message.mutable_time()->set_seconds(1);
    message.add_listeners()->set_name("listeners/web");
    stats.Write(message);
    end_.WaitForNotification();
    return Status::OK;
  });
  daemon_.get_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  absl::Notification asked;
  daemon_.watch_events.set_answer([&](const auto&, auto&) {
    asked.Notify();
    end_.WaitForNotification();
    return Status::OK;
  });
  auto top = Top();
  terminal_.AwaitScreenWith("web ");
  terminal_.Type("\r");
  asked.WaitForNotification();
  terminal_.Type("x");
  terminal_.AwaitScreenWith("ACC/S");
  terminal_.Type("q");
  EXPECT_EQ(top.get(), ExitStatus::kDone);
}

}  // namespace
}  // namespace portreeve::cli
