// What the tests of ConnectSock share: a loop with a clock of its own, a
// resolver that says what the test says, and black holes.
#ifndef PORTREEVE_TESTS_LIB_CONNECT_SOCK_FIXTURE_H_
#define PORTREEVE_TESTS_LIB_CONNECT_SOCK_FIXTURE_H_

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/base/time_source.h"
#include "lib/connect/connect.h"
#include "tests/lib/task_runner.h"
#include "tests/testing/descriptors.h"

namespace portreeve::testing {

using Addresses = std::vector<asio::ip::address>;
using Acceptor = asio::ip::tcp::acceptor;
using Family = Resolver::Family;
using InetRunner = TaskRunner<Socket<Inet>>;
using UnixRunner = TaskRunner<Socket<Unix>>;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline asio::ip::address A(const char* text) {
  return asio::ip::make_address(text);
}

// Gives each family what the test says, when it says so; until then a lookup
// waits, for ever if need be.
class FakeResolver : public Resolver {
 public:
  explicit FakeResolver(asio::io_context& loop)
      : executor_(loop.get_executor()) {}

  void Answer(Family family, Addresses addresses) {
    answers_[family].addresses = std::move(addresses);
    Gate(family).FillIfEmpty();
  }
  void Fail(Family family, absl::Status error) {
    answers_[family].error = std::move(error);
    Gate(family).FillIfEmpty();
  }

  int num_running() const { return num_running_; }
  int num_lookups() const { return num_lookups_; }

  Task<Addresses> Lookup(std::string /*host*/, Family family) override {
    ++num_lookups_;
    const Running running(num_running_);
    co_await Gate(family).deferred().Wait();
    if (!answers_[family].error.ok()) throw StatusError(answers_[family].error);
    co_return answers_[family].addresses;
  }

 private:
  struct Result {
    Addresses addresses;
    absl::Status error;
  };
  class Running {
   public:
    explicit Running(int& count) : count_(count) { ++count_; }
    ~Running() { --count_; }

   private:
    int& count_;
  };

  Ivar<>& Gate(Family family) {
    return gates_.try_emplace(family, executor_).first->second;
  }

  const Executor executor_;
  std::map<Family, Ivar<>> gates_;
  std::map<Family, Result> answers_;
  int num_running_ = 0;
  int num_lookups_ = 0;
};

// A listener that answers no more SYNs: its backlog is full, and it never
// accepts (as f4 and l2 do it).
class BlackHole {
 public:
  BlackHole(asio::io_context& loop, const char* address, int port = 0)
      : acceptor_(loop) {
    const Inet::Address where(A(address), static_cast<uint16_t>(port));
    acceptor_.open(where.protocol());
    acceptor_.set_option(Acceptor::reuse_address(true));
    acceptor_.bind(where);
    acceptor_.listen(0);
    // One more than the backlog fits in.
    filler_ = std::make_unique<asio::ip::tcp::socket>(loop);
    filler_->connect(acceptor_.local_endpoint());
  }
  int port() const { return acceptor_.local_endpoint().port(); }

  // Makes room for one client.
  void Drain() { acceptor_.accept(); }
  // The one that Drain() has made room for, once it is connected.
  asio::ip::tcp::socket Accept() { return acceptor_.accept(); }

 private:
  Acceptor acceptor_;
  std::unique_ptr<asio::ip::tcp::socket> filler_;
};

inline std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

class ConnectSockTest : public ::testing::Test {
 protected:
  ConnectSockTest() : resolver_(loop_) {
    // Asio opens what it keeps with the first socket.
    asio::ip::tcp::socket warm_up(loop_, asio::ip::tcp::v4());
    warm_up.close();
    num_fds_ = CountDescriptors();
  }
  ~ConnectSockTest() override {
    loop_.restart();
    loop_.run();  // It runs dry: nothing was left behind.
    EXPECT_EQ(CountDescriptors(), num_fds_);
    EXPECT_EQ(resolver_.num_running(), 0);
  }

  Acceptor Listen(const char* address, int port = 0) {
    return Acceptor(loop_, Inet::Address(A(address), port));
  }

  // The port that the OS gives at one address may be somebody else's at
  // another: calls `open` until it has one port at all of its addresses.
  template <typename Open>
  static auto OpenAll(Open open) {
    for (;;) {
      try {
        return open();
      } catch (const boost::system::system_error& error) {
        if (error.code() != asio::error::address_in_use) throw;
      }
    }
  }

  // A black hole and a listener that have one port.
  std::pair<BlackHole, Acceptor> HoleAndListener(const char* hole,
                                                 const char* listener) {
    return OpenAll([&] {
      BlackHole first(loop_, hole);
      Acceptor second = Listen(listener, first.port());
      return std::pair(std::move(first), std::move(second));
    });
  }

  std::pair<Acceptor, Acceptor> TwoListeners(const char* one,
                                             const char* other) {
    return OpenAll([&] {
      Acceptor first = Listen(one);
      Acceptor second = Listen(other, first.local_endpoint().port());
      return std::pair(std::move(first), std::move(second));
    });
  }

  // A port of `address` where nobody listens.
  int FreePort(const char* address) {
    return Listen(address).local_endpoint().port();
  }

  ConnectOptions Options() {
    ConnectOptions options;
    options.resolver = &resolver_;
    return options;
  }

  Task<Socket<Inet>> Connect(const std::string& host, int port,
                             ConnectOptions options) {
    return ConnectSock<Inet>(WhereToConnect<Inet>::OfHostAndPort(host, port),
                             std::move(options));
  }

  template <typename Runner>
  void RunToEnd(Runner& runner) {
    ASSERT_TRUE(RunUntil(loop_, [&] { return runner.ended(); }));
  }

  // Runs what can run without time passing or a peer doing something.
  void RunReady() {
    loop_.restart();
    while (loop_.poll() > 0) {
    }
  }

  template <AddressKind Kind>
  absl::Status ErrorOf(WhereToConnect<Kind> where, ConnectOptions options) {
    TaskRunner<Socket<Kind>> runner(loop_, ConnectSock<Kind>(where, options));
    RunToEnd(runner);
    return runner.status();
  }
  absl::Status ErrorOf(const std::string& host, int port,
                       ConnectOptions options) {
    return ErrorOf(WhereToConnect<Inet>::OfHostAndPort(host, port), options);
  }

  // True if somebody waits in the backlog.
  static bool HasClient(Acceptor& acceptor) {
    acceptor.non_blocking(true);
    error_code ec;
    asio::ip::tcp::socket client(acceptor.get_executor());
    acceptor.accept(client, ec);
    return !ec;
  }

  asio::io_context loop_{1};
  FakeTimeSource time_{loop_};
  FakeResolver resolver_;
  int num_fds_ = 0;
};

// A directory of its own for a test's unix sockets.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/portreeve_test_XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TemporaryDirectory() {
    for (const std::string& file : files_) unlink(file.c_str());
    rmdir(path_.c_str());
  }
  std::string File(const std::string& name) {
    files_.push_back(path_ + "/" + name);
    return files_.back();
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_LIB_CONNECT_SOCK_FIXTURE_H_
