// Lines of the log for which there is no memory are counted as dropped.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "lib/base/descriptor.h"
#include "server/daemon/log_queue.h"
#include "server/daemon/log_writer.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::GiveMemoryAgain;
using testing::RefuseMemoryAfter;

constexpr size_t kMuch = 1 << 20;

std::string Note(int64_t dropped) {
  return "a note that takes memory: " + std::to_string(dropped);
}

// What is to be written next, as if all of it were.
std::string WriteNext(LogQueue& queue) {
  const std::string_view piece = queue.Next(kMuch);
  std::string text(piece);
  queue.OnWritten(piece.size());
  return text;
}

TEST(LogNoMemoryTest, ALineThatFindsNoneIsCounted) {
  LogQueue queue(kMuch, &Note);
  queue.Add("one");
  const std::string two(1000, '2');
  RefuseMemoryAfter(0);
  queue.Add(two);
  EXPECT_TRUE(GiveMemoryAgain());
  EXPECT_EQ(WriteNext(queue), "one\n" + Note(1) + "\n");
  queue.Add("three");
  EXPECT_EQ(WriteNext(queue), "three\n");
  EXPECT_TRUE(queue.empty());
}

TEST(LogNoMemoryTest, ANoteThatFindsNoneComesLater) {
  LogQueue queue(kMuch, &Note);
  queue.Add("one");
  queue.AddDropped();
  queue.AddDropped();
  RefuseMemoryAfter(0);
  const std::string_view piece = queue.Next(kMuch);
  EXPECT_TRUE(GiveMemoryAgain());
  EXPECT_EQ(piece, "one\n");
  queue.OnWritten(piece.size());
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(WriteNext(queue), Note(2) + "\n");
  EXPECT_TRUE(queue.empty());
}

TEST(LogNoMemoryTest, ALineThatCannotBeMadeIsCounted) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Descriptor read_end(ends[0]);
  const Descriptor write_end(ends[1]);
  auto writer = LogWriter::Start(
      {LogOutput::Inherited(write_end.get()), {}, {}}, LogFormat::kText);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::string text(100, 'x');
  RefuseMemoryAfter(0, testing::kUntilGivenAgain);
  (*writer)->Log({LogLevel::kInfo, text});
  (*writer)->Log({LogLevel::kInfo, text});
  EXPECT_TRUE(GiveMemoryAgain());
  writer->reset();
  pollfd wanted{read_end.get(), POLLIN, 0};
  ASSERT_EQ(poll(&wanted, 1, 0), 1);
  char buffer[1000];
  const ssize_t size = read(read_end.get(), buffer, sizeof(buffer));
  ASSERT_GT(size, 0);
  const std::string log(buffer, static_cast<size_t>(size));
  EXPECT_EQ(log.find(text), log.npos) << log;
  // The thread may have told of the first before the second.
  const std::string both = " warning 2 lines were dropped here: ";
  const std::string one = " warning 1 lines were dropped here: ";
  const bool one_by_one =
      log.find(one) != log.npos && log.find(one) != log.rfind(one);
  EXPECT_TRUE(log.find(both) != log.npos || one_by_one) << log;
}

// What it has to say of a disk that is full is lost, and counted.
TEST(LogNoMemoryTest, TheThreadGoesOnWithout) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Descriptor read_end(ends[0]);
  const Descriptor write_end(ends[1]);
  auto audit = LogOutput::ToFile("/dev/full");
  ASSERT_TRUE(audit.ok()) << audit.status();
  auto writer = LogWriter::Start(
      {LogOutput::Inherited(write_end.get()), *std::move(audit), {}},
      LogFormat::kText);
  ASSERT_TRUE(writer.ok()) << writer.status();
  testing::RefuseMemoryToOthers(true);
  (*writer)->Audit("{one}");
  while (testing::NumRefusedToOthers() == 0) std::this_thread::yield();
  testing::RefuseMemoryToOthers(false);
  const auto next = [&read_end] {
    char buffer[1000];
    const ssize_t size = read(read_end.get(), buffer, sizeof(buffer));
    return std::string(buffer, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  };
  const std::string lost = next();
  EXPECT_NE(lost.find(" 1 lines were dropped here: "), lost.npos) << lost;
  (*writer)->Log({LogLevel::kInfo, "later"});
  writer->reset();
  const std::string later = next();
  EXPECT_NE(later.find("later"), later.npos) << later;
}

}  // namespace
}  // namespace portreeve::server
