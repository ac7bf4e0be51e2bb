// Scenarios g3-g7 and CONFORMANCE C7, C8: what Reader and Writer do.
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

using Line = std::optional<std::string>;

class ReaderWriter : public ConnectFixture {
 protected:
  // Up to `most` bytes by Reader::Read.
  static Task<std::string> ReadSome(Reader& reader, size_t most) {
    std::string data(most, '\0');
    data.resize(co_await reader.Read(data));
    co_return data;
  }
  static Task<std::string> ReadExactly(Reader& reader, size_t size) {
    std::string data(size, '\0');
    data.resize(co_await reader.ReadExactly(data));
    co_return data;
  }

  // The status that `task` throws.
  template <typename T>
  absl::Status ErrorOf(Task<T> task) {
    const auto outcome = StartWatched(std::move(task));
    RunToEnd(outcome);
    return outcome->error ? StatusOf(outcome->error) : absl::OkStatus();
  }

  // Ends what it started by cancelling it, as its owner does.
  template <typename T>
  void ExpectCancelled(TaskScope& scope, Task<T> task) {
    bool cancelled = false;
    auto body = [](Task<T> t) -> Task<> { (void)co_await std::move(t); };
    scope.Spawn(body(std::move(task)), [&](std::exception_ptr error) {
      cancelled = error && IsCancelled(error);
    });
    Settle();
    EXPECT_FALSE(scope.empty());
    scope.Cancel();
    Settle();
    EXPECT_TRUE(scope.empty());
    EXPECT_TRUE(cancelled);
  }
};

TEST_F(ReaderWriter, G3_UseAfterClose) {
  Pair pair = ConnectPair();
  const Deferred<> closed = pair.writer().Close();
  EXPECT_FALSE(closed.determined());
  RunUntil(closed);
  try {
    pair.writer().Write("late");
    ADD_FAILURE() << "it did not throw";
  } catch (const StatusError& error) {
    EXPECT_EQ(error.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(std::string(error.what()), "attempt to use closed writer");
  }
  EXPECT_EQ(pair.writer().Close(), closed);
  EXPECT_EQ(pair.writer().close_finished(), closed);
  EXPECT_EQ(Run(pair.reader().ReadLine()), std::nullopt);
  pair.reader().Close();
  const absl::Status error = ErrorOf(pair.reader().ReadLine());
  EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(error.message(), "can not read from reader: closed");
}

TEST_F(ReaderWriter, G4_WriteWhileCloseIsFlushing) {
  Pair pair = ConnectPair();
  pair.writer().Write("a");
  const Deferred<> closed = pair.writer().Close();
  pair.writer().Write("b");
  EXPECT_TRUE(pair.writer().is_closed());
  RunUntil(closed);
  EXPECT_EQ(pair.peer.ReceiveExactly(2), "ab");
  EXPECT_EQ(pair.peer.Receive(), "EOF");
}

TEST_F(ReaderWriter, G5_ReaderClosedWithAReadInProgress) {
  Pair pair = ConnectPair();
  const auto read = StartWatched(pair.reader().ReadLine());
  Settle();
  EXPECT_FALSE(read->ended);
  pair.reader().Close();
  ASSERT_TRUE(RunToEnd(read));
  EXPECT_EQ(read->text(), "");
  EXPECT_EQ(read->value.value(), std::nullopt);
}

TEST_F(ReaderWriter, G6_WriterClosedWithAReadInProgress) {
  Pair pair = ConnectPair();
  const auto read = StartWatched(pair.reader().ReadLine());
  Settle();
  EXPECT_FALSE(read->ended);
  pair.writer().Close();
  ASSERT_TRUE(RunToEnd(read));
  EXPECT_EQ(read->text(), "");
  EXPECT_EQ(read->value.value(), std::nullopt);
}

TEST_F(ReaderWriter, G7_ASecondReadAtOnceIsAnError) {
  Pair pair = ConnectPair();
  Reader& reader = pair.reader();
  const auto first = StartWatched(reader.ReadLine());
  Settle();
  const std::vector<absl::Status> errors = {
      ErrorOf(reader.ReadLine()), ErrorOf(ReadSome(reader, 1)),
      ErrorOf(ReadExactly(reader, 1)), ErrorOf(reader.ReadAll())};
  for (const absl::Status& error : errors) {
    EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(error.message(), "can not read from reader: in use");
  }
  EXPECT_FALSE(first->ended);
  EXPECT_EQ(pair.peer.Send("hi\n"), "ok");
  ASSERT_TRUE(RunToEnd(first));
  EXPECT_EQ(first->value, Line("hi"));
}

TEST_F(ReaderWriter, C7_ReadGivesWhatThereIs) {
  Pair pair = ConnectPair();
  EXPECT_EQ(pair.peer.Send("abcdef"), "ok");
  EXPECT_EQ(Run(ReadSome(pair.reader(), 4)), "abcd");
  EXPECT_EQ(Run(ReadSome(pair.reader(), 4)), "ef");
  EXPECT_FALSE(pair.reader().at_eof());
  pair.peer.Close();
  EXPECT_EQ(Run(ReadSome(pair.reader(), 4)), "");
  EXPECT_TRUE(pair.reader().at_eof());
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kPeerClosed);
}

// Also where there is no memory to read to, or none that was read.
TEST_F(ReaderWriter, C7_ReadExactlyNothing) {
  Pair pair = ConnectPair();
  EXPECT_EQ(Run(pair.reader().ReadExactly({})), 0u);
  EXPECT_EQ(pair.peer.Send("abc"), "ok");
  EXPECT_EQ(Run(ReadExactly(pair.reader(), 1)), "a");
  EXPECT_EQ(Run(pair.reader().ReadExactly({})), 0u);
  EXPECT_EQ(Run(ReadExactly(pair.reader(), 2)), "bc");
  pair.peer.Close();
  char space;
  EXPECT_EQ(Run(pair.reader().ReadExactly({&space, 1})), 0u);
}

TEST_F(ReaderWriter, C7_ReadExactlyWaitsForAllOrTheEnd) {
  Pair pair = ConnectPair();
  const auto read = StartWatched(ReadExactly(pair.reader(), 4));
  EXPECT_EQ(pair.peer.Send("abc"), "ok");
  Settle();
  EXPECT_FALSE(read->ended);
  EXPECT_EQ(pair.peer.Send("def"), "ok");
  ASSERT_TRUE(RunToEnd(read));
  EXPECT_EQ(read->value, "abcd");
  pair.peer.Close();
  EXPECT_EQ(Run(ReadExactly(pair.reader(), 4)), "ef");
  EXPECT_EQ(Run(ReadExactly(pair.reader(), 4)), "");
}

TEST_F(ReaderWriter, C7_ReadUntilADelimiter) {
  Pair pair = ConnectPair();
  Reader& reader = pair.reader();
  EXPECT_EQ(pair.peer.Send("a;;bc;rest"), "ok");
  pair.peer.CloseSending();
  EXPECT_EQ(Run(reader.ReadUntil(';')), Line("a"));
  EXPECT_EQ(Run(reader.ReadUntil(';')), Line(""));
  EXPECT_EQ(Run(reader.ReadUntil(';')), Line("bc"));
  EXPECT_EQ(Run(reader.ReadUntil(';')), Line("rest"));
  EXPECT_EQ(Run(reader.ReadUntil(';')), std::nullopt);
}

TEST_F(ReaderWriter, C7_ReadLineTakesBothEndsOfLine) {
  Pair pair = ConnectPair();
  Reader& reader = pair.reader();
  EXPECT_EQ(pair.peer.Send("unix\ndos\r\n\r\nin\rside\nlast"), "ok");
  pair.peer.CloseSending();
  EXPECT_EQ(Run(reader.ReadLine()), Line("unix"));
  EXPECT_EQ(Run(reader.ReadLine()), Line("dos"));
  EXPECT_EQ(Run(reader.ReadLine()), Line(""));
  EXPECT_EQ(Run(reader.ReadLine()), Line("in\rside"));
  EXPECT_EQ(Run(reader.ReadLine()), Line("last"));
  EXPECT_EQ(Run(reader.ReadLine()), std::nullopt);
}

TEST_F(ReaderWriter, C7_ALineOfTheGreatestLength) {
  Pair pair = ConnectPair();
  Reader& reader = pair.reader();
  EXPECT_EQ(pair.peer.Send("12345\n123456\n"), "ok");
  EXPECT_EQ(Run(reader.ReadUntil('\n', 5)), Line("12345"));
  EXPECT_EQ(ErrorOf(reader.ReadUntil('\n', 5)).code(),
            absl::StatusCode::kOutOfRange);
  // Nothing was consumed.
  EXPECT_EQ(Run(reader.ReadUntil('\n', 6)), Line("123456"));
}

TEST_F(ReaderWriter, C7_ReadAll) {
  Pair pair = ConnectPair();
  const std::string all(200'000, 'x');
  const auto read = StartWatched(pair.reader().ReadAll());
  EXPECT_EQ(pair.peer.Send(all), "ok");
  Settle();
  EXPECT_FALSE(read->ended);
  pair.peer.Close();
  ASSERT_TRUE(RunToEnd(read));
  EXPECT_EQ(read->value, all);
  EXPECT_TRUE(pair.reader().is_closed());
}

TEST_F(ReaderWriter, C7_ReadAllOfTooMuchLosesNothing) {
  Pair pair = ConnectPair();
  EXPECT_EQ(pair.peer.Send("123456"), "ok");
  pair.peer.Close();
  EXPECT_EQ(ErrorOf(pair.reader().ReadAll(5)).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(pair.reader().is_closed());
  EXPECT_EQ(Run(pair.reader().ReadAll(6)), "123456");
}

// The kernel tells it once, to whoever asks first.
TEST_F(ReaderWriter, C7_AResetIsTheReasonWhoeverSawItFirst) {
  const std::string_view byte = "x";
  const std::function<void(SocketCore&)> firsts[] = {
      [](SocketCore& socket) { EXPECT_TRUE(socket.HasFailed()); },
      [](SocketCore& socket) { EXPECT_FALSE(socket.HasPeerEnded()); },
      [&](SocketCore& socket) { EXPECT_EQ(socket.Send("x", 1), -1); },
      [&](SocketCore& socket) {
        EXPECT_EQ(socket.Share()->Send({&byte, 1}), -1);
      },
      [&](SocketCore& socket) {
        char space;
        EXPECT_EQ(socket.Share()->Receive({&space, 1}), -1);
      },
  };
  for (const auto& first : firsts) {
    Pair pair = ConnectPair();
    SocketCore& socket = *pair.connection->socket.core();
    pair.peer.Reset();
    first(socket);
    char space;
    EXPECT_EQ(Run(pair.reader().Read({&space, 1})), 0u);
    EXPECT_EQ(socket.reason(), CloseReason::kPeerReset);
    EXPECT_EQ(socket.Receive(&space, 1), -1);
    EXPECT_EQ(errno, ECONNRESET);
  }
}

TEST_F(ReaderWriter, C7_AResetReadsAsEndOfFileAndIsTheReason) {
  Pair pair = ConnectPair();
  const auto read = StartWatched(pair.reader().ReadLine());
  Settle();
  pair.peer.Reset();
  ASSERT_TRUE(RunToEnd(read));
  EXPECT_EQ(read->text(), "");
  EXPECT_EQ(read->value.value(), std::nullopt);
  EXPECT_TRUE(pair.reader().at_eof());
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kPeerReset);
  EXPECT_EQ(Run(pair.reader().ReadLine()), std::nullopt);
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kPeerReset);
}

TEST_F(ReaderWriter, C7_ACancelledReadLosesNothing) {
  Pair pair = ConnectPair();
  Reader& reader = pair.reader();
  EXPECT_EQ(pair.peer.Send("par"), "ok");
  {
    TaskScope scope(executor());
    ExpectCancelled(scope, reader.ReadLine());
  }
  EXPECT_EQ(pair.peer.Send("t"), "ok");
  {
    TaskScope scope(executor());
    ExpectCancelled(scope, ReadExactly(reader, 5));
  }
  {
    TaskScope scope(executor());
    ExpectCancelled(scope, reader.ReadAll());
  }
  EXPECT_FALSE(reader.is_closed());
  EXPECT_EQ(pair.peer.Send("ial\n"), "ok");
  EXPECT_EQ(Run(reader.ReadLine()), Line("partial"));
  {
    TaskScope scope(executor());
    ExpectCancelled(scope, ReadSome(reader, 5));
  }
  EXPECT_EQ(pair.peer.Send("more\n"), "ok");
  EXPECT_EQ(Run(reader.ReadLine()), Line("more"));
}

// A read and its cancellation in the same step as the arrival: at each number
// of steps, every byte is either given or kept.
TEST_F(ReaderWriter, C7_CancelledAtEachStepLosesNothing) {
  Pair pair = ConnectPair();
  Reader& reader = pair.reader();
  for (int steps = 0; steps < 12; ++steps) {
    std::string given;
    auto read = [](Reader& reader, std::string& given) -> Task<> {
      given = (co_await reader.ReadLine()).value_or("");
    };
    TaskScope scope(executor());
    scope.Spawn(read(reader, given), [](std::exception_ptr) {});
    Settle();
    EXPECT_EQ(pair.peer.Send("line\n"), "ok");
    loop().restart();
    for (int i = 0; i < steps && loop().poll_one() > 0; ++i) {
    }
    scope.Cancel();
    Settle();
    ASSERT_TRUE(scope.empty());
    if (given.empty()) given = Run(reader.ReadLine()).value_or("");
    EXPECT_EQ(given, "line") << "after " << steps << " steps";
  }
}

TEST_F(ReaderWriter, C8_WriteNeverBlocksAndCopies) {
  Pair pair = ConnectPair();
  std::string data(kLargeWrite, 'a');
  pair.writer().Write(data);
  EXPECT_EQ(pair.writer().bytes_to_write(), kLargeWrite);
  std::fill(data.begin(), data.end(), 'b');
  const Deferred<FlushResult> flushed = pair.writer().Flushed();
  EXPECT_FALSE(flushed.determined());
  const std::string received = pair.peer.ReceiveExactly(kLargeWrite);
  EXPECT_EQ(received, std::string(kLargeWrite, 'a'));
  RunUntil([&] { return flushed.determined(); });
  EXPECT_EQ(flushed.value(), FlushResult::kFlushed);
  EXPECT_EQ(pair.writer().bytes_to_write(), 0u);
}

TEST_F(ReaderWriter, C8_FlushedIsOfTheBytesBeforeIt) {
  listener().ShrinkReceiveBuffers();
  Pair pair = ConnectPair();
  EXPECT_TRUE(pair.writer().Flushed().determined());
  pair.writer().Write("first");
  const Deferred<FlushResult> first = pair.writer().Flushed();
  pair.writer().Write(std::string(kLargeWrite, 'x'));
  const Deferred<FlushResult> second = pair.writer().Flushed();
  Settle();
  EXPECT_TRUE(first.determined());
  EXPECT_FALSE(second.determined());
  pair.writer().Abort();
  EXPECT_EQ(first.value(), FlushResult::kFlushed);
  EXPECT_EQ(second.value(), FlushResult::kLost);
}

TEST_F(ReaderWriter, C8_OfTwoForcedClosesTheEarlierHolds) {
  listener().ShrinkReceiveBuffers();
  const std::pair<Duration, Duration> kDelays[] = {
      {seconds(10), seconds(1)},
      {seconds(1), seconds(10)},
  };
  for (const auto& [first, second] : kDelays) {
    Pair pair = ConnectPair();
    pair.writer().Write(std::string(kLargeWrite, 'x'));
    const Deferred<> closed = pair.writer().Close(first);
    EXPECT_EQ(pair.writer().Close(second), closed);
    Settle();
    time().Advance(seconds(1) - milliseconds(1));
    Settle();
    EXPECT_FALSE(closed.determined());
    time().Advance(milliseconds(1));
    Settle();
    EXPECT_TRUE(closed.determined());
    EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kForced);
  }
}

TEST_F(ReaderWriter, C8_AbortResetsWithoutAnError) {
  Pair pair = ConnectPair();
  pair.writer().Write("lost");
  pair.writer().Abort();
  EXPECT_TRUE(pair.writer().is_closed());
  EXPECT_THROW(pair.writer().Write("more"), StatusError);
  EXPECT_EQ(pair.peer.Receive(), "ECONNRESET");
}

TEST_F(ReaderWriter, C8_HalfCloseFlushesAndReadingGoesOn) {
  Pair pair = ConnectPair();
  pair.writer().Write("question");
  pair.writer().HalfClose();
  EXPECT_THROW(pair.writer().Write("more"), StatusError);
  EXPECT_EQ(pair.peer.ReceiveExactly(8), "question");
  EXPECT_EQ(pair.peer.Receive(), "EOF");
  EXPECT_EQ(pair.peer.Send("answer\n"), "ok");
  EXPECT_EQ(Run(pair.reader().ReadLine()), Line("answer"));
  EXPECT_TRUE(pair.connection->socket.is_open());
}

}  // namespace
}  // namespace portreeve::testing
