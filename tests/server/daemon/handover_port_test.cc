#include "server/daemon/handover_port.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/loop.h"
#include "lib/base/status.h"

namespace portreeve::server {
namespace {

using Former = HandoverPort::Former;

class HandoverPortTest : public ::testing::Test {
 protected:
  HandoverPortTest() {
    // The path of a unix socket has at most 107 bytes.
    std::string folder = "/tmp/portXXXXXX";
    folder_ = mkdtemp(folder.data());
    path_ = folder_ + "/h";
  }
  ~HandoverPortTest() override {
    loop_.Join();
    std::filesystem::remove_all(folder_);
  }

  absl::StatusOr<std::unique_ptr<HandoverPort>> Open(Former former,
                                                     int& visits) {
    return loop_
        .Run([&] {
          return HandoverPort::Open(loop_, path_, former,
                                    [&visits](Descriptor) { ++visits; });
        })
        .get();
  }
  void End(std::unique_ptr<HandoverPort> port) {
    loop_.Run([&] { port.reset(); }).get();
  }
  // Visits, and gives whether it was let in; the one who serves knows by then.
  bool Visit(const int& visits) {
    const int before = loop_.Run([&] { return visits; }).get();
    if (!ConnectToTakeOver(path_).ok()) return false;
    for (int i = 0; i < 10'000; ++i) {
      if (loop_.Run([&] { return visits; }).get() > before) return true;
    }
    return false;
  }
  bool IsThere() const { return access(path_.c_str(), F_OK) == 0; }

  std::string folder_;
  std::string path_;
  Loop loop_;
  int first_ = 0;
  int second_ = 0;
};

TEST_F(HandoverPortTest, TheFileIsTheUsersAloneAndGoesWithIt) {
  auto port = *Open(Former::kIsAnothers, first_);
  struct stat file;
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_TRUE(Visit(first_));
  EXPECT_TRUE(Visit(first_));
  End(std::move(port));
  EXPECT_FALSE(IsThere());
  EXPECT_FALSE(ConnectToTakeOver(path_).ok());
}

TEST_F(HandoverPortTest, ThatOfAnotherIsNotTaken) {
  auto port = *Open(Former::kIsAnothers, first_);
  const auto refused = Open(Former::kIsAnothers, second_);
  EXPECT_EQ(DetailOf(refused.status()).reason, Reason::kAddressInUse);
  EXPECT_TRUE(Visit(first_));
  End(std::move(port));
}

TEST_F(HandoverPortTest, TheNextOneTakesItsPlaceOnceItIsPublished) {
  auto port = *Open(Former::kIsAnothers, first_);
  auto next = *Open(Former::kIsReplaced, second_);
  EXPECT_TRUE(Visit(first_));
  // One that has failed leaves nothing, and the next one tries again.
  End(std::move(next));
  EXPECT_NE(access((path_ + ".next").c_str(), F_OK), 0);
  next = *Open(Former::kIsReplaced, second_);
  EXPECT_TRUE(loop_.Run([&] { return next->Publish(); }).get().ok());
  EXPECT_TRUE(Visit(second_));
  // It knows its file from another.
  End(std::move(port));
  EXPECT_TRUE(Visit(second_));
  EXPECT_EQ(first_, 1);
  End(std::move(next));
  EXPECT_FALSE(IsThere());
}

TEST_F(HandoverPortTest, OneThatIsLeftStaysUntilTheNextOneComes) {
  auto port = *Open(Former::kIsAnothers, first_);
  auto next = *Open(Former::kIsReplaced, second_);
  loop_.Run([&] { port->LeaveFile(); }).get();
  End(std::move(port));
  EXPECT_TRUE(IsThere());
  EXPECT_TRUE(loop_.Run([&] { return next->Publish(); }).get().ok());
  EXPECT_TRUE(Visit(second_));
  End(std::move(next));
  EXPECT_FALSE(IsThere());
}

}  // namespace
}  // namespace portreeve::server
