// LogWriter, where nobody reads, the disk is full, and files are moved away.
#include "server/daemon/log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/descriptor.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;
using Lines = std::vector<std::string>;

// Lines that are read from a descriptor, which may be blocking.
class LineReader {
 public:
  enum class Times { kNone, kBeforeText };

  explicit LineReader(int fd, Times times = Times::kNone)
      : fd_(fd), times_(times) {}

  // Waits for the next one, and gives it without its time; nothing at the end.
  std::optional<std::string> Next() {
    auto line = NextWithTime();
    if (times_ == Times::kNone || !line || line->front() == '{') return line;
    constexpr size_t kTimeBytes = sizeof("2026-11-28T06:00:00.000Z");
    EXPECT_THAT(line->substr(0, kTimeBytes),
                MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:"
                             "[0-9]{2}\\.[0-9]{3}Z "));
    return line->substr(kTimeBytes);
  }

  std::optional<std::string> NextWithTime() {
    for (;;) {
      const size_t end = text_.find('\n', begin_);
      if (end != text_.npos) {
        const std::string line = text_.substr(begin_, end - begin_);
        begin_ = end + 1;
        return line;
      }
      text_.erase(0, begin_);
      begin_ = 0;
      pollfd wanted{fd_, POLLIN, 0};
      if (poll(&wanted, 1, 20'000) != 1) {
        ADD_FAILURE() << "waited in vain for a line";
        return std::nullopt;
      }
      char buffer[65536];
      const ssize_t size = read(fd_, buffer, sizeof(buffer));
      if (size <= 0) return std::nullopt;
      text_.append(buffer, static_cast<size_t>(size));
    }
  }

  Lines Rest() {
    Lines lines;
    while (auto line = Next()) lines.push_back(*std::move(line));
    EXPECT_EQ(text_, "") << "the end of a line is missing";
    return lines;
  }

 private:
  const int fd_;
  const Times times_;
  std::string text_;
  size_t begin_ = 0;
};

Lines LinesOf(const std::string& file) {
  const Descriptor descriptor(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  return LineReader(descriptor.get()).Rest();
}

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read_end = Descriptor(ends[0]);
    write_end = Descriptor(ends[1]);
  }

  Descriptor read_end;
  Descriptor write_end;
};

class LogWriterTest : public ::testing::Test {
 protected:
  // "": the audit goes to the log.
  void Start(const std::string& audit_file) {
    std::optional<LogOutput> audit;
    if (!audit_file.empty()) {
      auto file = LogOutput::ToFile(audit_file);
      ASSERT_TRUE(file.ok()) << file.status();
      audit = *std::move(file);
    }
    auto writer = LogWriter::Start(LogOutput::Inherited(pipe_.write_end.get()),
                                   std::move(audit), LogFormat::kText);
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }
  void Log(const std::string& message) {
    writer_->Log({LogLevel::kInfo, message});
  }
  // Ends the writer; what was logged and not read yet.
  Lines End() {
    writer_.reset();
    pipe_.write_end = Descriptor();
    return log_.Rest();
  }

  std::string audit_file() const { return folder_.File("audit"); }
  std::string old_file() const { return folder_.File("audit.1"); }
  std::string OpenedAnew() const {
    return "info the audit log was opened anew: " + audit_file();
  }
  void MoveAway() {
    ASSERT_EQ(std::rename(audit_file().c_str(), old_file().c_str()), 0);
  }

  const TemporaryFolder folder_;
  Pipe pipe_;
  LineReader log_{pipe_.read_end.get(), LineReader::Times::kBeforeText};
  std::unique_ptr<LogWriter> writer_;
};

TEST_F(LogWriterTest, TheLogHasTimesAndLevelsAndTheAuditIsAsItIs) {
  Start("");
  Log("one");
  writer_->Audit("{two}");
  EXPECT_THAT(End(), ElementsAre("info one", "{two}"));
}

// Whoever logs may have got a part of it from a client.
TEST_F(LogWriterTest, WhatDoesNotShowItselfIsEscapedInTheLog) {
  Start("");
  Log("a\x1b[31m\u202e\nportreeved: b\xff");
  EXPECT_THAT(End(), ElementsAre("info a\\u001b[31m\\u202e\\u000a"
                                 "portreeved: b\\xff"));
}

TEST_F(LogWriterTest, TheAuditMayHaveAFile) {
  Start(audit_file());
  Log("one");
  writer_->Audit("{two}");
  EXPECT_THAT(End(), ElementsAre("info one"));
  EXPECT_THAT(LinesOf(audit_file()), ElementsAre("{two}"));
}

TEST_F(LogWriterTest, LinesOfManyThreadsDoNotMix) {
  Start(audit_file());
  std::vector<std::thread> threads;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    threads.emplace_back([this, letter] {
      for (int i = 0; i < 100; ++i) writer_->Audit(std::string(400, letter));
    });
  }
  for (std::thread& thread : threads) thread.join();
  End();
  const Lines lines = LinesOf(audit_file());
  EXPECT_EQ(lines.size(), 400u);
  for (const std::string& line : lines) {
    EXPECT_EQ(line, std::string(400, line[0]));
  }
}

// How many lines a note counts; 0 for another line.
int DroppedOf(const std::string& line) {
  constexpr char kAfter[] = " lines were dropped here: ";
  const std::string prefix = "warning ";
  return line.find(kAfter) == line.npos ? 0
                                        : std::stoi(line.substr(prefix.size()));
}

// Numbered lines of 1000 bytes.
std::string Numbered(int i) {
  std::string line = std::to_string(i) + " ";
  line.resize(1000, '.');
  return line;
}

// Checks that lines 0 to count - 1 are there, or counted in their place.
void ExpectAll(LineReader& log, int count) {
  int next = 0, notes = 0;
  while (next < count) {
    const auto line = log.Next();
    ASSERT_TRUE(line.has_value());
    if (const int dropped = DroppedOf(*line)) {
      ++notes;
      next += dropped;
    } else {
      ASSERT_EQ(*line, "info " + Numbered(next));
      ++next;
    }
  }
  EXPECT_EQ(next, count);
  EXPECT_GT(notes, 0);
}

TEST_F(LogWriterTest, NobodyWaitsForWhoDoesNotRead) {
  Start("");
  constexpr int kCount = 3000;  // 3 MB.
  for (int i = 0; i < kCount; ++i) Log(Numbered(i));
  ExpectAll(log_, kCount);
  Log("and on");
  EXPECT_THAT(End(), ElementsAre("info and on"));
}

// How many bytes come before the note that others were dropped.
size_t BytesBeforeNote(LineReader& lines, const std::string& note) {
  size_t bytes = 0;
  for (;;) {
    const auto line = lines.NextWithTime();
    if (!line || line->find(note) != line->npos) return bytes;
    bytes += line->size() + 1;
  }
}

constexpr char kNoteOfLog[] = " lines were dropped here: ";
constexpr size_t kOneLine = 2000;  // At most.
constexpr int kMoreThanWaits = 1300;

size_t SizeOf(const Descriptor& pipe) {
  return static_cast<size_t>(fcntl(pipe.get(), F_GETPIPE_SZ));
}

TEST_F(LogWriterTest, AMebibyteWaits) {
  Start("");
  for (int i = 0; i < kMoreThanWaits; ++i) Log(Numbered(i));
  const size_t waited = BytesBeforeNote(log_, kNoteOfLog);
  EXPECT_GE(waited, LogWriter::kMaxWaitingBytes - kOneLine);
  EXPECT_LE(waited, LogWriter::kMaxWaitingBytes + SizeOf(pipe_.read_end));
}

TEST_F(LogWriterTest, AHalfOfItIsOfAnAuditThatHasAFile) {
  constexpr size_t kHalf = LogWriter::kMaxWaitingBytes / 2;
  ASSERT_EQ(mkfifo(audit_file().c_str(), 0600), 0);
  const Descriptor fifo(
      open(audit_file().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  LineReader audit(fifo.get());
  Start(audit_file());
  for (int i = 0; i < kMoreThanWaits; ++i) {
    Log(Numbered(i));
    writer_->Audit(Numbered(i));
  }
  const size_t of_log = BytesBeforeNote(log_, kNoteOfLog);
  EXPECT_GE(of_log, kHalf - kOneLine);
  EXPECT_LE(of_log, kHalf + SizeOf(pipe_.read_end));
  const size_t of_audit = BytesBeforeNote(audit, "\"dropped\":");
  EXPECT_GE(of_audit, kHalf - kOneLine);
  EXPECT_LE(of_audit, kHalf + SizeOf(fifo));
}

TEST_F(LogWriterTest, TheEndWaitsForNobodyEither) {
  Start(audit_file());
  for (int i = 0; i < 3000; ++i) Log(Numbered(i));
  writer_->Audit("{last}");
  writer_.reset();
  EXPECT_THAT(LinesOf(audit_file()), ElementsAre("{last}"));
}

TEST_F(LogWriterTest, OneThatIsBlockedDoesNotHoldUpTheOther) {
  ASSERT_EQ(mkfifo(audit_file().c_str(), 0600), 0);
  const Descriptor fifo(
      open(audit_file().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  LineReader audit(fifo.get());
  Start(audit_file());
  for (int i = 0; i < 3000; ++i) Log(Numbered(i));
  writer_->Audit("{one}");
  EXPECT_EQ(audit.Next(), "{one}");
  // The other way round.
  for (int i = 0; i < 3000; ++i) writer_->Audit(Numbered(i));
  ExpectAll(log_, 3000);
  Log("on");
  EXPECT_EQ(log_.Next(), "info on");
  // What the audit says of dropped lines is an object, too.
  int next = 0;
  while (next < 3000) {
    const std::string line = audit.Next().value();
    const size_t dropped = line.find("\"dropped\":");
    if (dropped == line.npos) {
      ASSERT_EQ(line, Numbered(next++));
    } else {
      EXPECT_THAT(line, MatchesRegex("\\{\"time\":\"[^\"]+\",\"dropped\":[0-9]+"
                                     "\\}"));
      next += std::stoi(line.substr(dropped + 10));
    }
  }
  EXPECT_EQ(next, 3000);
}

TEST_F(LogWriterTest, AFullDiskIsSaidOnce) {
  Start("/dev/full");
  for (int i = 0; i < 3; ++i) writer_->Audit("line");
  EXPECT_EQ(log_.Next(), "error write the audit log: No space left on device");
  for (int i = 0; i < 3; ++i) writer_->Audit("line");
  EXPECT_THAT(End(), ElementsAre());
}

TEST_F(LogWriterTest, WhatCouldNotBeWrittenIsTriedOnceMoreAtTheEnd) {
  ASSERT_EQ(symlink("/dev/full", audit_file().c_str()), 0);
  Start(audit_file());
  writer_->Audit("{one}");
  EXPECT_EQ(log_.Next(), "error write the audit log: No space left on device");
  ASSERT_EQ(unlink(audit_file().c_str()), 0);
  EXPECT_THAT(End(), ElementsAre(OpenedAnew()));
  EXPECT_THAT(LinesOf(audit_file()), ElementsAre("{one}"));
}

// Files may have `size` bytes while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t size) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{size, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_F(LogWriterTest, ALineThatIsTornIsEndedAndWrittenAgain) {
  Start(audit_file());
  {
    const FileSizeLimit limit(10);
    writer_->Audit("{first}");
    writer_->Audit("{second}");
    EXPECT_EQ(log_.Next(), "error write the audit log: File too large");
  }
  writer_->Audit("{third}");
  EXPECT_THAT(End(), ElementsAre());
  EXPECT_THAT(LinesOf(audit_file()),
              ElementsAre("{first}", "{s", "{second}", "{third}"));
}

TEST_F(LogWriterTest, ReopeningMakesANewFileWhereThereIsNone) {
  Start(audit_file());
  writer_->Reopen();
  EXPECT_EQ(log_.Next(), OpenedAnew());
  // No line is on its way, which would notice that by itself.
  MoveAway();
  writer_->Reopen();
  EXPECT_EQ(log_.Next(), OpenedAnew());
  writer_->Audit("{two}");
  EXPECT_THAT(End(), ElementsAre());
  EXPECT_EQ(LinesOf(audit_file()).back(), "{two}");
}

TEST_F(LogWriterTest, AnotherFileAtThePathIsNoticed) {
  Start(audit_file());
  MoveAway();
  writer_->Audit("{one}");
  EXPECT_EQ(log_.Next(), OpenedAnew());
  EXPECT_THAT(End(), ElementsAre());
  EXPECT_THAT(LinesOf(old_file()), ElementsAre());
  EXPECT_THAT(LinesOf(audit_file()), ElementsAre("{one}"));
}

TEST_F(LogWriterTest, WhatCannotBeOpenedAnewIsSaidOnceAndTheOldFileGoesOn) {
  Start(audit_file());
  MoveAway();
  ASSERT_EQ(mkdir(audit_file().c_str(), 0700), 0);
  writer_->Audit("{one}");
  EXPECT_EQ(log_.Next(), "error the audit log goes on in the old file: open " +
                             audit_file() + ": Is a directory");
  writer_->Audit("{two}");
  EXPECT_THAT(End(), ElementsAre());
  EXPECT_THAT(LinesOf(old_file()), ElementsAre("{one}", "{two}"));
}

TEST_F(LogWriterTest, AFullDiskMayBeLeftByMovingTheFile) {
  Start(audit_file());
  {
    const FileSizeLimit limit(4);
    writer_->Audit("{first}");
    EXPECT_EQ(log_.Next(), "error write the audit log: File too large");
    MoveAway();
  }
  writer_->Audit("{second}");
  EXPECT_THAT(End(), ElementsAre(OpenedAnew()));
  EXPECT_THAT(LinesOf(audit_file()), ElementsAre("{first}", "{second}"));
}

}  // namespace
}  // namespace portreeve::server
