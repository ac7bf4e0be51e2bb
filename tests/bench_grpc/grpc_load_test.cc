// Every mode of grpc_load does its work against a real server.  How long it
// takes is nobody's business here.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <cstdio>
#include <string>
#include <utility>

#include "tests/testing/daemon_process.h"

namespace portreeve {
namespace {

using testing::DaemonProcess;

// A command of the shell, and what it prints.
class Command {
 public:
  explicit Command(const std::string& command)
      : pipe_(popen(command.c_str(), "r")) {}
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() { Wait(); }

  // Without its end; "" at the end of what it prints.
  std::string ReadLine() {
    std::string line;
    int c;
    while ((c = std::fgetc(pipe_)) != EOF && c != '\n') {
      line.push_back(static_cast<char>(c));
    }
    return line;
  }

  // Its exit status, as waitpid(2) has it.
  int Wait() { return pipe_ == nullptr ? 0 : pclose(std::exchange(pipe_, {})); }

 private:
  FILE* pipe_;
};

// A grpc_peer.
class Peer {
 public:
  Peer() : command_("echo $$; exec bench/grpc/grpc_peer") {
    pid_ = std::stoi(command_.ReadLine());
    server_ = "127.0.0.1:" + command_.ReadLine().substr(sizeof "ready");
  }
  ~Peer() {
    kill(pid_, SIGTERM);
    EXPECT_EQ(command_.Wait(), 0);
  }

  const std::string& server() const { return server_; }
  pid_t pid() const { return pid_; }

 private:
  Command command_;
  pid_t pid_;
  std::string server_;
};

// The figures that grpc_load prints, by name; -1 for those that it does not.
class Figures {
 public:
  Figures(const std::string& mode, const std::string& server, pid_t pid,
          const std::string& options) {
    Command command("exec bench/grpc/grpc_load " + mode + " --server " +
                    server + " --pid " + std::to_string(pid) + " " + options +
                    " </dev/null");
    std::string line = command.ReadLine();
    if (line == "ready") line = command.ReadLine();
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(line, &figures_).ok())
        << line;
    EXPECT_EQ(command.Wait(), 0);
  }

  double operator[](const std::string& name) const {
    const auto it = figures_.fields().find(name);
    return it == figures_.fields().end() ? -1 : it->second.number_value();
  }

  double Latency(const std::string& percentile) const {
    const auto& latency = figures_.fields().at("latency_us").struct_value();
    return latency.fields().at(percentile).number_value();
  }

  std::string FirstError() const {
    const auto it = figures_.fields().find("first_error");
    return it == figures_.fields().end() ? "" : it->second.string_value();
  }

 private:
  google::protobuf::Struct figures_;
};

// Of a mode that has done `units` of work without an error.
void ExpectDone(const Figures& figures, double units) {
  EXPECT_EQ(figures["units"], units);
  EXPECT_EQ(figures["errors"], 0) << figures.FirstError();
  EXPECT_GT(figures["seconds"], 0);
  EXPECT_GT(figures["server_cpu_ns"], 0);
  EXPECT_GT(figures.Latency("p50"), 0);
  EXPECT_GE(figures.Latency("p99"), figures.Latency("p50"));
  EXPECT_GE(figures.Latency("p999"), figures.Latency("p99"));
}

class GrpcLoadTest : public ::testing::Test {
 protected:
  GrpcLoadTest() { EXPECT_TRUE(daemon_.WaitUntilReady()); }

  Figures Load(const std::string& mode, const std::string& options) {
    return Figures(mode, daemon_.Target(), daemon_.pid(), options);
  }

  DaemonProcess daemon_;
};

TEST_F(GrpcLoadTest, ControlCreatesAndCloses) {
  ExpectDone(Load("control", "--calls 20 --warm-up 3 --in-flight 4"), 20);
}

TEST_F(GrpcLoadTest, FirstByteComesBackBesideOtherListeners) {
  const Figures figures = Load("first_byte", "--listeners-open 5 --rounds 4");
  ExpectDone(figures, 4);
  EXPECT_GT(figures["create_us"], 0);
  EXPECT_LT(figures["create_us"], figures.Latency("p999"));
}

TEST_F(GrpcLoadTest, WatchCountsTheEventsOfEachWatcher) {
  // Created, updated thrice, close started, finished, handlers determined.
  const Figures figures = Load("watch", "--watchers 2 --lone-events 3");
  ExpectDone(figures, 2 * 7);
  EXPECT_EQ(figures["gaps"], 0);
  EXPECT_GE(figures["messages"], 2 * 5);  // The lone ones are.
}

TEST_F(GrpcLoadTest, RemoteBringsEveryByteBack) {
  const Figures figures =
      Load("remote", "--connections 3 --message 10000 --bytes 300000");
  ExpectDone(figures, 300000);
  EXPECT_GE(figures["frames"], 3);
}

TEST_F(GrpcLoadTest, ErrorsAreTold) {
  // The daemon does not have this service.
  const Figures figures = Load("unary", "--calls 4 --warm-up 0");
  EXPECT_EQ(figures["units"], 4);
  EXPECT_EQ(figures["errors"], 4);
  EXPECT_NE(figures.FirstError(), "");
}

TEST(GrpcPeerTest, AnswersUnaryCalls) {
  const Peer peer;
  ExpectDone(Figures("unary", peer.server(), peer.pid(),
                     "--calls 20 --warm-up 3 --in-flight 4"),
             20);
}

TEST(GrpcPeerTest, OpensAndClosesSockets) {
  const Peer peer;
  ExpectDone(Figures("sockets", peer.server(), peer.pid(),
                     "--calls 20 --warm-up 3 --in-flight 4"),
             20);
}

TEST(GrpcPeerTest, OpensAndClosesSocketsOnItsLoop) {
  const Peer peer;
  ExpectDone(Figures("sockets", peer.server(), peer.pid(),
                     "--on-loop --calls 20 --warm-up 3 --in-flight 4"),
             20);
}

TEST(GrpcPeerTest, SendsBackStreams) {
  const Peer peer;
  ExpectDone(Figures("bidi", peer.server(), peer.pid(),
                     "--connections 3 --message 10000 --bytes 300000"),
             300000);
}

TEST(GrpcPeerTest, HasClientsThatDoNothing) {
  const Peer peer;
  ExpectDone(Figures("hold", peer.server(), peer.pid(), "--streams 3"), 3);
}

}  // namespace
}  // namespace portreeve
