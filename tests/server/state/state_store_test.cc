#include "server/state/state_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "server/api/errors.h"
#include "tests/server/state/fault_vfs.h"
#include "tests/server/state/state_files.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::server {
namespace {

using testing::FaultVfs;
using testing::LoopFixture;
using testing::TemporaryDirectory;

// A store, and an owner that has what it wrote.
class StateStoreTest : public LoopFixture {
 protected:
  StateStoreTest() { Open(); }
  ~StateStoreTest() override {
    if (store_ != nullptr) EXPECT_TRUE(Stop().ok());
  }

  void Open() {
    auto state = OpenState(directory_.path(), "1.0");
    ASSERT_TRUE(state.ok()) << state.status();
    contents_ = state->contents;
    StateStore::Owner owner;
    owner.rows = [this] {
      ++num_rows_asked_;
      StateRows rows;
      for (const auto& [id, record] : truth_) {
        rows.listeners.push_back({id, record});
      }
      return rows;
    };
    owner.on_health = [this](bool healthy) { health_.push_back(healthy); };
    auto store = StateStore::Start(executor(), *std::move(state), owner);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  absl::Status Stop() {
    std::optional<absl::Status> stopped;
    store_->Stop([&](const absl::Status& status) { stopped = status; });
    EXPECT_TRUE(RunUntil([&] { return stopped.has_value(); }));
    store_ = nullptr;
    return stopped.value_or(absl::UnknownError("not stopped"));
  }

  // Wants a listener; it is there once that is on disk.
  absl::Status Want(const std::string& id, const std::string& record = "x") {
    return store_->Write(ChangeKind::kIntent, {ListenerRow{id, record}},
                         [this, id, record](const absl::Status& status) {
                           if (status.ok()) truth_[id] = record;
                           answers_.emplace_back(id, ReasonOf(status));
                         });
  }
  // One that is there, whatever becomes of the disk.
  absl::Status Tell(const std::string& id, const std::string& record = "x") {
    truth_[id] = record;
    return store_->Write(ChangeKind::kFact, {ListenerRow{id, record}}, nullptr);
  }
  bool RunUntilAnswers(size_t count) {
    return RunUntil([this, count] { return answers_.size() >= count; });
  }
  bool RunUntilHealthy(bool healthy) {
    return RunUntil([&] { return store_->status().healthy == healthy; });
  }

  // Gives what the disk has after the store has gone.
  StateContents OnDisk() {
    auto database = Database::Open(directory_.path(), "1.0");
    EXPECT_TRUE(database.ok()) << database.status();
    auto contents = (*database)->Read();
    EXPECT_TRUE(contents.ok()) << contents.status();
    return *std::move(contents);
  }
  std::map<std::string, std::string> ListenersOnDisk() {
    std::map<std::string, std::string> listeners;
    for (const auto& [id, record] : OnDisk().rows.listeners) {
      listeners[id] = record;
    }
    return listeners;
  }

  using Answers = std::vector<std::pair<std::string, std::string>>;

  FaultVfs disk_;
  const TemporaryDirectory directory_;
  std::map<std::string, std::string> truth_;
  Answers answers_;  // The id, and the reason of the error or "".
  std::vector<bool> health_;
  int num_rows_asked_ = 0;
  StateContents contents_;
  std::unique_ptr<StateStore> store_;
};

TEST_F(StateStoreTest, AnswersInOrderAndNotBeforeItIsOnDisk) {
  std::promise<void> go_on;
  std::shared_future<void> released = go_on.get_future().share();
  std::promise<void> reached;
  disk_.At(1, [&reached, released] {
    reached.set_value();
    released.wait();
  });
  ASSERT_TRUE(Want("a").ok());
  EXPECT_TRUE(answers_.empty());
  Settle();
  // The disk hangs, and the loop does not.
  reached.get_future().wait();
  ASSERT_TRUE(Want("b").ok());
  ASSERT_TRUE(Want("c").ok());
  Settle();
  EXPECT_TRUE(answers_.empty());
  go_on.set_value();
  ASSERT_TRUE(RunUntilAnswers(1));
  Settle();  // The others wait for another that may come.
  time().Advance(CommitPolicy::kLongestGathering);
  ASSERT_TRUE(RunUntilAnswers(3));
  EXPECT_EQ(answers_, (Answers{{"a", ""}, {"b", ""}, {"c", ""}}));
  EXPECT_EQ(store_->status().commits, 2);
  EXPECT_EQ(store_->status().changes, 3);
  EXPECT_EQ(store_->status().listeners, 3);
  EXPECT_GT(store_->status().last_commit_time, 0);
  EXPECT_GT(store_->status().bytes, 0);
  EXPECT_TRUE(Stop().ok());
  EXPECT_EQ(ListenersOnDisk(), truth_);
  EXPECT_EQ(truth_.size(), 3u);
}

TEST_F(StateStoreTest, TheWritesOfAStepAreOneSync) {
  ASSERT_TRUE(Want("first").ok());
  ASSERT_TRUE(RunUntilAnswers(1));
  disk_.FailNoMore();  // Counts from now on.
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Want("l" + std::to_string(i)).ok());
  }
  ASSERT_TRUE(RunUntilAnswers(101));
  EXPECT_EQ(disk_.syncs(), 1);
  EXPECT_EQ(store_->status().commits, 2);
}

TEST_F(StateStoreTest, ThoseThatWereAnsweredTogetherAreWrittenTogether) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Want(id).ok());
  ASSERT_TRUE(RunUntilAnswers(3));
  for (const char* id : {"d", "e", "f"}) {
    EXPECT_EQ(store_->status().commits, 1);
    ASSERT_TRUE(Want(id).ok());
    Settle();
  }
  ASSERT_TRUE(RunUntilAnswers(6));
  EXPECT_EQ(store_->status().commits, 2);
  // One that nobody else follows.
  ASSERT_TRUE(Want("g").ok());
  Settle();
  EXPECT_EQ(answers_.size(), 6u);
  time().Advance(CommitPolicy::kLongestGathering);
  ASSERT_TRUE(RunUntilAnswers(7));
}

TEST_F(StateStoreTest, StopWaitsForNobodyElse) {
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Want(id).ok());
  ASSERT_TRUE(RunUntilAnswers(2));
  ASSERT_TRUE(Want("c").ok());
  Settle();
  EXPECT_TRUE(Stop().ok());
  EXPECT_EQ(answers_.back(), (std::pair<std::string, std::string>("c", "")));
  EXPECT_EQ(ListenersOnDisk(), truth_);
}

TEST_F(StateStoreTest, AnAnswerMayWriteAgain) {
  int left = 3;
  std::function<void(const absl::Status&)> again;
  again = [&](const absl::Status& status) {
    EXPECT_TRUE(status.ok());
    if (left-- == 0) return;
    EXPECT_TRUE(
        store_->Write(ChangeKind::kIntent, {EraseListener{"x"}}, again).ok());
  };
  again(absl::OkStatus());
  ASSERT_TRUE(RunUntil([&] { return left < 0; }));
  EXPECT_EQ(store_->status().commits, 3);
}

TEST_F(StateStoreTest, WhatAnAnswerThrowsIsTheMonitors) {
  ASSERT_TRUE(store_
                  ->Write(ChangeKind::kIntent, {ListenerRow{"a", ""}},
                          [](const absl::Status&) {
                            throw std::runtime_error("thrown");
                          })
                  .ok());
  ASSERT_TRUE(Want("b").ok());
  ASSERT_TRUE(RunUntilAnswers(1));
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{"thrown"});
}

TEST_F(StateStoreTest, ACommitThatFailsIsRefusedAndTheFileRecoveredAtOnce) {
  ASSERT_TRUE(Want("before").ok());
  ASSERT_TRUE(RunUntilAnswers(1));
  disk_.FailFrom(1, 1, FaultVfs::Fault::kIo);
  ASSERT_TRUE(Tell("fact").ok());
  ASSERT_TRUE(Want("lost").ok());
  ASSERT_TRUE(RunUntilAnswers(2));
  // It waits for the file.
  ASSERT_TRUE(Want("waits").ok());
  ASSERT_TRUE(RunUntilAnswers(3));
  EXPECT_EQ(
      answers_,
      (Answers{{"before", ""}, {"lost", "STATE_UNAVAILABLE"}, {"waits", ""}}));
  EXPECT_EQ(health_, (std::vector<bool>{false, true}));
  EXPECT_EQ(store_->status().recoveries, 1);
  EXPECT_EQ(store_->status().failures, 1);
  EXPECT_EQ(store_->status().message, "");
  EXPECT_EQ(TakeLog().size(), 2u);
  EXPECT_TRUE(Stop().ok());
  EXPECT_EQ(ListenersOnDisk(), truth_);
  EXPECT_EQ(truth_.count("fact"), 1u);
  EXPECT_EQ(truth_.count("lost"), 0u);
}

TEST_F(StateStoreTest, AFullDiskRefusesUntilThereIsRoomAndSomebodyWrites) {
  disk_.FailFrom(1, FaultVfs::kForEver, FaultVfs::Fault::kFull);
  ASSERT_TRUE(Want("a").ok());
  ASSERT_TRUE(RunUntilAnswers(1));
  EXPECT_EQ(answers_.back().second, "STATE_FULL");
  // The attempt to recover takes with it what has waited for it.
  ASSERT_TRUE(RunUntil([&] { return store_->status().failures == 2; }));
  const int asked = num_rows_asked_;
  const absl::Status full = Want("b");
  EXPECT_EQ(ReasonOf(full), "STATE_FULL") << full;
  EXPECT_EQ(store_->status().message, full.message());
  EXPECT_EQ(ReasonOf(Tell("fact")), "STATE_FULL");
  Settle();
  EXPECT_EQ(num_rows_asked_, asked) << "there is no attempt yet";
  time().Advance(CommitPolicy::kRetryAfter);
  Settle();
  EXPECT_EQ(num_rows_asked_, asked) << "nobody has written";
  EXPECT_TRUE(Want("c").ok());
  ASSERT_TRUE(RunUntilAnswers(2));
  EXPECT_EQ(answers_.back().second, "STATE_FULL");
  disk_.FailNoMore();
  time().Advance(CommitPolicy::kRetryAfter);
  EXPECT_TRUE(Want("d").ok());
  ASSERT_TRUE(RunUntilAnswers(3));
  EXPECT_EQ(answers_.back(), (std::pair<std::string, std::string>("d", "")));
  EXPECT_EQ(health_, (std::vector<bool>{false, true}));
  EXPECT_TRUE(Stop().ok());
  EXPECT_EQ(ListenersOnDisk(), truth_);
  EXPECT_EQ(truth_.count("fact"), 1u);
  EXPECT_EQ(TakeLog().size(), 2u);
}

TEST_F(StateStoreTest, StopWritesWhatWasAskedForAndSetsTheDirectoryFree) {
  ASSERT_TRUE(Want("a").ok());
  store_->Stop([&](const absl::Status& status) {
    EXPECT_TRUE(status.ok()) << status;
    answers_.emplace_back("stopped", "");
  });
  EXPECT_EQ(ReasonOf(Want("b")), "SHUTTING_DOWN");
  ASSERT_TRUE(RunUntilAnswers(2));
  EXPECT_EQ(answers_, (Answers{{"a", ""}, {"stopped", ""}}));
  store_ = nullptr;
  EXPECT_FALSE(std::filesystem::exists(directory_.database() + "-wal"));
  EXPECT_TRUE(OnDisk().clean);
  Open();
  EXPECT_TRUE(contents_.clean);
  EXPECT_EQ(contents_.rows.listeners.size(), 1u);
}

TEST_F(StateStoreTest, StopTriesABrokenFileOnceMore) {
  disk_.FailFrom(1, FaultVfs::kForEver, FaultVfs::Fault::kIo);
  ASSERT_TRUE(Want("a").ok());
  ASSERT_TRUE(RunUntil([&] { return store_->status().failures == 2; }));
  EXPECT_FALSE(Tell("fact").ok());
  disk_.FailNoMore();
  EXPECT_TRUE(Stop().ok());
  EXPECT_EQ(ListenersOnDisk(), truth_);
  EXPECT_TRUE(OnDisk().clean);
  EXPECT_EQ(TakeLog().size(), 2u);
}

TEST_F(StateStoreTest, StopSaysWhatIsNotOnDisk) {
  disk_.FailFrom(1, FaultVfs::kForEver, FaultVfs::Fault::kIo);
  ASSERT_TRUE(Want("a").ok());
  EXPECT_EQ(ReasonOf(Stop()), "STATE_UNAVAILABLE");
  EXPECT_EQ(answers_.back().second, "STATE_UNAVAILABLE");
  disk_.FailNoMore();
  EXPECT_FALSE(OnDisk().clean);
  EXPECT_EQ(TakeLog().size(), 1u);
}

TEST_F(StateStoreTest, WithoutStopTheNextStartFindsAnUncleanEnd) {
  ASSERT_TRUE(Want("a").ok());
  ASSERT_TRUE(RunUntilAnswers(1));
  ASSERT_TRUE(Want("b").ok());
  Settle();  // It may be under way, or done.
  store_ = nullptr;
  const size_t answers = answers_.size();
  Settle();
  EXPECT_EQ(answers_.size(), answers) << "there is nobody to answer";
  Open();
  EXPECT_FALSE(contents_.clean);
  EXPECT_GE(contents_.rows.listeners.size(), 1u);
}

TEST_F(StateStoreTest, TheWalStaysShort) {
  const std::string kilobytes(60'000, 'k');
  for (size_t i = 1; i <= 200; ++i) {
    ASSERT_TRUE(Want("a", kilobytes + std::to_string(i)).ok());
    ASSERT_TRUE(RunUntilAnswers(i));
  }
  // 12 MB were written.
  EXPECT_LT(store_->status().bytes, 6'000'000);
}

TEST_F(StateStoreTest, TooMuchInTheQueueIsRefusedButNoFact) {
  const std::string megabyte(1 << 20, 'm');
  absl::Status status;
  int count = 0;
  for (; status.ok() && count < 100; ++count) {
    status = Want("l" + std::to_string(count), megabyte);
  }
  EXPECT_EQ(ReasonOf(status), "STATE_UNAVAILABLE");
  EXPECT_EQ(count, 16);
  EXPECT_TRUE(Tell("fact", megabyte).ok());
  ASSERT_TRUE(RunUntilAnswers(15));
  EXPECT_TRUE(Want("again").ok());
  ASSERT_TRUE(RunUntilAnswers(16));
}

}  // namespace
}  // namespace portreeve::server
