#include "server/state/state_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "server/api/errors.h"
#include "server/state/state_errors.h"
#include "server/state/state_store.h"
#include "tests/server/state/state_files.h"
#include "tests/testing/in_child.h"

namespace portreeve::server {
namespace {

using testing::InChild;
using testing::ReadFile;
using testing::TemporaryDirectory;

constexpr uid_t kNobody = 65534;

class StateDirectoryTest : public ::testing::Test {
 protected:
  std::string Path(const char* name = "state") const {
    return parent_.path() + "/" + name;
  }

  // Where another user may come, too.
  const TemporaryDirectory parent_{"/tmp"};
};

TEST_F(StateDirectoryTest, IsMadeForTheOwnerAlone) {
  umask(0);
  const auto taken = StateDirectory::Take(Path());
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->path(), Path());
  struct stat file;
  ASSERT_EQ(stat(Path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0700u);
  ASSERT_EQ(stat(Path("state/lock").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0600u);
}

TEST_F(StateDirectoryTest, IsNotMadeWithItsParent) {
  const auto taken = StateDirectory::Take(Path("no/state"));
  EXPECT_EQ(taken.status().message(),
            "make " + Path("no/state") + ": No such file or directory");
}

TEST_F(StateDirectoryTest, AFileIsNone) {
  testing::WriteFile(Path(), "x");
  const auto taken = StateDirectory::Take(Path());
  EXPECT_EQ(taken.status().message(), "open " + Path() + ": Not a directory");
}

TEST_F(StateDirectoryTest, ASecondHolderIsToldOfTheFirst) {
  const std::string pid = std::to_string(getpid());
  {
    const auto first = StateDirectory::Take(Path());
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(ReadFile(Path("state/lock")), pid + "\n");
    const auto second = StateDirectory::Take(Path());
    EXPECT_EQ(ReasonOf(second.status()), "STATE_IN_USE");
    EXPECT_EQ(second.status().message(), Path() + " is used by process " + pid);
    InChild([&] {
      EXPECT_EQ(StateDirectory::Take(Path()).status(), second.status());
      EXPECT_EQ(OpenState(Path(), "1.0").status(), second.status());
    });
    // One who has just taken it, and not yet written its number.
    testing::WriteFile(Path("state/lock"), "");
    EXPECT_EQ(StateDirectory::Take(Path()).status().message(),
              Path() + " is used by another process");
  }
  EXPECT_EQ(ReadFile(Path("state/lock")), "");
  EXPECT_TRUE(StateDirectory::Take(Path()).ok());
}

TEST_F(StateDirectoryTest, TheLockEndsWithTheProcess) {
  InChild([&] {
    auto taken = StateDirectory::Take(Path());
    EXPECT_TRUE(taken.ok());
    std::fflush(nullptr);
    _exit(::testing::Test::HasFailure() ? 1 : 0);  // As kill -9 does.
  });
  EXPECT_NE(ReadFile(Path("state/lock")), "");
  EXPECT_TRUE(StateDirectory::Take(Path()).ok());
}

TEST_F(StateDirectoryTest, WhereOthersMayWriteIsRefused) {
  for (const mode_t mode : {0720, 0702, 01777}) {
    mkdir(Path().c_str(), 0700);
    ASSERT_EQ(chmod(Path().c_str(), mode), 0);
    const auto taken = StateDirectory::Take(Path());
    EXPECT_EQ(taken.status(),
              StateNotOurs(Path() + ": other users may write to it"));
    EXPECT_EQ(access(Path("state/lock").c_str(), F_OK), -1);
  }
  ASSERT_EQ(chmod(Path().c_str(), 0755), 0);
  EXPECT_TRUE(StateDirectory::Take(Path()).ok());
}

TEST_F(StateDirectoryTest, ALinkIsNoLock) {
  mkdir(Path().c_str(), 0700);
  ASSERT_EQ(symlink("elsewhere", Path("state/lock").c_str()), 0);
  EXPECT_FALSE(StateDirectory::Take(Path()).ok());
  EXPECT_EQ(access(Path("state/elsewhere").c_str(), F_OK), -1);
}

TEST_F(StateDirectoryTest, AnotherUsersIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  mkdir(Path().c_str(), 0700);
  ASSERT_EQ(chown(Path().c_str(), kNobody, kNobody), 0);
  const auto taken = StateDirectory::Take(Path());
  EXPECT_EQ(taken.status(),
            StateNotOurs(Path() + ": it belongs to another user, 65534"));
}

// Root may write to everything, so this needs another user.
TEST_F(StateDirectoryTest, WhatCannotBeWrittenIsRefusedAtTheStart) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(chmod(parent_.path().c_str(), 0755), 0);
  mkdir(Path().c_str(), 0755);
  ASSERT_TRUE(OpenState(Path(), "1.0").ok());
  ASSERT_EQ(chmod(Path("state/lock").c_str(), 0666), 0);
  ASSERT_EQ(chmod(Path("state/portreeved.db").c_str(), 0444), 0);
  InChild([&] {
    ASSERT_EQ(setuid(kNobody), 0);
    EXPECT_EQ(StateDirectory::Take(Path("other")).status().message(),
              "make " + Path("other") + ": Permission denied");
    const absl::Status status = OpenState(Path(), "1.0").status();
    EXPECT_EQ(ReasonOf(status), "STATE_UNAVAILABLE");
    EXPECT_EQ(status.message(),
              Path("state/portreeved.db") + ": it cannot be written");
  });
  // The file may be written, but nothing be made beside it.
  ASSERT_EQ(chmod(Path("state/portreeved.db").c_str(), 0666), 0);
  InChild([&] {
    ASSERT_EQ(setuid(kNobody), 0);
    const absl::Status status = OpenState(Path(), "1.0").status();
    EXPECT_EQ(ReasonOf(status), "STATE_UNAVAILABLE") << status;
  });
  ASSERT_EQ(unlink(Path("state/lock").c_str()), 0);
  InChild([&] {
    ASSERT_EQ(setuid(kNobody), 0);
    EXPECT_EQ(OpenState(Path(), "1.0").status().message(),
              "open " + Path("state/lock") + ": Permission denied");
  });
}

}  // namespace
}  // namespace portreeve::server
