// dial, and attach on the terminal, with files and pipes for the terminal;
// where watch begins; the flags for TLS.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/value.h"
#include "portreeve/v1/event.pb.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/frames.h"

namespace portreeve::cli {
namespace {

using client::ClosedFrame;
using client::DataFrame;
using client::Echo;
using client::EofFrame;
using client::FakeDaemon;
using client::OpenedFrame;
using client::Refusal;
using grpc::Status;

// A file without a name.
class File {
 public:
  explicit File(const std::string& text = "") {
    char path[] = "/tmp/portreeve-test-XXXXXX";
    descriptor_ = mkostemp(path, O_CLOEXEC);
    unlink(path);
    EXPECT_EQ(pwrite(descriptor_, text.data(), text.size(), 0),
              static_cast<ssize_t>(text.size()));
  }
  ~File() { close(descriptor_); }

  int descriptor() const { return descriptor_; }
  std::string text() const {
    std::string text(static_cast<size_t>(lseek(descriptor_, 0, SEEK_END)), ' ');
    EXPECT_EQ(pread(descriptor_, text.data(), text.size(), 0),
              static_cast<ssize_t>(text.size()));
    return text;
  }

 private:
  int descriptor_;
};

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }

  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void CloseReader() { Close(ends_[0]); }
  void CloseWriter() { Close(ends_[1]); }

 private:
  static void Close(int& end) {
    if (end >= 0) close(std::exchange(end, -1));
  }

  int ends_[2];
};

// `size` bytes in which none can be missing unnoticed.
std::string Varied(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i / 3);
  return text;
}

class CliStreamsTest : public CliTest {
 protected:
  CliStreamsTest() { signal(SIGPIPE, SIG_IGN); }

  ExitStatus RunOn(int input, int output, const Arguments& arguments) {
    return Run(arguments, {.server = daemon_.address(),
                           .directory = "/home",
                           .input = input,
                           .output = output});
  }
};

TEST_F(CliStreamsTest, DialCopiesStdinThereAndWhatComesToStdout) {
  daemon_.dial.set_answer(Echo);
  const std::string text = Varied(1'000'003);
  const File input(text);
  const File output;
  EXPECT_EQ(RunOn(input.descriptor(), output.descriptor(),
                  {"dial", "tcp:example.org:80"}),
            ExitStatus::kDone);
  EXPECT_TRUE(output.text() == text);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err(),
            "portreeve: dial: connected to tcp:192.0.2.1:4711 "
            "(connections/9)\n");
}

TEST_F(CliStreamsTest, StdoutMayBeAFullPipeThatDoesNotBlock) {
  const std::string text = Varied(300'000);
  daemon_.dial.set_answer(Echo);
  const File input(text);
  Pipe output;
  // What comes does not fit in, so a part is taken.
  ASSERT_GT(fcntl(output.writer(), F_SETPIPE_SZ, 4096), 0);
  ASSERT_EQ(fcntl(output.writer(), F_SETFL, O_NONBLOCK), 0);
  auto received = std::async(std::launch::async, [&] {
    std::string all;
    char buffer[1000];
    ssize_t count;
    while ((count = read(output.reader(), buffer, sizeof(buffer))) > 0) {
      all.append(buffer, static_cast<size_t>(count));
    }
    return all;
  });
  EXPECT_EQ(
      RunOn(input.descriptor(), output.writer(), {"dial", "tcp:example.org:1"}),
      ExitStatus::kDone);
  output.CloseWriter();
  EXPECT_TRUE(received.get() == text);
}

TEST_F(CliStreamsTest, DialSendsItsFlags) {
  daemon_.dial.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::UNAVAILABLE, "connection refused",
                   "CONNECT_REFUSED", {{"address", "tcp:192.0.2.1:80"}});
  });
  EXPECT_EQ(Run({"dial", "--bind-address", "192.0.2.7", "--bind-to-port", "99",
                 "tcp:host:80", "--connect-timeout", "0s", "--buffer-age-limit",
                 "unlimited"}),
            ExitStatus::kRefused);
  EXPECT_EQ(err(),
            "portreeve: dial: CONNECT_REFUSED: connection refused "
            "(tcp:192.0.2.1:80); check that something listens there\n");
  EXPECT_EQ(Run({"dial", "unix:s"}), ExitStatus::kRefused);
  EXPECT_EQ(daemon_.dial.requests()[0].ShortDebugString(),
            "dial { where_to_connect { inet { host: \"host\" port: 80 "
            "bind_to_address: \"192.0.2.7\" bind_to_port: 99 } } timeout { } "
            "buffer_age_limit { unlimited { } } can_move: true }");
  EXPECT_EQ(daemon_.dial.requests()[1].ShortDebugString(),
            "dial { where_to_connect { unix_socket { path: \"/home/s\" } } "
            "can_move: true }");
}

TEST_F(CliStreamsTest, DialsWrongUsageAsksNothingOfTheDaemon) {
  for (const Arguments& arguments :
       {Arguments{"dial"}, Arguments{"dial", "host"},
        Arguments{"dial", "tcp:*:80"},
        Arguments{"dial", "unix:s", "--bind-to-port", "1"},
        Arguments{"dial", "tcp:h:1", "--connect-timeout", "1"}}) {
    EXPECT_EQ(Run(arguments), ExitStatus::kUsage);
  }
  EXPECT_TRUE(daemon_.dial.requests().empty());
}

// The peer's FIN first, then what stdin has: answered with what came.
Status EndFirst(FakeDaemon::Frames& frames, std::string& received,
                std::string& kinds) {
  frames.Write(OpenedFrame("connections/9"));
  frames.Write(DataFrame("bye"));
  frames.Write(EofFrame());
  v1::ClientFrame frame;
  while (!frame.has_done() && frames.Read(&frame)) {
    received += frame.data();
    if (!frame.has_data()) kinds += frame.has_eof() ? "eof " : "done ";
  }
  frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_CLOSED));
  return Status::OK;
}

TEST_F(CliStreamsTest, StdinGoesOnAfterTheOtherEndsFin) {
  std::string received;
  std::string kinds;
  daemon_.dial.set_answer(
      [&](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
        return EndFirst(frames, received, kinds);
      });
  Pipe input;
  Pipe output;
  auto run = std::async(std::launch::async, [&] {
    return RunOn(input.reader(), output.writer(), {"dial", "tcp:h:1"});
  });
  char bye[3];
  ASSERT_EQ(read(output.reader(), bye, sizeof(bye)), 3);
  ASSERT_EQ(write(input.writer(), "more", 4), 4);
  input.CloseWriter();
  EXPECT_EQ(run.get(), ExitStatus::kDone) << err();
  EXPECT_EQ(received, "more");
  EXPECT_EQ(kinds, "eof done ");
}

TEST_F(CliStreamsTest, AConnectionThatIsCutEndsItWhileStdinIsOpen) {
  const std::pair<v1::CloseReason, const char*> kReasons[] = {
      {v1::CLOSE_REASON_PEER_RESET, "PEER_RESET: the other end has reset it"},
      {v1::CLOSE_REASON_SHUTDOWN, "SHUTDOWN: the daemon shuts down"},
      {static_cast<v1::CloseReason>(99), "99: the daemon has closed it"}};
  for (const auto& [reason, text] : kReasons) {
    daemon_.dial.set_answer(
        [reason = reason](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
          frames.Write(OpenedFrame("connections/9"));
          frames.Write(DataFrame("last words"));
          frames.Write(ClosedFrame(reason));
          return Status::OK;
        });
    Pipe input;
    const File output;
    EXPECT_EQ(RunOn(input.reader(), output.descriptor(), {"dial", "tcp:h:1"}),
              ExitStatus::kCut);
    EXPECT_EQ(output.text(), "last words");
    EXPECT_NE(err().find(absl::StrCat(
                  "\nportreeve: dial: connection cut: ", text, "\n")),
              std::string::npos)
        << err();
  }
}

TEST_F(CliStreamsTest, ThePeersResetCutsItBeforeAndAfterStdinHasEnded) {
  for (const bool says_reset : {true, false}) {
    for (const bool awaits_eof : {true, false}) {
      daemon_.dial.set_answer(
          [=](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
            frames.Write(OpenedFrame("connections/9"));
            v1::ClientFrame frame;
            while (awaits_eof && !frame.has_eof() && frames.Read(&frame)) {
            }
            frames.Write(DataFrame("last words"));
            frames.Write(EofFrame(says_reset));
            frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_RESET));
            return Status::OK;
          });
      Pipe input;
      if (awaits_eof) input.CloseWriter();
      const File output;
      EXPECT_EQ(RunOn(input.reader(), output.descriptor(), {"dial", "tcp:h:1"}),
                ExitStatus::kCut);
      EXPECT_EQ(output.text(), "last words");
    }
  }
}

TEST_F(CliStreamsTest, ClosedBeforeStdinHasEndedItIsCut) {
  daemon_.dial.set_answer(
      [](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
        frames.Write(OpenedFrame("connections/9"));
        frames.Write(EofFrame());
        // What this end sends meets a peer that is gone.
        frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_CLOSED));
        return Status::OK;
      });
  Pipe input;
  const File output;
  EXPECT_EQ(RunOn(input.reader(), output.descriptor(), {"dial", "tcp:h:1"}),
            ExitStatus::kCut);
  EXPECT_NE(err().find("connection cut: PEER_CLOSED: the other end has closed "
                       "it, before the input had ended\n"),
            std::string::npos)
      << err();
}

TEST_F(CliStreamsTest, OutputThatCannotBeWrittenCutsTheConnection) {
  daemon_.dial.set_answer(Echo);
  Pipe output;
  output.CloseReader();
  Pipe input;
  ASSERT_EQ(write(input.writer(), "x", 1), 1);
  EXPECT_EQ(RunOn(input.reader(), output.writer(), {"dial", "tcp:h:1"}),
            ExitStatus::kFailed);
  EXPECT_NE(err().find("portreeve: dial: DATA_LOSS: the output cannot be "
                       "written (Broken pipe); the connection was cut\n"),
            std::string::npos)
      << err();
}

TEST_F(CliStreamsTest, InputThatCannotBeReadCutsTheConnection) {
  daemon_.dial.set_answer(Echo);
  const int directory = open("/", O_RDONLY | O_CLOEXEC);
  const File output;
  EXPECT_EQ(RunOn(directory, output.descriptor(), {"dial", "tcp:h:1"}),
            ExitStatus::kFailed);
  EXPECT_NE(err().find("DATA_LOSS: the input cannot be read (Is a directory)"),
            std::string::npos)
      << err();
  close(directory);
}

TEST_F(CliStreamsTest, DialEndsAtItsTimeout) {
  daemon_.dial.set_answer(Echo);
  Pipe input;
  const File output;
  EXPECT_EQ(RunOn(input.reader(), output.descriptor(),
                  {"dial", "tcp:h:1", "--timeout", "100ms"}),
            ExitStatus::kTimedOut);
}

v1::HandleResponse Offer(const std::string& name) {
  v1::HandleResponse response;
  response.mutable_offer()->mutable_connection()->set_name(name);
  return response;
}

TEST_F(CliStreamsTest, AttachServesTheFirstThatItGetsOnTheTerminal) {
  daemon_.handle.set_answer(
      [](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        offers.Write(Offer("connections/1"));
        offers.Write(Offer("connections/2"));
        v1::HandleRequest verdict;
        offers.Read(&verdict);  // Until it leaves.
        return Status::OK;
      });
  daemon_.attach.set_answer(
      [](const v1::ClientFrame& first, FakeDaemon::Frames& frames) {
        if (first.attach().connection() == "connections/2") {
          return Echo(first, frames);
        }
        return Refusal(grpc::StatusCode::NOT_FOUND, "it is over", "NOT_FOUND");
      });
  const File input("hello");
  const File output;
  EXPECT_EQ(RunOn(input.descriptor(), output.descriptor(), {"attach", "web"}),
            ExitStatus::kDone);
  EXPECT_EQ(output.text(), "hello");
  EXPECT_EQ(err(),
            "portreeve: attach: waiting for connections of listeners/web\n"
            "portreeve: attach: connections/1: not attached: it is over\n"
            "portreeve: attach: connected to tcp:192.0.2.1:4711 "
            "(connections/2)\n");
  EXPECT_EQ(daemon_.handle.requests()[0].start().listener(), "listeners/web");
}

TEST_F(CliStreamsTest,
       AttachEndsWithItsListenerAndIsRefusedWhereItIsNotRemote) {
  daemon_.handle.set_answer([](const auto&, FakeDaemon::Offers& offers) {
    offers.SendInitialMetadata();
    return Status::OK;
  });
  EXPECT_EQ(Run({"attach", "listeners/web"}), ExitStatus::kDone);
  EXPECT_NE(err().find("listeners/web is closed"), std::string::npos);
  daemon_.handle.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::FAILED_PRECONDITION, "echo", "NOT_REMOTE");
  });
  EXPECT_EQ(Run({"attach", "web"}), ExitStatus::kRefused);
  EXPECT_EQ(err(),
            "portreeve: attach: NOT_REMOTE: echo; only listeners created with "
            "--remote are served by clients\n");
}

TEST_F(CliStreamsTest, WatchSaysWhereItBegins) {
  daemon_.watch_events.set_answer([](const auto&, FakeDaemon::Events& events) {
    events.SendInitialMetadata();
    return Status::OK;
  });
  EXPECT_EQ(Run({"watch", "--from-revision", "9000000000", "--instance-id",
                 "abc", "--retry-for", "0s", "--progress-interval", "off"}),
            ExitStatus::kUnreachable);
  EXPECT_EQ(Run({"watch", "--snapshot", "--retry-for", "0s"}),
            ExitStatus::kUnreachable);
  EXPECT_EQ(daemon_.watch_events.requests()[0].ShortDebugString(),
            "start_revision: 9000000000 instance_id: \"abc\"");
  EXPECT_EQ(daemon_.watch_events.requests()[1].ShortDebugString(),
            "initial_snapshot: true progress_interval { seconds: 20 }");
  EXPECT_EQ(Run({"watch", "--snapshot", "--from-revision", "1"}),
            ExitStatus::kUsage);
  EXPECT_EQ(err(),
            "portreeve: watch: --snapshot and --from-revision do not go "
            "together; see portreeve watch --help\n");
  EXPECT_EQ(Run({"watch", "--from-revision", "x"}), ExitStatus::kUsage);
}

TEST_F(CliStreamsTest, WatchTellsOfGapsAndSnapshots) {
  daemon_.watch_events.set_answer([](const auto&, FakeDaemon::Events& events) {
    v1::WatchEventsResponse burst;
    burst.add_events()->mutable_snapshot_done();
    v1::Event& event = *burst.add_events();
    event.set_revision(9);
    event.mutable_gap()->set_first_revision(7);
    event.mutable_gap()->set_last_revision(9);
    event.mutable_gap()->set_count(3);
    events.Write(burst);
    return Status::OK;
  });
  EXPECT_EQ(Run({"watch", "--snapshot", "--retry-for", "0s"}),
            ExitStatus::kUnreachable);
  EXPECT_EQ(out(),
            "0 1970-01-01T00:00:00.000Z snapshot_done -\n"
            "9 1970-01-01T00:00:00.000Z gap - first=7 last=9 count=3\n");
}

// One event of revision `revision`, and then the end.
void Tell(FakeDaemon::Events& events, int64_t revision) {
  v1::WatchEventsResponse response;
  v1::Event& event = *response.add_events();
  event.set_revision(revision);
  event.set_instance_id(revision < 10 ? "one" : "two");
  event.mutable_limit_reached();
  v1::Event& progress = *response.add_events();
  progress = event;
  progress.set_revision(revision + 1);
  progress.mutable_progress();
  events.Write(response);
}

TEST_F(CliStreamsTest, WatchGoesOnBehindWhatItKnows) {
  int call = 0;
  daemon_.watch_events.set_answer(
      [&call](const auto&, FakeDaemon::Events& events) {
        switch (++call) {
          case 1:  // A proxy cuts it.
            Tell(events, 5);
            return Status(grpc::StatusCode::INTERNAL, "cut");
          case 2:  // The daemon ends.
            Tell(events, 8);
            return Status::OK;
          case 3:
            return Refusal(grpc::StatusCode::FAILED_PRECONDITION, "another",
                           "INSTANCE_CHANGED");
          case 4:
            Tell(events, 11);
            return Status(grpc::StatusCode::UNAVAILABLE, "cut");
          default:
            return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no more",
                           "ROLE_REQUIRED");
        }
      });
  daemon_.get_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "none", "NOT_FOUND");
  });
  EXPECT_EQ(Run({"watch", "--listener", "a", "--progress-interval", "1m"}),
            ExitStatus::kRefused);
  const std::string same =
      "listeners: \"listeners/a\" progress_interval { seconds: 60 }";
  const auto requests = daemon_.watch_events.requests();
  ASSERT_EQ(requests.size(), 5u);
  EXPECT_EQ(requests[0].ShortDebugString(), same);
  EXPECT_EQ(requests[1].ShortDebugString(),
            "start_revision: 7 instance_id: \"one\" " + same);
  EXPECT_EQ(requests[2].ShortDebugString(),
            "start_revision: 10 instance_id: \"one\" " + same);
  EXPECT_EQ(requests[3].ShortDebugString(), "start_revision: 1 " + same);
  EXPECT_EQ(requests[4].ShortDebugString(),
            "start_revision: 13 instance_id: \"two\" " + same);
  EXPECT_EQ(out(),
            "5 1970-01-01T00:00:00.000Z limit_reached  limit=0\n"
            "8 1970-01-01T00:00:00.000Z limit_reached  limit=0\n"
            "11 1970-01-01T00:00:00.000Z limit_reached  limit=0\n");
  EXPECT_EQ(err(),
            "portreeve: watching " + daemon_.address() +
                "\n"
                "portreeve: watch: there is no listeners/a; waiting for one\n"
                "portreeve: watch: lost (cut); trying again\n"
                "portreeve: watch: back: watching on\n"
                "portreeve: watch: lost (it shuts down); trying again\n"
                "portreeve: watch: the daemon was started anew: revisions "
                "begin at 1 again\n"
                "portreeve: watch: back: watching on\n"
                "portreeve: watch: there is no listeners/a; waiting for one\n"
                "portreeve: watch: lost (cut); trying again\n"
                "portreeve: watch: ROLE_REQUIRED: no more; ask the daemon's "
                "operator: its --policy file gives that role to certificates "
                "(--tls-cert), users or groups\n");
}

Status HasMoved() {
  return Refusal(grpc::StatusCode::UNAVAILABLE, "another goes on", "MOVED");
}

TEST_F(CliStreamsTest, WatchGoesOnInTheNextProcessWithoutAWord) {
  int call = 0;
  daemon_.watch_events.set_answer(
      [&call](const auto&, FakeDaemon::Events& events) {
        switch (++call) {
          case 1:
            Tell(events, 1);
            return HasMoved();
          case 2:
            Tell(events, 3);
            return HasMoved();
          case 3:  // It is not there, after all.
            return Status(grpc::StatusCode::UNAVAILABLE, "refused");
          case 4:
            Tell(events, 5);
            return HasMoved();
          default:
            return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no more",
                           "ROLE_REQUIRED");
        }
      });
  EXPECT_EQ(Run({"watch", "--progress-interval", "off"}), ExitStatus::kRefused);
  const auto requests = daemon_.watch_events.requests();
  ASSERT_EQ(requests.size(), 5u);
  for (size_t i = 1; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].ShortDebugString(),
              absl::StrCat("start_revision: ",
                           i == 1   ? 3
                           : i == 4 ? 7
                                    : 5,
                           " instance_id: \"one\""));
  }
  const std::string said = err();
  EXPECT_EQ(said.substr(0, said.find("portreeve: watch: ROLE_REQUIRED")),
            "portreeve: watching " + daemon_.address() +
                "\n"
                "portreeve: watch: lost (refused); trying again\n"
                "portreeve: watch: back: watching on\n");
}

TEST_F(CliStreamsTest, AttachGoesOnInTheNextProcessWithoutAWord) {
  int call = 0;
  daemon_.handle.set_answer(
      [&call](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        ++call;
        if (call == 2) return HasMoved();  // It is told again.
        if (call == 3) return Status::CANCELLED;
        offers.SendInitialMetadata();
        if (call == 1) return HasMoved();
        offers.Write(Offer("connections/2"));
        v1::HandleRequest verdict;
        offers.Read(&verdict);  // Until it leaves.
        return Status::OK;
      });
  daemon_.attach.set_answer(Echo);
  const File input("hello");
  const File output;
  EXPECT_EQ(RunOn(input.descriptor(), output.descriptor(), {"attach", "web"}),
            ExitStatus::kDone);
  EXPECT_EQ(output.text(), "hello");
  EXPECT_EQ(err(),
            "portreeve: attach: waiting for connections of listeners/web\n"
            "portreeve: attach: connected to tcp:192.0.2.1:4711 "
            "(connections/2)\n");
}

// The next process offers it anew, perhaps to another worker.
TEST_F(CliStreamsTest, AnOfferThatHasMovedIsLeftWithoutAWord) {
  daemon_.handle.set_answer(
      [](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        offers.Write(Offer("connections/1"));
        offers.Write(Offer("connections/2"));
        v1::HandleRequest verdict;
        offers.Read(&verdict);  // Until it leaves.
        return Status::OK;
      });
  daemon_.attach.set_answer(
      [](const v1::ClientFrame& first, FakeDaemon::Frames& frames) {
        if (first.attach().connection() == "connections/1") return HasMoved();
        return Echo(first, frames);
      });
  const File input("hello");
  const File output;
  EXPECT_EQ(RunOn(input.descriptor(), output.descriptor(), {"attach", "web"}),
            ExitStatus::kDone);
  EXPECT_EQ(output.text(), "hello");
  EXPECT_EQ(daemon_.attach.requests().size(), 2u);
  EXPECT_EQ(err(),
            "portreeve: attach: waiting for connections of listeners/web\n"
            "portreeve: attach: connected to tcp:192.0.2.1:4711 "
            "(connections/2)\n");
}

TEST_F(CliStreamsTest, AConnectionGoesOnInTheNextProcessWithoutAWord) {
  constexpr size_t kMove = 300'000;
  std::string waiting;  // What the peer has not sent back yet.
  daemon_.dial.set_answer([&waiting](const auto&, FakeDaemon::Frames& frames) {
    frames.Write(client::OpenedFrame("connections/9"));
    size_t size = 0;
    for (v1::ClientFrame frame; size < kMove && frames.Read(&frame);) {
      size += frame.data().size();
      frames.Write(client::DataFrame(frame.data()));
    }
    frames.Write(client::MovedFrame());
    for (v1::ClientFrame frame; frames.Read(&frame);) {
      waiting += frame.data();
    }
    return Status::OK;
  });
  daemon_.attach.set_answer(
      [&waiting](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
        frames.Write(client::OpenedFrame("connections/9"));
        frames.Write(client::DataFrame(waiting));
        for (v1::ClientFrame frame; frames.Read(&frame);) {
          if (frame.has_done()) break;
          frames.Write(frame.has_eof() ? client::EofFrame()
                                       : client::DataFrame(frame.data()));
        }
        frames.Write(client::ClosedFrame(v1::CLOSE_REASON_HANDLER_DONE));
        return Status::OK;
      });
  const std::string text = Varied(2'000'003);
  const File input(text);
  const File output;
  EXPECT_EQ(RunOn(input.descriptor(), output.descriptor(), {"dial", "tcp:h:1"}),
            ExitStatus::kDone);
  EXPECT_TRUE(output.text() == text);
  EXPECT_EQ(err(),
            "portreeve: dial: connected to tcp:192.0.2.1:4711 "
            "(connections/9)\n");
  EXPECT_EQ(daemon_.attach.requests().size(), 1u);
}

TEST_F(CliStreamsTest, ALimitOnTheWayIsNotTheTimeout) {
  int call = 0;
  daemon_.watch_events.set_answer(
      [&call](const auto&, FakeDaemon::Events& events) {
        if (++call == 1) {
          events.SendInitialMetadata();
          return Status(grpc::StatusCode::DEADLINE_EXCEEDED, "a proxy's limit");
        }
        return Refusal(grpc::StatusCode::PERMISSION_DENIED, "no more",
                       "ROLE_REQUIRED");
      });
  EXPECT_EQ(Run({"watch", "--timeout", "24h"}), ExitStatus::kRefused);
  EXPECT_NE(err().find("lost (a proxy's limit); trying again\n"),
            std::string::npos)
      << err();
}

TEST_F(CliStreamsTest, TheTimeoutOfAWatchIsNotSaid) {
  daemon_.watch_events.set_answer(
      [this](const auto&, FakeDaemon::Events& events) {
        events.SendInitialMetadata();
        end_.WaitForNotification();
        return Status::OK;
      });
  EXPECT_EQ(Run({"watch", "--timeout", "1s"}), ExitStatus::kTimedOut);
  EXPECT_EQ(err(), "portreeve: watching " + daemon_.address() + "\n");
}

TEST_F(CliStreamsTest, WhatAttachHasWaitedCountsForItsConnectionToo) {
  daemon_.handle.set_answer(
      [this](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        offers.SendInitialMetadata();
        // A half of the time passes.
        end_.WaitForNotificationWithTimeout(absl::Seconds(1));
        offers.Write(Offer("connections/1"));
        v1::HandleRequest verdict;
        offers.Read(&verdict);
        return Status::OK;
      });
  daemon_.attach.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "it is over", "NOT_FOUND");
  });
  EXPECT_EQ(Run({"attach", "web", "--timeout", "2s"}), ExitStatus::kTimedOut);
  EXPECT_EQ(Run({"attach", "web", "--timeout", "2s", "--", "cat"}),
            ExitStatus::kTimedOut);
  const auto timeouts = daemon_.attach_timeouts();
  ASSERT_EQ(timeouts.size(), 2u);
  for (const auto timeout : timeouts) {
    EXPECT_LT(timeout, std::chrono::milliseconds(1500));
  }
}

TEST_F(CliStreamsTest, WatchsHelpKnowsEveryKind) {
  EXPECT_EQ(Run({"watch", "--help"}), ExitStatus::kDone);
  for (const std::string& kind : EnumTexts<v1::EventKind>()) {
    EXPECT_NE(out().find(absl::StrCat(" ", kind)), std::string::npos) << kind;
  }
}

TEST_F(CliStreamsTest, WhereTheDaemonNeverWasNothingIsTriedAgain) {
  for (const Arguments& verb : {Arguments{"watch"}, Arguments{"attach", "a"}}) {
    EXPECT_EQ(Run(verb, {.server = "tcp:127.0.0.1:1", .directory = "/"}),
              ExitStatus::kUnreachable);
  }
  EXPECT_EQ(Run({"watch", "--retry-for", "-1s"}), ExitStatus::kUsage);
  EXPECT_EQ(Run({"watch", "--progress-interval", "never"}), ExitStatus::kUsage);
}

TEST_F(CliStreamsTest, TlsFlagsThatDoNotGoTogetherAreWrongUsage) {
  const std::pair<Arguments, const char*> kWrong[] = {
      {{"list", "--tls-cert", "c"}, "--tls-cert and --tls-key ("},
      {{"list", "--tls-ca", "a", "--tls-key", "k"},
       "--tls-cert and --tls-key ("},
      {{"list", "--tls-cert", "c", "--tls-key", "k"}, "need --tls-ca"},
      {{"list", "--tls-server-name", "n"}, "need --tls-ca"},
      {{"list", "--tls-ca", ""}, "--tls-ca: expected a value"},
      {{"list", "--tls-ca", "none"},
       "the file '/nowhere/none' cannot be read: No such file or directory"},
  };
  for (const auto& [arguments, text] : kWrong) {
    EXPECT_EQ(
        Run(arguments, {.server = daemon_.address(), .directory = "/nowhere"}),
        ExitStatus::kUsage);
    EXPECT_NE(err().find(text), std::string::npos) << err();
  }
}

TEST_F(CliStreamsTest, TlsComesFromTheEnvironmentWhereNoFlagSaysOtherwise) {
  const Environment environment = {
      .server = daemon_.address(),
      .directory = "/nowhere",
      .tls = {.ca = "ca", .certificate = "cert", .key = "key"}};
  EXPECT_EQ(Run({"list"}, environment), ExitStatus::kUsage);
  EXPECT_NE(err().find("'/nowhere/ca'"), std::string::npos) << err();
  EXPECT_EQ(Run({"list", "--tls-ca", "/other"}, environment),
            ExitStatus::kUsage);
  EXPECT_NE(err().find("'/other'"), std::string::npos) << err();
  EXPECT_EQ(Run({"list"}, {.server = daemon_.address(),
                           .tls = {.certificate = "c", .key = "k"}}),
            ExitStatus::kUsage);
  EXPECT_NE(err().find("need --tls-ca (PORTREEVE_TLS_CA)"), std::string::npos);
}

}  // namespace
}  // namespace portreeve::cli
