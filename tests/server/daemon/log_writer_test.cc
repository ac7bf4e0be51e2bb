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
#include <utility>
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
  // A test that ends closes what is written to, as any reader may.
  LogWriterTest() { signal(SIGPIPE, SIG_IGN); }

  // "": the audit goes to the log, the access log nowhere.
  void Start(const std::string& audit_file,
             const std::string& access_file = "") {
    std::optional<LogOutput> audit, access;
    for (auto [output, path] :
         {std::pair(&audit, &audit_file), {&access, &access_file}}) {
      if (path->empty()) continue;
      auto file = LogOutput::ToFile(*path);
      ASSERT_TRUE(file.ok()) << file.status();
      *output = *std::move(file);
    }
    auto writer = LogWriter::Start({LogOutput::Inherited(pipe_.write_end.get()),
                                    std::move(audit), std::move(access)},
                                   LogFormat::kText);
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }
  void Log(const std::string& message) {
    writer_->Log({LogLevel::kInfo, message});
  }
  // Waits until all that came before was tried to be written, and nothing was
  // logged about it.
  void AwaitATry() {
    for (const char* line :
         {"a", "b"}) {  // All outputs have a turn in between.
      Log(line);
      EXPECT_EQ(log_.Next(), "info " + std::string(line));
    }
  }
  // Ends the writer; what was logged and not read yet.
  Lines End() {
    writer_.reset();
    pipe_.write_end = Descriptor();
    return log_.Rest();
  }

  std::string access_file() const { return folder_.File("access"); }
  std::string audit_file() const { return folder_.File("audit"); }
  std::string old_file() const { return folder_.File("audit.1"); }
  std::string OpenedAnew() const {
    return "info the audit log was opened anew: " + audit_file();
  }
  // A reader that does not read yet.
  Descriptor MakeFifo(const std::string& path) {
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    return Descriptor(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
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

// How many lines a note of the access log counts; 0 for another line.
int64_t LostOf(const std::string& line) {
  constexpr char kKey[] = "\"event\":\"lost\",\"lines\":";
  const size_t at = line.find(kKey);
  return at == line.npos ? 0 : std::stoll(line.substr(at + sizeof(kKey) - 1));
}

TEST_F(LogWriterTest, TheAccessLogHasAFileOfItsOwn) {
  Start(audit_file(), access_file());
  Log("one");
  writer_->Audit("{two}");
  writer_->Access("{three}");
  writer_->Access("{four}");
  EXPECT_THAT(End(), ElementsAre("info one"));
  EXPECT_THAT(LinesOf(audit_file()), ElementsAre("{two}"));
  EXPECT_THAT(LinesOf(access_file()), ElementsAre("{three}", "{four}"));
}

TEST_F(LogWriterTest, TheAccessLogMayGoToStderr) {
  auto writer = LogWriter::Start(
      {LogOutput::Inherited(pipe_.write_end.get()), std::nullopt,
       LogOutput::Inherited(pipe_.write_end.get())},
      LogFormat::kText);
  ASSERT_TRUE(writer.ok());
  writer_ = *std::move(writer);
  Log("one");
  EXPECT_EQ(log_.Next(), "info one");
  writer_->Access("{two}");
  writer_->Reopen();
  EXPECT_THAT(End(), ElementsAre("{two}"));
}

TEST_F(LogWriterTest, TheQueueOfTheAccessLogIsItsOwn) {
  const Descriptor fifo = MakeFifo(access_file());
  LineReader access(fifo.get());
  Start(audit_file(), access_file());
  constexpr int kCount = 3000;  // 3 MB.
  for (int i = 0; i < kCount; ++i) writer_->Access(Numbered(i));
  // Nothing of it is lost.
  for (int i = 0; i < 400; ++i) writer_->Audit(Numbered(i));
  for (int i = 0; i < 400; ++i) {
    Log(Numbered(i));
    ASSERT_EQ(log_.Next(), "info " + Numbered(i));
  }
  const LogWriter::AccessCounts counts = writer_->access_counts();
  EXPECT_EQ(counts.lines + counts.dropped, kCount);
  int next = 0;
  int64_t lost = 0;
  size_t before = 0;  // Bytes.
  while (next < kCount) {
    const auto line = access.Next();
    ASSERT_TRUE(line.has_value());
    if (const int64_t lines = LostOf(*line)) {
      EXPECT_THAT(*line, MatchesRegex("\\{\"time\":\"[^\"]+Z\",\"event\":"
                                      "\"lost\",\"lines\":[0-9]+\\}"));
      lost += lines;
      next += static_cast<int>(lines);
    } else {
      ASSERT_EQ(*line, Numbered(next++));
      if (lost == 0) before += line->size() + 1;
    }
  }
  EXPECT_EQ(lost, counts.dropped);
  EXPECT_GE(before, LogWriter::kMaxWaitingAccessBytes - kOneLine);
  EXPECT_LE(before, LogWriter::kMaxWaitingAccessBytes + SizeOf(fifo));
  writer_->Access("{on}");
  EXPECT_EQ(access.Next(), "{on}");
  EXPECT_THAT(End(), ElementsAre());
  EXPECT_THAT(LinesOf(audit_file()), ::testing::SizeIs(400));
}

TEST_F(LogWriterTest, TheLinesOfTheLastProcessAreCounted) {
  Start("", access_file());
  writer_->AddAccessCounts({10, 3});
  writer_->Access("{one}");
  writer_->Access(std::nullopt);
  EXPECT_EQ(writer_->access_counts().lines, 11);
  EXPECT_EQ(writer_->access_counts().dropped, 4);
}

TEST_F(LogWriterTest, ALineWithoutMemoryIsOneThatIsLost) {
  Start("", access_file());
  writer_->Access("{one}");
  writer_->Access(std::nullopt);
  EXPECT_EQ(writer_->access_counts().lines, 1);
  EXPECT_EQ(writer_->access_counts().dropped, 1);
  End();
  const Lines lines = LinesOf(access_file());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "{one}");
  EXPECT_EQ(LostOf(lines[1]), 1);
}

TEST_F(LogWriterTest, AnAccessLogThatCannotBeWrittenIsSaidOnceAMinute) {
  Start("", access_file());
  const int64_t lines = 20;
  {
    const FileSizeLimit limit(0);
    writer_->Access("{0}");
    EXPECT_EQ(log_.Next(), "error write the access log: File too large");
    for (int i = 1; i < lines / 2; ++i) {
      writer_->Access("{" + std::to_string(i) + "}");
    }
    AwaitATry();
  }
  // Nothing more comes, and it is written all the same.
  const auto is_there = [this](const std::string& line) {
    const Lines written = LinesOf(access_file());
    return !written.empty() && written.back() == line;
  };
  while (!is_there("{9}")) {
    std::this_thread::yield();
  }
  {
    // That it was written in between makes it no other failure.
    const FileSizeLimit limit(0);
    for (int64_t i = lines / 2; i < lines; ++i) {
      writer_->Access("{" + std::to_string(i) + "}");
    }
    AwaitATry();
  }
  EXPECT_THAT(End(), ElementsAre());
  const Lines written = LinesOf(access_file());
  ASSERT_EQ(written.size(), static_cast<size_t>(lines));
  for (size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(written[i], "{" + std::to_string(i) + "}");
  }
}

TEST_F(LogWriterTest, TheAccessLogIsOpenedAnewAsTheAuditIs) {
  Start(audit_file(), access_file());
  writer_->Access("{one}");
  ASSERT_EQ(std::rename(access_file().c_str(), old_file().c_str()), 0);
  writer_->Access("{two}");
  const std::string anew =
      "info the access log was opened anew: " + access_file();
  if (const auto line = log_.Next(); line != anew) ADD_FAILURE() << *line;
  writer_->Reopen();
  EXPECT_EQ(log_.Next(), OpenedAnew());
  EXPECT_EQ(log_.Next(), anew);
  EXPECT_THAT(End(), ElementsAre());
  Lines all = LinesOf(old_file());
  for (const std::string& line : LinesOf(access_file())) all.push_back(line);
  EXPECT_THAT(all, ElementsAre("{one}", "{two}"));
}

TEST_F(LogWriterTest, TheAccessLogGoesOnInADirectoryThatIsGone) {
  const std::string directory = folder_.File("logs");
  ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
  const std::string file = directory + "/access";
  Start("", file);
  writer_->Access("{one}");
  ASSERT_EQ(unlink(file.c_str()), 0);
  ASSERT_EQ(rmdir(directory.c_str()), 0);
  writer_->Access("{two}");
  EXPECT_EQ(log_.Next(), "error the access log goes on in the old file: open " +
                             file + ": No such file or directory");
  ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
  writer_->Reopen();
  EXPECT_EQ(log_.Next(), "info the access log was opened anew: " + file);
  writer_->Access("{three}");
  EXPECT_THAT(End(), ElementsAre());
  EXPECT_EQ(LinesOf(file).back(), "{three}");
}

TEST_F(LogWriterTest, WhetherTwoOutputsAreOneFile) {
  ASSERT_EQ(symlink(audit_file().c_str(), access_file().c_str()), 0);
  const auto audit = LogOutput::ToFile(audit_file());
  const auto linked = LogOutput::ToFile(access_file());
  const auto other = LogOutput::ToFile(old_file());
  ASSERT_TRUE(audit.ok() && linked.ok() && other.ok());
  EXPECT_TRUE(audit->IsSameFile(*linked));
  EXPECT_FALSE(audit->IsSameFile(*other));
  EXPECT_FALSE(LogOutput::Inherited(pipe_.write_end.get()).IsSameFile(*audit));
}

}  // namespace
}  // namespace portreeve::server
