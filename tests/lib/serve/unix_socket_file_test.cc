// The file of a unix socket while it is made: who may connect to it at each
// moment, and what is put in its place.
#include "lib/serve/unix_socket_file.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "tests/testing/in_child.h"
#include "tests/testing/server_fixture.h"

namespace {

// Called after each of the calls by which a file is made.
std::function<void(const std::string& call)> on_call;

int Told(const char* call, long result) {
  if (on_call) on_call(call);
  return static_cast<int>(result);
}

}  // namespace

// In place of libc's.
extern "C" int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  return Told("bind", syscall(SYS_bind, fd, address, size));
}
extern "C" int fchownat(int at, const char* path, uid_t user, gid_t group,
                        int flags) noexcept {
  return Told("chown", syscall(SYS_fchownat, at, path, user, group, flags));
}
extern "C" int chmod(const char* path, mode_t mode) noexcept {
  return Told("chmod", syscall(SYS_fchmodat, AT_FDCWD, path, mode));
}
extern "C" int listen(int fd, int backlog) noexcept {
  return Told("listen", syscall(SYS_listen, fd, backlog));
}

namespace portreeve {
namespace {

using Rights = UnixSocketFile::Rights;
using Calls = std::vector<std::string>;

constexpr gid_t kGroup = 59'100;  // Nobody's.

class UnixSocketFileTest : public ::testing::Test {
 protected:
  ~UnixSocketFileTest() override { on_call = nullptr; }

  static struct stat StatOf(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
    return status;
  }
  static bool Exists(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0;
  }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_.File("socket");
};

TEST_F(UnixSocketFileTest, NobodyMayConnectAtAnyMomentWhoMayNotInTheEnd) {
  const bool is_root = geteuid() == 0;
  const mode_t before = umask(0);
  for (const mode_t mask : {0, 022, 077, 0777}) {
    for (const int mode : {0600, 0660, 0666, 0606, 0777, 0060, 0000}) {
      for (const bool has_group : {false, true}) {
        if (has_group && !is_root) continue;
        SCOPED_TRACE(::testing::PrintToString(
            std::vector<int>{static_cast<int>(mask), mode, has_group ? 1 : 0}));
        (void)umask(mask);
        Rights rights{mode, std::nullopt};
        if (has_group) rights.group = kGroup;
        Calls calls;
        on_call = [&](const std::string& call) {
          calls.push_back(call);
          const struct stat file = StatOf(path_);
          EXPECT_EQ(file.st_mode & 0777 & ~static_cast<mode_t>(mode), 0u)
              << call;
          if (has_group && file.st_gid != kGroup) {
            EXPECT_EQ(file.st_mode & 070, 0u) << call;
          }
        };
        const auto bound = UnixSocketFile::Listen(path_, rights, 5);
        on_call = nullptr;
        ASSERT_TRUE(bound.ok()) << bound.status();
        EXPECT_EQ(calls.front(), "bind");
        EXPECT_EQ(calls.back(), "listen");
        const struct stat file = StatOf(path_);
        EXPECT_EQ(file.st_mode & 07777, static_cast<mode_t>(mode));
        if (has_group) EXPECT_EQ(file.st_gid, kGroup);
        bound->file.RemoveIfOurs();
      }
    }
  }
  (void)umask(before);
}

// One call for each thing that is to be done.
TEST_F(UnixSocketFileTest, WhatTheFileHasIsNotGivenToIt) {
  Calls calls;
  on_call = [&](const std::string& call) { calls.push_back(call); };
  ASSERT_TRUE(UnixSocketFile::Listen(path_, {0600, std::nullopt}, 5).ok());
  EXPECT_EQ(calls, (Calls{"bind", "listen"}));
}

// Who may write to the directory can do that.
TEST_F(UnixSocketFileTest, ALinkInItsPlaceIsNotFollowed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  const std::string victim = folder_.File("victim");
  std::ofstream(victim) << "secret";
  ASSERT_EQ(::syscall(SYS_fchmodat, AT_FDCWD, victim.c_str(), 0600), 0);
  const auto before = StatOf(victim);
  for (const std::string when : {"bind", "chown", "chmod"}) {
    SCOPED_TRACE(when);
    on_call = [&](const std::string& call) {
      if (call != when) return;
      EXPECT_EQ(unlink(path_.c_str()), 0);
      EXPECT_EQ(symlink(victim.c_str(), path_.c_str()), 0);
    };
    (void)UnixSocketFile::Listen(path_, {0666, kGroup}, 5);
    on_call = nullptr;
    EXPECT_EQ(StatOf(victim).st_mode, before.st_mode);
    EXPECT_EQ(StatOf(victim).st_gid, before.st_gid);
    EXPECT_TRUE(Exists(path_)) << "it is somebody else's";
    EXPECT_EQ(unlink(path_.c_str()), 0);
  }
}

TEST_F(UnixSocketFileTest, AFileThatIsTakenAwayIsAnError) {
  on_call = [&](const std::string& call) {
    if (call == "bind") EXPECT_EQ(unlink(path_.c_str()), 0);
  };
  const auto bound = UnixSocketFile::Listen(path_, {0660, std::nullopt}, 5);
  EXPECT_EQ(DetailOf(bound.status()).reason, Reason::kNoSuchPath);
  EXPECT_FALSE(Exists(path_));
}

TEST_F(UnixSocketFileTest, ALinkThatWasThereBeforeIsLeftAlone) {
  ASSERT_EQ(symlink(folder_.File("none").c_str(), path_.c_str()), 0);
  const auto bound = UnixSocketFile::Listen(path_, {0660, std::nullopt}, 5);
  EXPECT_EQ(DetailOf(bound.status()).reason, Reason::kNotASocket);
  EXPECT_FALSE(Exists(folder_.File("none")));
}

TEST_F(UnixSocketFileTest, ADeadServersFileIsNotWhoseRightsCount) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  { ASSERT_TRUE(UnixSocketFile::Listen(path_, {0777, std::nullopt}, 5).ok()); }
  const auto bound = UnixSocketFile::Listen(path_, {0640, kGroup}, 5);
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(StatOf(path_).st_mode & 0777, 0640u);
  EXPECT_EQ(StatOf(path_).st_gid, kGroup);
}

TEST_F(UnixSocketFileTest, AGroupThatOneIsNotOfIsRefusedAndLeavesNoFile) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  constexpr id_t kNobody = 65534;
  ASSERT_EQ(chown(folder_.path().c_str(), kNobody, kNobody), 0);
  testing::InChild([&] {
    const gid_t own = kGroup;
    ASSERT_EQ(setgroups(1, &own), 0);
    ASSERT_EQ(setgid(kNobody), 0);
    ASSERT_EQ(setuid(kNobody), 0);
    const auto refused = UnixSocketFile::Listen(path_, {0660, 0}, 5);
    EXPECT_EQ(DetailOf(refused.status()).reason, Reason::kBindNotPermitted);
    EXPECT_EQ(std::string(refused.status().message()),
              "chown to group 0 unix:" + path_ + ": Operation not permitted");
    EXPECT_FALSE(Exists(path_));
    const auto bound = UnixSocketFile::Listen(path_, {0660, kGroup}, 5);
    ASSERT_TRUE(bound.ok()) << bound.status();
    EXPECT_EQ(StatOf(path_).st_gid, kGroup);
    EXPECT_EQ(StatOf(path_).st_mode & 0777, 0660u);
  });
}

}  // namespace
}  // namespace portreeve
