// attach with a command for each connection.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/frames.h"
#include "tests/testing/descriptors.h"

namespace portreeve::cli {
namespace {

using client::ClosedFrame;
using client::DataFrame;
using client::EofFrame;
using client::FakeDaemon;
using client::OpenedFrame;
using grpc::Status;

// What a command said.
struct Said {
  std::string data;
  std::string ends;  // "eof done ": the other frames, in order.
};

// Reads until `done`, or the end of the stream.
Said ReadAll(FakeDaemon::Frames& frames) {
  Said said;
  v1::ClientFrame frame;
  while (!frame.has_done() && frames.Read(&frame)) {
    if (frame.has_data()) said.data += frame.data();
    if (frame.has_eof()) said.ends += "eof ";
    if (frame.has_done()) said.ends += "done ";
    if (frame.has_reset()) said.ends += "reset ";
  }
  return said;
}

class CliCommandTest : public CliTest {
 protected:
  // A peer whose connection was cut may play on for a moment.
  ~CliCommandTest() override { AwaitPeers(); }

  using Script = std::function<Status(FakeDaemon::Frames&, Said&)>;

  // Offers `count` connections; the listener is closed then.
  void OfferMany(int count) {
    daemon_.handle.set_answer(
        [count](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
          for (int i = 1; i <= count; ++i) {
            v1::HandleResponse response;
            response.mutable_offer()->mutable_connection()->set_name(
                absl::StrCat("connections/", i));
            offers.Write(response);
          }
          return Status::OK;
        });
  }

  // Offers one connection; the listener stays, until the worker has left.
  void OfferOneAndStay() {
    daemon_.handle.set_answer([left = left_](const v1::HandleRequest&,
                                             FakeDaemon::Offers& offers) {
      v1::HandleResponse response;
      response.mutable_offer()->mutable_connection()->set_name("connections/1");
      offers.Write(response);
      v1::HandleRequest verdict;
      offers.Read(&verdict);
      left->Notify();
      return Status::OK;
    });
  }
  void AwaitLeaving() { left_->WaitForNotification(); }

  // What each connection's peer does, after `opened`; `said` is by name.
  void Play(Script script) {
    daemon_.attach.set_answer([this, script](const v1::ClientFrame& first,
                                             FakeDaemon::Frames& frames) {
      const std::string& name = first.attach().connection();
      {
        absl::MutexLock lock(&mutex_);
        ++num_playing_;
      }
      before_opened_();
      frames.Write(OpenedFrame(name));
      Said said;
      const Status status = script(frames, said);
      absl::MutexLock lock(&mutex_);
      said_[name] = said;
      --num_playing_;
      return status;
    });
  }

  // Runs the command for `count` connections, each of which sends `input` and
  // FIN, and is closed once the command is done.
  ExitStatus Serve(const std::string& input, const Arguments& command,
                   int count = 1) {
    OfferMany(count);
    Play([input](FakeDaemon::Frames& frames, Said& said) {
      if (!input.empty()) frames.Write(DataFrame(input));
      frames.Write(EofFrame());
      said = ReadAll(frames);
      frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_CLOSED));
      return Status::OK;
    });
    return Attach(command);
  }

  ExitStatus Attach(const Arguments& command, const Arguments& flags = {}) {
    Arguments arguments = {"attach", "web"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.push_back("--");
    arguments.insert(arguments.end(), command.begin(), command.end());
    return Run(arguments, {.server = daemon_.address(), .directory = "/"});
  }

  // Once every peer has played its part.
  Said said(int number = 1) {
    AwaitPeers();
    absl::MutexLock lock(&mutex_);
    return said_[absl::StrCat("connections/", number)];
  }

  // What comes before `opened`, on the peer's thread.
  std::function<void()> before_opened_ = [] {};

 private:
  void AwaitPeers() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* num_playing) { return *num_playing == 0; }, &num_playing_));
  }

  // A worker's call may end after the test.
  const std::shared_ptr<absl::Notification> left_ =
      std::make_shared<absl::Notification>();
  absl::Mutex mutex_;
  // Guarded by mutex_.
  int num_playing_ = 0;
  std::map<std::string, Said> said_;
};

const char kWaiting[] =
    "portreeve: attach: waiting for connections of listeners/web\n";

TEST_F(CliCommandTest, TheCommandsStdinAndStdoutAreTheConnection) {
  EXPECT_EQ(Serve("hello", {"cat"}), ExitStatus::kDone);
  EXPECT_EQ(said().data, "hello");
  EXPECT_EQ(said().ends, "done ");
  EXPECT_EQ(err(), kWaiting);
  EXPECT_EQ(out(), "");
}

TEST_F(CliCommandTest, ItKnowsItsConnection) {
  EXPECT_EQ(Serve("", {"sh", "-c",
                       "echo $PORTREEVE_CONNECTION $PORTREEVE_LISTENER "
                       "$PORTREEVE_PEER $PORTREEVE_LOCAL; pwd"}),
            ExitStatus::kDone);
  EXPECT_EQ(said().data,
            "connections/1 listeners/web tcp:192.0.2.1:4711 unix:/run/web\n"
            "/\n");
}

TEST_F(CliCommandTest, ItsArgumentsAreTakenAsTheyAre) {
  EXPECT_EQ(Serve("", {"printf", "%s|", "--server", "[a,b]", "", "--", "a b"}),
            ExitStatus::kDone);
  EXPECT_EQ(said().data, "--server|[a,b]||--|a b|");
}

TEST_F(CliCommandTest, ItInheritsNothingElse) {
  EXPECT_EQ(Serve("", {"sh", "-c", "cd /proc/$$/fd && echo *"}),
            ExitStatus::kDone);
  // 3 is the directory that the shell reads.
  EXPECT_EQ(said().data, "0 1 2 3\n");
}

TEST_F(CliCommandTest, ItsExitStatusIsToldAndChangesNothing) {
  EXPECT_EQ(Serve("", {"sh", "-c", "echo x; exit 3"}), ExitStatus::kDone);
  EXPECT_EQ(said().data, "x\n");
  EXPECT_EQ(err(), absl::StrCat(kWaiting,
                                "portreeve: attach: connections/1: the command "
                                "exited with 3\n"));
}

TEST_F(CliCommandTest, InputThatItDoesNotReadDoesNotHoldItsEnd) {
  EXPECT_EQ(Serve(std::string(1'000'000, 'x'), {"echo", "no thanks"}),
            ExitStatus::kDone);
  EXPECT_EQ(said().data, "no thanks\n");
  EXPECT_EQ(said().ends, "done ");
}

TEST_F(CliCommandTest, ItMayEndItsDirectionAndReadOn) {
  OfferMany(1);
  Play([](FakeDaemon::Frames& frames, Said& said) {
    v1::ClientFrame frame;
    while (!frame.has_eof() && frames.Read(&frame)) said.data += frame.data();
    frames.Write(DataFrame("still here"));
    frames.Write(EofFrame());
    said.ends = ReadAll(frames).ends;
    frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_CLOSED));
    return Status::OK;
  });
  // Tells by its exit status what it has read.
  EXPECT_EQ(Attach({"perl", "-e",
                    "$| = 1; print 'bye'; shutdown(STDOUT, 1); "
                    "exit(<STDIN> eq 'still here' ? 7 : 1)"}),
            ExitStatus::kDone);
  EXPECT_EQ(said().data, "bye");
  EXPECT_EQ(said().ends, "done ");
  EXPECT_NE(err().find("exited with 7"), std::string::npos) << err();
}

TEST_F(CliCommandTest, ItWritesOnAfterThePeersFin) {
  EXPECT_EQ(Serve("1\n2\n", {"sh", "-c", "cat >/dev/null; echo all read"}),
            ExitStatus::kDone);
  EXPECT_EQ(said().data, "all read\n");
}

// A connection that is cut at once.
Status CutAtOnce(FakeDaemon::Frames& frames, Said&) {
  frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_RESET));
  return Status::OK;
}

TEST_F(CliCommandTest, OneThatWritesToACutConnectionFails) {
  OfferMany(1);
  Play(CutAtOnce);
  EXPECT_EQ(Attach({"yes"}), ExitStatus::kDone);
  // SIGPIPE, or EPIPE alone where it waited for room.
  EXPECT_NE(err().find(": the command "), std::string::npos) << err();
}

// How much a command's socket takes that is not read, by blocks of `size`.
size_t RoomInSocket(size_t size) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const std::string block(size, 'x');
  size_t room = 0;
  ssize_t count;
  while ((count = send(ends[0], block.data(), size, MSG_DONTWAIT)) > 0) {
    room += static_cast<size_t>(count);
  }
  close(ends[0]);
  close(ends[1]);
  return room;
}

TEST_F(CliCommandTest, OneThatOnlyWritesFailsThoughItsInputIsFull) {
  OfferMany(1);
  Play([](FakeDaemon::Frames& frames, Said&) {
    constexpr size_t kBlock = 16 * 1024;
    // The last blocks wait in the stream, few enough not to hold up its end.
    const size_t all = RoomInSocket(kBlock) + 3 * kBlock;
    for (size_t sent = 0; sent < all; sent += kBlock) {
      frames.Write(DataFrame(std::string(kBlock, 'x')));
    }
    return Status(grpc::StatusCode::UNAVAILABLE, "the daemon has gone");
  });
  // The alarm ends it where nothing else does.
  EXPECT_EQ(
      Attach({"perl", "-e", "alarm 20; 1 while syswrite STDOUT, 'x' x 1000"}),
      ExitStatus::kDone);
  EXPECT_EQ(err().find("ended by signal 14"), std::string::npos) << err();
  EXPECT_NE(err().find(": cut: the daemon has gone"), std::string::npos)
      << err();
}

TEST_F(CliCommandTest, OneThatReadsACutConnectionGetsItsEndAndANoteTells) {
  OfferMany(1);
  Play(CutAtOnce);
  EXPECT_EQ(Attach({"cat"}), ExitStatus::kDone);
  EXPECT_EQ(err(), absl::StrCat(kWaiting,
                                "portreeve: attach: connections/1: cut: "
                                "PEER_RESET: the other end has reset it\n"));
}

TEST_F(CliCommandTest, OneThatDoesNotCareGetsSigtermAfterTheGrace) {
  OfferMany(1);
  Play(CutAtOnce);
  EXPECT_EQ(Attach({"sleep", "1000"}, {"--grace", "50ms"}), ExitStatus::kDone);
  EXPECT_NE(err().find("was ended by signal 15"), std::string::npos) << err();
}

// `closed` is behind bytes that nobody takes.
TEST_F(CliCommandTest, OneThatNeverReadsGetsSigtermThoughMoreHasComeThanFits) {
  OfferMany(1);
  absl::Notification asked;
  daemon_.get_connection.set_answer(
      [&](const v1::GetConnectionRequest& request, v1::Connection&) {
        EXPECT_EQ(request.name(), "connections/1");
        if (!asked.HasBeenNotified()) asked.Notify();
        return Status(grpc::StatusCode::NOT_FOUND, "it is over");
      });
  Play([&](FakeDaemon::Frames& frames, Said&) {
    const v1::ServerFrame block = DataFrame(std::string(16 * 1024, 'x'));
    while (!asked.HasBeenNotified() && frames.Write(block)) {
    }
    frames.Write(EofFrame(true));
    frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_RESET));
    return Status::OK;
  });
  EXPECT_EQ(Attach({"sleep", "1000"}, {"--grace", "50ms"}), ExitStatus::kDone);
  EXPECT_EQ(err(), absl::StrCat(kWaiting,
                                "portreeve: attach: connections/1: cut: "
                                "PEER_RESET: the other end has reset it\n"
                                "portreeve: attach: connections/1: the command "
                                "was ended by signal 15\n"));
}

// A pipe with a name, on which a command waits.
class Gate {
 public:
  Gate() {
    EXPECT_NE(mkdtemp(folder_), nullptr);
    path_ = absl::StrCat(folder_, "/gate");
    EXPECT_EQ(mkfifo(path_.c_str(), 0600), 0);
  }
  ~Gate() {
    unlink(path_.c_str());
    rmdir(folder_);
  }

  const std::string& path() const { return path_; }
  // Waits for the command, and lets it go on.
  void Open() const { close(open(path_.c_str(), O_WRONLY | O_CLOEXEC)); }

 private:
  char folder_[32] = "/tmp/portreeve-test-XXXXXX";
  std::string path_;
};

TEST_F(CliCommandTest, OneThatReadsLateGetsAllOfAConnectionThatIsThere) {
  OfferMany(1);
  const Gate gate;
  std::atomic<int> num_asked = 0;
  daemon_.get_connection.set_answer(
      [&](const v1::GetConnectionRequest& request, v1::Connection& connection) {
        connection.set_name(request.name());
        connection.set_state(v1::CONNECTION_STATE_OPEN);
        if (++num_asked == 3) gate.Open();
        return Status::OK;
      });
  const std::string block(16 * 1024, 'x');
  const size_t num_blocks = RoomInSocket(block.size()) / block.size() + 100;
  Play([&](FakeDaemon::Frames& frames, Said& said) {
    for (size_t i = 0; i < num_blocks; ++i) frames.Write(DataFrame(block));
    frames.Write(EofFrame());
    said = ReadAll(frames);
    frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_CLOSED));
    return Status::OK;
  });
  EXPECT_EQ(Attach({"sh", "-c", "cat \"$0\"; exec wc -c", gate.path()},
                   {"--grace", "0s"}),
            ExitStatus::kDone);
  EXPECT_EQ(said().data, absl::StrCat(num_blocks * block.size(), "\n"));
  EXPECT_EQ(err(), kWaiting);
}

TEST_F(CliCommandTest, HundredAtTheSameTime) {
  constexpr int kCount = 100;
  OfferMany(kCount);
  std::atomic<int> num_here = 0;
  absl::Notification all_here;
  Play([&](FakeDaemon::Frames& frames, Said& said) {
    frames.Write(DataFrame("x"));
    v1::ClientFrame frame;
    frames.Read(&frame);
    if (++num_here == kCount) all_here.Notify();
    all_here.WaitForNotification();
    frames.Write(EofFrame());
    said = ReadAll(frames);
    said.data = frame.data();
    frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_CLOSED));
    return Status::OK;
  });
  EXPECT_EQ(Attach({"cat"}), ExitStatus::kDone);
  for (int i = 1; i <= kCount; ++i) {
    EXPECT_EQ(said(i).data, "x") << i;
    EXPECT_EQ(said(i).ends, "done ") << i;
  }
  EXPECT_EQ(err(), kWaiting);
}

TEST_F(CliCommandTest, LeavesNoDescriptorsBehind) {
  EXPECT_EQ(Serve("x", {"cat"}, 2), ExitStatus::kDone);  // gRPC has its own.
  const int before = testing::CountDescriptorsButTcp();
  EXPECT_EQ(Serve("x", {"cat"}, 20), ExitStatus::kDone);
  EXPECT_LE(testing::CountDescriptorsButTcp(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is not collected";
}

TEST_F(CliCommandTest, ASignalCutsTheConnectionsAndWaitsForTheCommands) {
  OfferOneAndStay();
  absl::Notification served;
  Play([&](FakeDaemon::Frames& frames, Said& said) {
    frames.Write(DataFrame("x"));
    v1::ClientFrame frame;
    frames.Read(&frame);
    served.Notify();
    said = ReadAll(frames);
    return Status::OK;
  });
  auto run = std::async(std::launch::async, [&] { return Attach({"cat"}); });
  served.WaitForNotification();
  EXPECT_EQ(raise(SIGTERM), 0);
  EXPECT_EQ(run.get(), ExitStatus::kDone);
  EXPECT_EQ(err(), kWaiting);
  EXPECT_EQ(said().ends, "");
}

TEST_F(CliCommandTest, ASignalCutsTheConnectionThatIsOpenedAfterIt) {
  OfferOneAndStay();
  before_opened_ = [this] {
    EXPECT_EQ(raise(SIGTERM), 0);
    // By then those that were open have been cut.
    AwaitLeaving();
  };
  Play([](FakeDaemon::Frames& frames, Said& said) {
    said = ReadAll(frames);
    frames.Write(ClosedFrame(v1::CLOSE_REASON_HANDLER_DONE));
    return Status::OK;
  });
  EXPECT_EQ(Attach({"echo", "served"}), ExitStatus::kDone);
  EXPECT_EQ(said().data, "");
  EXPECT_EQ(said().ends, "");
}

TEST_F(CliCommandTest, ASignalEndsTheWaitForTheWorkersStart) {
  absl::Notification asked;
  daemon_.handle.set_answer([&](const auto&, auto&) {
    asked.Notify();
    end_.WaitForNotification();
    return Status::OK;
  });
  auto run = std::async(std::launch::async, [&] { return Attach({"cat"}); });
  asked.WaitForNotification();
  EXPECT_EQ(raise(SIGTERM), 0);
  EXPECT_EQ(run.get(), ExitStatus::kDone);
  EXPECT_EQ(err(), "");
}

TEST_F(CliCommandTest, ASignalEndsTheWaitForAConnection) {
  OfferOneAndStay();
  absl::Notification asked;
  absl::Notification over;
  before_opened_ = [&] {
    asked.Notify();
    over.WaitForNotification();
  };
  Play(CutAtOnce);
  auto run = std::async(std::launch::async, [&] { return Attach({"cat"}); });
  asked.WaitForNotification();
  EXPECT_EQ(raise(SIGTERM), 0);
  EXPECT_EQ(run.get(), ExitStatus::kDone);
  over.Notify();
  said();
  EXPECT_EQ(err(), kWaiting);
}

TEST_F(CliCommandTest, OfOthersErrorsItAnswersRaise) {
  v1::HandleRequest verdict;
  daemon_.handle.set_answer(
      [&](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        v1::HandleResponse response;
        response.mutable_handler_error()->set_id("e1");
        response.mutable_handler_error()->set_connection("connections/4");
        response.mutable_handler_error()->set_message("oh\nno");
        offers.Write(response);
        offers.Read(&verdict);
        return Status::OK;
      });
  EXPECT_EQ(Attach({"cat"}), ExitStatus::kDone);
  EXPECT_EQ(verdict.verdict().handler_error_id(), "e1");
  EXPECT_EQ(verdict.verdict().verdict(), v1::HANDLER_VERDICT_RAISE);
  EXPECT_NE(err().find("connections/4: a handler raised: oh\\nno; the answer "
                       "is RAISE\n"),
            std::string::npos)
      << err();
}

TEST_F(CliCommandTest, WhatCannotRunIsSaidBeforeAnythingIsAsked) {
  OfferMany(1);
  for (const char* command : {"portreeve-no-such-program", "/etc", "./none"}) {
    EXPECT_EQ(Attach({command}), ExitStatus::kFailed);
    EXPECT_EQ(err(), absl::StrCat("portreeve: attach: NOT_FOUND: '", command,
                                  "' is no program that can be run\n"));
  }
  EXPECT_EQ(Attach({}), ExitStatus::kUsage);
  EXPECT_EQ(Run({"attach", "web", "--grace", "1s"}), ExitStatus::kUsage);
  EXPECT_TRUE(daemon_.handle.requests().empty());
}

TEST_F(CliCommandTest, OneThatDoesNotStartResetsTheConnection) {
  OfferMany(1);
  Play([](FakeDaemon::Frames& frames, Said& said) {
    v1::ClientFrame frame;
    frames.Read(&frame);
    said.ends = frame.has_reset() ? "reset" : "";
    frames.Write(ClosedFrame(v1::CLOSE_REASON_HANDLER_DONE));
    return Status::OK;
  });
  char script[] = "/tmp/portreeve-test-XXXXXX";
  const int file = mkstemp(script);
  ASSERT_EQ(write(file, "#!/nonexistent\n", 15), 15);
  fchmod(file, 0700);
  close(file);
  EXPECT_EQ(Attach({script}), ExitStatus::kDone);
  unlink(script);
  EXPECT_EQ(said().ends, "reset");
  EXPECT_EQ(err(), absl::StrCat(kWaiting, "portreeve: attach: connections/1: ",
                                "starting '", script,
                                "': No such file or directory\n"));
}

}  // namespace
}  // namespace portreeve::cli
