// ConnectSock to literals and files: what is connected, errors, timeout and
// interrupt.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

#include "tests/lib/connect_sock_fixture.h"

namespace portreeve::testing {
namespace {

// --- A connection is made -------------------------------------------------

TEST_F(ConnectSockTest, ConnectsToALiteral) {
  Acceptor acceptor = Listen("127.0.0.1");
  const int port = acceptor.local_endpoint().port();
  InetRunner runner(loop_, Connect("127.0.0.1", port, Options()));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  const Socket<Inet> socket = runner.value();
  EXPECT_EQ(socket.peer_address(), acceptor.local_endpoint());
  asio::ip::tcp::socket client = acceptor.accept();
  EXPECT_EQ(socket.local_address(), client.remote_endpoint());
  EXPECT_EQ(resolver_.num_lookups(), 0);
  EXPECT_NE(fcntl(socket.native_handle(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(fcntl(socket.native_handle(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(ConnectSockTest, SetsTheSocketOptions) {
  Acceptor acceptor = Listen("127.0.0.1");
  ConnectOptions options = Options();
  options.socket_options.keepalive_probes = 7;
  InetRunner runner(
      loop_, Connect("127.0.0.1", acceptor.local_endpoint().port(), options));
  RunToEnd(runner);
  int no_delay = 0, probes = 0;
  socklen_t size = sizeof(int);
  const int fd = runner.value().native_handle();
  getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
  getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, &size);
  EXPECT_EQ(no_delay, 1);
  EXPECT_EQ(probes, 7);
}

TEST_F(ConnectSockTest, ConnectsToAnIPv6Literal) {
  Acceptor acceptor = Listen("::1");
  InetRunner runner(
      loop_, Connect("::1", acceptor.local_endpoint().port(), Options()));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
}

TEST_F(ConnectSockTest, AnIPv4MappedLiteralIsIPv4) {
  Acceptor acceptor = Listen("127.0.0.1");
  ConnectOptions options = Options();
  std::vector<Inet::Address> asked;
  options.admit = [&](const Inet::Address& address) {
    asked.push_back(address);
    return absl::OkStatus();
  };
  InetRunner runner(loop_, Connect("::ffff:127.0.0.1",
                                   acceptor.local_endpoint().port(), options));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(asked, std::vector<Inet::Address>{acceptor.local_endpoint()});
  EXPECT_EQ(runner.value().peer_address(), acceptor.local_endpoint());
}

TEST_F(ConnectSockTest, TheUnspecifiedAddressIsAdmittedAsThisMachine) {
  const int port = FreePort("127.0.0.1");
  ConnectOptions options = Options();
  std::vector<Inet::Address> asked;
  options.admit = [&](const Inet::Address& address) {
    asked.push_back(address);
    return absl::PermissionDeniedError("no");
  };
  for (const char* host : {"0.0.0.0", "::", "::ffff:0.0.0.0"}) {
    EXPECT_EQ(Text(ErrorOf(host, port, options)), "no");
  }
  const Inet::Address v4(A("127.0.0.1"), port), v6(A("::1"), port);
  EXPECT_EQ(asked, (std::vector<Inet::Address>{v4, v6, v4}));
}

// --- Errors (f3) ----------------------------------------------------------

TEST_F(ConnectSockTest, F3_RefusedGoesToTheCaller) {
  const int port = FreePort("127.0.0.1");
  const absl::Status status = ErrorOf("127.0.0.1", port, Options());
  const std::string address = "tcp:127.0.0.1:" + std::to_string(port);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Text(status), "connect " + address + ": Connection refused");
  EXPECT_EQ(DetailOf(status).reason, Reason::kConnectRefused);
  EXPECT_EQ(DetailOf(status).error_number, ECONNREFUSED);
  EXPECT_EQ(DetailOf(status).address, address);
}

TEST_F(ConnectSockTest, F3_AMissingUnixPathIsNoSuchFile) {
  TemporaryDirectory directory;
  const std::string path = directory.File("missing");
  const absl::Status status =
      ErrorOf(WhereToConnect<Unix>::OfFile(path), Options());
  EXPECT_EQ(Text(status),
            "connect unix:" + path + ": No such file or directory");
  EXPECT_EQ(DetailOf(status).reason, Reason::kConnectRefused);
  EXPECT_EQ(DetailOf(status).error_number, ENOENT);
}

TEST_F(ConnectSockTest, F3_ARegularFileRefuses) {
  TemporaryDirectory directory;
  const std::string path = directory.File("regular");
  std::ofstream(path) << "text";
  const absl::Status status =
      ErrorOf(WhereToConnect<Unix>::OfFile(path), Options());
  EXPECT_EQ(Text(status), "connect unix:" + path + ": Connection refused");
  EXPECT_EQ(DetailOf(status).error_number, ECONNREFUSED);
}

TEST_F(ConnectSockTest, AnInvalidFieldIsRefusedBeforeAnything) {
  for (int port : {-1, 0, 65536, 70000}) {
    const absl::Status status = ErrorOf("localhost", port, Options());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(DetailOf(status).reason, Reason::kInvalidField);
    EXPECT_EQ(DetailOf(status).field, "port");
  }
  EXPECT_EQ(DetailOf(ErrorOf("", 80, Options())).field, "host");
  const auto long_path = WhereToConnect<Unix>::OfFile(std::string(108, 'a'));
  EXPECT_EQ(DetailOf(ErrorOf(long_path, Options())).field, "path");
  EXPECT_EQ(resolver_.num_lookups(), 0);
}

TEST_F(ConnectSockTest, OutOfDescriptorsIsFdLimit) {
  TemporaryDirectory directory;
  const auto file = WhereToConnect<Unix>::OfFile(directory.File("any"));
  InetRunner inet_runner(loop_, Connect("127.0.0.1", 80, Options()));
  UnixRunner unix_runner(loop_, ConnectSock<Unix>(file, Options()));
  // Nothing else happens without descriptors: UBSan needs some for its checks.
  asio::io_context& loop = loop_;
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
  loop.poll();
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(inet_runner.ended() && unix_runner.ended());
  for (const absl::Status& status :
       {inet_runner.status(), unix_runner.status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(DetailOf(status).reason, Reason::kFdLimit);
    EXPECT_EQ(DetailOf(status).error_number, EMFILE);
  }
}

// --- Timeout and interrupt (f4, f5, f6, f12) ------------------------------

TEST_F(ConnectSockTest, F4_TimeoutAgainstAFullBacklog) {
  BlackHole hole(loop_, "127.0.0.1");
  ConnectOptions options = Options();
  options.timeout = milliseconds(300);
  InetRunner runner(loop_, Connect("127.0.0.1", hole.port(), options));
  RunReady();
  time_.Advance(milliseconds(299));
  RunReady();
  EXPECT_FALSE(runner.ended());
  time_.Advance(milliseconds(1));
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(Text(runner.status()), "connection attempt timeout tcp:127.0.0.1:" +
                                       std::to_string(hole.port()));
  EXPECT_EQ(runner.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectTimeout);
}

TEST_F(ConnectSockTest, F4_InterruptAgainstAFullBacklog) {
  BlackHole hole(loop_, "127.0.0.1");
  const Ivar<> interrupt(Executor(loop_.get_executor()));
  ConnectOptions options = Options();
  options.interrupt = interrupt.deferred();
  InetRunner runner(loop_, Connect("127.0.0.1", hole.port(), options));
  RunReady();
  EXPECT_FALSE(runner.ended());
  interrupt.Fill();
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(Text(runner.status()), "connection attempt aborted tcp:127.0.0.1:" +
                                       std::to_string(hole.port()));
  EXPECT_EQ(runner.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectInterrupted);
}

// A unix socket whose server has as many clients waiting as it takes.
class FullBacklog {
 public:
  FullBacklog(asio::io_context& loop, const std::string& path)
      : path_(path), acceptor_(loop) {
    acceptor_.open();
    acceptor_.bind(Unix::Address(path));
    acceptor_.listen(0);
    filler_ = std::make_unique<asio::local::stream_protocol::socket>(loop);
    filler_->connect(Unix::Address(path));
  }
  WhereToConnect<Unix> where() const {
    return WhereToConnect<Unix>::OfFile(path_);
  }
  // Makes room for one client.
  void Drain() { acceptor_.accept(); }

 private:
  const std::string path_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::unique_ptr<asio::local::stream_protocol::socket> filler_;
};

// In the original it is an error at once.
TEST_F(ConnectSockTest, I3_AFullUnixBacklogIsTriedAgain) {
  TemporaryDirectory directory;
  FullBacklog server(loop_, directory.File("full"));
  UnixRunner runner(loop_, ConnectSock<Unix>(server.where(), Options()));
  RunReady();
  for (int delay : {1, 2, 4, 8, 16, 32, 64, 100, 100}) {
    EXPECT_FALSE(runner.ended());
    EXPECT_EQ(time_.earliest() - time_.Now(), milliseconds(delay));
    time_.Advance(milliseconds(delay));
    RunReady();
  }
  server.Drain();
  RunReady();
  EXPECT_FALSE(runner.ended());  // Nobody tells.
  time_.Advance(milliseconds(100));
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_TRUE(runner.status().ok());
  EXPECT_TRUE(runner.value().is_open());
}

TEST_F(ConnectSockTest, F4_TimeoutAgainstAFileWithAFullBacklog) {
  TemporaryDirectory directory;
  FullBacklog server(loop_, directory.File("full"));
  ConnectOptions options = Options();
  options.timeout = milliseconds(300);
  UnixRunner runner(loop_, ConnectSock<Unix>(server.where(), options));
  RunReady();
  for (int i = 0; i < 299; ++i) {
    time_.Advance(milliseconds(1));
    RunReady();
    ASSERT_FALSE(runner.ended());
  }
  time_.Advance(milliseconds(1));
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(Text(runner.status()),
            "connection attempt timeout " + ToString(server.where()));
  EXPECT_EQ(runner.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectTimeout);
  EXPECT_EQ(time_.earliest(), TimePoint::max());
}

TEST_F(ConnectSockTest, F4_InterruptAgainstAFileWithAFullBacklog) {
  TemporaryDirectory directory;
  FullBacklog server(loop_, directory.File("full"));
  const Ivar<> interrupt(Executor(loop_.get_executor()));
  ConnectOptions options = Options();
  options.interrupt = interrupt.deferred();
  UnixRunner runner(loop_, ConnectSock<Unix>(server.where(), options));
  RunReady();
  time_.Advance(milliseconds(10));
  RunReady();
  EXPECT_FALSE(runner.ended());
  interrupt.Fill();
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(Text(runner.status()),
            "connection attempt aborted " + ToString(server.where()));
  EXPECT_EQ(runner.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectInterrupted);
  EXPECT_EQ(time_.earliest(), TimePoint::max());
}

// At each of its steps, with and without an interrupt to wait for.
TEST_F(ConnectSockTest, AnAttemptAtAFullBacklogMayBeCancelled) {
  TemporaryDirectory directory;
  FullBacklog server(loop_, directory.File("full"));
  for (const bool with_interrupt : {false, true}) {
    for (int steps = 0; steps < 20; ++steps) {
      const Ivar<> never(Executor(loop_.get_executor()));
      ConnectOptions options = Options();
      if (with_interrupt) options.interrupt = never.deferred();
      UnixRunner runner(loop_, ConnectSock<Unix>(server.where(), options));
      for (int i = 0; i < steps; ++i) {
        loop_.restart();
        if (loop_.poll_one() == 0) time_.Advance(milliseconds(1));
      }
      runner.Cancel();
      RunReady();
      ASSERT_TRUE(runner.ended());
      EXPECT_TRUE(runner.cancelled());
      EXPECT_EQ(time_.earliest(), TimePoint::max());
    }
  }
}

// Whoever listens there no more is not waited for.
TEST_F(ConnectSockTest, AFileWhoseServerEndsIsRefused) {
  TemporaryDirectory directory;
  auto server = std::make_unique<FullBacklog>(loop_, directory.File("full"));
  UnixRunner runner(loop_, ConnectSock<Unix>(server->where(), Options()));
  RunReady();
  EXPECT_FALSE(runner.ended());
  server.reset();
  time_.Advance(milliseconds(1));
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectRefused);
}

TEST_F(ConnectSockTest, F5_TimeoutZeroAbortsAgainstALiveServer) {
  Acceptor acceptor = Listen("127.0.0.1");
  const int port = acceptor.local_endpoint().port();
  for (int timeout : {0, -1}) {
    ConnectOptions options = Options();
    options.timeout = seconds(timeout);
    EXPECT_EQ(
        Text(ErrorOf("127.0.0.1", port, options)),
        "connection attempt timeout tcp:127.0.0.1:" + std::to_string(port));
    // Nor is a name looked up.
    EXPECT_EQ(DetailOf(ErrorOf("name", port, options)).reason,
              Reason::kConnectTimeout);
  }
  EXPECT_FALSE(HasClient(acceptor));
  EXPECT_EQ(resolver_.num_lookups(), 0);
}

TEST_F(ConnectSockTest, F5_ADeterminedInterruptAbortsAgainstALiveServer) {
  Acceptor acceptor = Listen("127.0.0.1");
  const int port = acceptor.local_endpoint().port();
  const Ivar<> interrupt(Executor(loop_.get_executor()));
  interrupt.Fill();
  ConnectOptions options = Options();
  options.interrupt = interrupt.deferred();
  options.timeout = seconds(0);  // The interrupt comes first.
  EXPECT_EQ(Text(ErrorOf("127.0.0.1", port, options)),
            "connection attempt aborted tcp:127.0.0.1:" + std::to_string(port));
  EXPECT_FALSE(HasClient(acceptor));
}

TEST_F(ConnectSockTest, F5_TheSameForUnixSockets) {
  TemporaryDirectory directory;
  const std::string path = directory.File("live");
  asio::local::stream_protocol::acceptor acceptor(loop_, Unix::Address(path));
  ConnectOptions timeout = Options();
  timeout.timeout = seconds(0);
  const auto where = WhereToConnect<Unix>::OfFile(path);
  EXPECT_EQ(Text(ErrorOf(where, timeout)),
            "connection attempt timeout unix:" + path);
  const Ivar<> interrupt(Executor(loop_.get_executor()));
  interrupt.Fill();
  ConnectOptions interrupted = Options();
  interrupted.interrupt = interrupt.deferred();
  EXPECT_EQ(Text(ErrorOf(where, interrupted)),
            "connection attempt aborted unix:" + path);
  acceptor.non_blocking(true);
  error_code ec;
  acceptor.accept(ec);
  EXPECT_EQ(ec, asio::error::would_block);
}

TEST_F(ConnectSockTest, F6_NoEffectOnceConnected) {
  Acceptor acceptor = Listen("127.0.0.1");
  const Ivar<> interrupt(Executor(loop_.get_executor()));
  ConnectOptions options = Options();
  options.interrupt = interrupt.deferred();
  options.timeout = milliseconds(500);
  InetRunner runner(
      loop_, Connect("127.0.0.1", acceptor.local_endpoint().port(), options));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  interrupt.Fill();
  time_.Advance(seconds(60));
  RunReady();
  EXPECT_TRUE(runner.value().is_open());
  EXPECT_EQ(time_.earliest(), TimePoint::max());
  asio::ip::tcp::socket client = acceptor.accept();
  asio::write(client, asio::buffer("hi", 2));
  char data[2];
  EXPECT_EQ(asio::read(runner.value().asio_socket(), asio::buffer(data)), 2u);
}

TEST_F(ConnectSockTest, F12_TheDefaultTimeoutIs30s) {
  BlackHole hole(loop_, "127.0.0.1");
  InetRunner runner(loop_, Connect("127.0.0.1", hole.port(), Options()));
  RunReady();
  time_.Advance(milliseconds(29'999));
  RunReady();
  EXPECT_FALSE(runner.ended());
  time_.Advance(milliseconds(1));
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectTimeout);
}

TEST_F(ConnectSockTest, TheTimeoutCoversDns) {
  InetRunner runner(loop_, Connect("silent.example", 80, Options()));
  RunReady();
  EXPECT_EQ(resolver_.num_running(), 2);
  time_.Advance(seconds(30));
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(Text(runner.status()),
            "connection attempt timeout tcp:silent.example:80");
  EXPECT_EQ(resolver_.num_running(), 0);
}

TEST_F(ConnectSockTest, TheInterruptCoversDns) {
  const Ivar<> interrupt(Executor(loop_.get_executor()));
  ConnectOptions options = Options();
  options.interrupt = interrupt.deferred();
  InetRunner runner(loop_, Connect("silent.example", 80, options));
  RunReady();
  interrupt.Fill();
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(Text(runner.status()),
            "connection attempt aborted tcp:silent.example:80");
  EXPECT_EQ(resolver_.num_running(), 0);
}

// --- Connections that end, or are given up --------------------------------

// "" while there is nothing to read.
std::string EndOf(asio::ip::tcp::socket& server_side) {
  error_code ec;
  char byte;
  server_side.read_some(asio::buffer(&byte, 1), ec);
  return ec == asio::error::eof                ? "EOF"
         : ec == asio::error::connection_reset ? "ECONNRESET"
                                               : "";
}

// Whoever looks whether it is connected takes the error from the socket.
TEST_F(ConnectSockTest, AResetThatComesAtOnceIsNoEnd) {
  Acceptor acceptor = Listen("127.0.0.1");
  ConnectOptions options = Options();
  options.around_connect = [&](const Inet::Address&,
                               absl::FunctionRef<int()> connect) {
    const int fd = connect();
    asio::ip::tcp::socket client = acceptor.accept();
    client.set_option(asio::socket_base::linger(true, 0));
    client.close();
    pollfd reset{fd, 0, 0};
    EXPECT_EQ(poll(&reset, 1, 20'000), 1);
  };
  InetRunner runner(
      loop_, Connect("127.0.0.1", acceptor.local_endpoint().port(), options));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  char byte;
  EXPECT_EQ(runner.value().core()->Receive(&byte, 1), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

// One that the loop has not heard of is connected to its server.
TEST_F(ConnectSockTest, WhatIsConnectedWhenTimeIsUpIsReset) {
  Acceptor acceptor = Listen("127.0.0.1");
  bool begun = false;
  ConnectOptions options = Options();
  options.around_connect = [&](const Inet::Address&,
                               absl::FunctionRef<int()> connect) {
    connect();
    begun = true;
  };
  InetRunner runner(
      loop_, Connect("127.0.0.1", acceptor.local_endpoint().port(), options));
  while (!begun) ASSERT_EQ(loop_.poll_one(), 1u);
  asio::ip::tcp::socket client = acceptor.accept();
  time_.Advance(options.timeout);
  RunReady();
  ASSERT_TRUE(runner.ended());
  EXPECT_EQ(DetailOf(runner.status()).reason, Reason::kConnectTimeout);
  EXPECT_EQ(EndOf(client), "ECONNRESET");
}

// At each step of an attempt that succeeds.
TEST_F(ConnectSockTest, WhatIsConnectedWhenItIsCancelledIsReset) {
  Acceptor acceptor = Listen("127.0.0.1");
  acceptor.non_blocking(true);
  int num_reset = 0;
  for (int steps = 0;; ++steps) {
    ASSERT_LT(steps, 100);
    InetRunner runner(
        loop_,
        Connect("127.0.0.1", acceptor.local_endpoint().port(), Options()));
    for (int i = 0; i < steps; ++i) {
      loop_.restart();
      loop_.poll_one();
    }
    runner.Cancel();
    RunReady();
    ASSERT_TRUE(runner.ended());
    if (!runner.cancelled()) break;  // It was too late.
    error_code ec;
    asio::ip::tcp::socket client(loop_);
    acceptor.accept(client, ec);
    if (ec) continue;
    EXPECT_EQ(EndOf(client), "ECONNRESET") << steps;
    ++num_reset;
  }
  EXPECT_GT(num_reset, 1);
}

// --- Unix sockets ---------------------------------------------------------

TEST_F(ConnectSockTest, ConnectsToAFile) {
  TemporaryDirectory directory;
  const std::string path = directory.File("live");
  asio::local::stream_protocol::acceptor acceptor(loop_, Unix::Address(path));
  UnixRunner runner(
      loop_, ConnectSock<Unix>(WhereToConnect<Unix>::OfFile(path), Options()));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().path(), path);
  EXPECT_EQ(runner.value().local_address().path(), "");
}

}  // namespace
}  // namespace portreeve::testing
