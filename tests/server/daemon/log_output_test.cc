// LogOutput on all that stderr may be, and on files that are moved away.
#include "server/daemon/log_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "lib/base/descriptor.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::TemporaryFolder;
using Opened = LogOutput::Opened;

std::string ContentOf(const std::string& file) {
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

LogOutput Open(const std::string& path) {
  auto output = LogOutput::ToFile(path);
  EXPECT_TRUE(output.ok()) << output.status();
  return *std::move(output);
}

// Writes until it would have to wait: how many bytes.
size_t Fill(const LogOutput& output) {
  const std::string piece = std::string(output.most() - 1, 'x') + "\n";
  size_t size = 0;
  for (;;) {
    const auto result = output.Write(piece);
    EXPECT_EQ(result.error_number, 0);
    if (result.size == 0) return size;
    size += result.size;
  }
}

// A write waits for nobody, and goes on once somebody has read.
void ExpectNoWait(int write_end, int read_end) {
  const int flags = fcntl(write_end, F_GETFL);
  const LogOutput output = LogOutput::Inherited(write_end);
  const size_t size = Fill(output);
  EXPECT_GT(size, 0u);
  EXPECT_EQ(output.Write("line\n").size, 0u);
  std::string text(size, '\0');
  for (size_t got = 0; got < size;) {
    const ssize_t n = read(read_end, text.data(), text.size() - got);
    ASSERT_GT(n, 0);
    got += static_cast<size_t>(n);
  }
  EXPECT_EQ(output.Write("line\n").size, 5u);
  // Those who share it find it as it was.
  EXPECT_EQ(fcntl(write_end, F_GETFL), flags);
}

TEST(LogOutputTest, APipe) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Descriptor read_end(ends[0]), write_end(ends[1]);
  ExpectNoWait(write_end.get(), read_end.get());
}

// What root may do beyond others, the thread may not while it lives.
class WithoutCapabilities {
 public:
  WithoutCapabilities() {
    EXPECT_EQ(syscall(SYS_capget, &header_, before_), 0);
    __user_cap_data_struct none[2] = {before_[0], before_[1]};
    none[0].effective = none[1].effective = 0;
    EXPECT_EQ(syscall(SYS_capset, &header_, none), 0);
  }
  ~WithoutCapabilities() { (void)syscall(SYS_capset, &header_, before_); }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2];
};

// As when another user has made it.
TEST(LogOutputTest, APipeThatMayNotBeOpenedAgain) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Descriptor read_end(ends[0]), write_end(ends[1]);
  ASSERT_EQ(fchmod(write_end.get(), 0), 0);
  const auto output = [&write_end] {
    const WithoutCapabilities as_anybody;
    return LogOutput::Inherited(write_end.get());
  }();
  EXPECT_EQ(output.fd(), write_end.get());
  EXPECT_GT(Fill(output), 0u);
}

TEST(LogOutputTest, ASocket) {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
    const Descriptor read_end(ends[0]), write_end(ends[1]);
    ExpectNoWait(write_end.get(), read_end.get());
  }
}

TEST(LogOutputTest, ATerminalThatIsStopped) {
  int master, terminal;
  ASSERT_EQ(openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  const Descriptor screen(master), keys(terminal);
  const LogOutput output = LogOutput::Inherited(terminal);
  EXPECT_EQ(output.Write("line\n").size, 5u);
  // As by Ctrl-S.
  ASSERT_EQ(tcflow(terminal, TCOOFF), 0);
  EXPECT_EQ(output.Write("line\n").size, 0u);
  EXPECT_EQ(output.Write("line\n").error_number, 0);
  ASSERT_EQ(tcflow(terminal, TCOON), 0);
  EXPECT_EQ(output.Write("line\n").size, 5u);
}

TEST(LogOutputTest, APipeThatNobodyCanRead) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Descriptor write_end(ends[1]);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(LogOutput::Inherited(write_end.get()).Write("x\n").error_number,
            EPIPE);
}

TEST(LogOutputTest, AFileOfAnotherIsAppendedToWhereItIs) {
  const TemporaryFolder folder;
  const Descriptor file(
      open(folder.File("log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(write(file.get(), "first\n", 6), 6);
  EXPECT_EQ(LogOutput::Inherited(file.get()).Write("second\n").size, 7u);
  EXPECT_EQ(ContentOf(folder.File("log")), "first\nsecond\n");
}

TEST(LogOutputTest, AFullDiskIsAnError) {
  EXPECT_EQ(Open("/dev/full").Write("x\n").error_number, ENOSPC);
}

TEST(LogOutputTest, FilesAreAppendedToAndPrivate) {
  const TemporaryFolder folder;
  const mode_t mask = umask(0);
  Open(folder.File("audit")).Write("first\n");
  umask(mask);
  struct stat status {};
  ASSERT_EQ(stat(folder.File("audit").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  Open(folder.File("audit")).Write("second\n");
  EXPECT_EQ(ContentOf(folder.File("audit")), "first\nsecond\n");
}

TEST(LogOutputTest, AFileThatCannotBeOpenedIsNamed) {
  const TemporaryFolder folder;
  const auto error = [](const std::string& path) {
    return std::string(LogOutput::ToFile(path).status().message());
  };
  EXPECT_EQ(error(folder.path()), "open " + folder.path() + ": Is a directory");
  const std::string none = folder.File("none/audit");
  EXPECT_EQ(error(none), "open " + none + ": No such file or directory");
}

// It would wait for a reader.
TEST(LogOutputTest, AFifoThatNobodyReadsIsAnError) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("fifo").c_str(), 0600), 0);
  EXPECT_FALSE(LogOutput::ToFile(folder.File("fifo")).ok());
  const Descriptor reader(
      open(folder.File("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const LogOutput output = Open(folder.File("fifo"));
  EXPECT_GT(Fill(output), 0u);
}

class RefreshTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_.File("audit"); }
  std::string old_path() const { return folder_.File("audit.1"); }
  Opened Refresh(bool always = false) {
    const auto opened = output_.Refresh(always);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *opened;
  }
  void Write(const std::string& text) {
    EXPECT_EQ(output_.Write(text).size, text.size());
  }
  void MoveAway() {
    ASSERT_EQ(std::rename(path().c_str(), old_path().c_str()), 0);
  }

  const TemporaryFolder folder_;
  LogOutput output_ = Open(path());
};

TEST_F(RefreshTest, WhatIsTheSameStays) {
  EXPECT_EQ(Refresh(), Opened::kNotAnew);
  EXPECT_EQ(Refresh(true), Opened::kSameFile);
  Write("line\n");
  EXPECT_EQ(ContentOf(path()), "line\n");
}

TEST_F(RefreshTest, AFileThatWasMovedAwayIsMadeAnew) {
  Write("first\n");
  MoveAway();
  Write("second\n");
  EXPECT_EQ(Refresh(), Opened::kOtherFile);
  Write("third\n");
  EXPECT_EQ(ContentOf(old_path()), "first\nsecond\n");
  EXPECT_EQ(ContentOf(path()), "third\n");
}

TEST_F(RefreshTest, AnotherFileAtThePathIsAppendedTo) {
  MoveAway();
  std::ofstream(path()) << "mine\n";
  EXPECT_EQ(Refresh(), Opened::kOtherFile);
  Write("line\n");
  EXPECT_EQ(ContentOf(path()), "mine\nline\n");
}

TEST_F(RefreshTest, WhatCannotBeOpenedLeavesTheOld) {
  MoveAway();
  ASSERT_EQ(mkdir(path().c_str(), 0700), 0);
  EXPECT_EQ(std::string(output_.Refresh(false).status().message()),
            "open " + path() + ": Is a directory");
  Write("line\n");
  EXPECT_EQ(ContentOf(old_path()), "line\n");
}

}  // namespace
}  // namespace portreeve::server
