// CONFORMANCE C2-C4: cancelled at any await point, connect and with_connection
// leave nothing behind: f is joined, and no descriptor, coroutine or timer
// stays.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

// More than the kernel keeps, since the sender's buffer is small, too.
constexpr size_t kBytes = 300'000;

// Counts the scopes that have been entered and not left.
class Inside {
 public:
  explicit Inside(int& count) : count_(count) { ++count_; }
  ~Inside() { --count_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int& count_;
};

// Gives 127.0.0.1 after a few steps, or never.
class SteppingResolver : public Resolver {
 public:
  enum class Answer { kGives, kNever };

  void Set(Answer answer) { answer_ = answer; }
  int num_running() const { return num_running_; }

  Task<std::vector<asio::ip::address>> Lookup(std::string,
                                              Family family) override {
    const Inside inside(num_running_);
    const Executor executor = co_await asio::this_coro::executor;
    for (int i = 0; i < 3; ++i) co_await asio::post(executor, kAwait);
    const Ivar<> never(executor);
    if (answer_ == Answer::kNever) co_await never.deferred().Wait();
    std::vector<asio::ip::address> found;
    if (family == Family::kV4) {
      found.push_back(asio::ip::address_v4::loopback());
    }
    co_return found;
  }

 private:
  Answer answer_ = Answer::kGives;
  int num_running_ = 0;
};

// What the peer does, as soon as it can: accepts, sends a line, and reads up to
// `reads` bytes.
struct Script {
  bool sends = true;
  size_t reads = SIZE_MAX;
};

class Peer {
 public:
  Peer(RawListener& listener, Script script)
      : listener_(listener), script_(script) {}

  void Act() {
    if (!client_) {
      if (auto client = listener_.TryAccept()) {
        client_.emplace(*std::move(client));
        if (script_.sends) client_->Send("hi\n");
      }
    }
    while (client_ && received_ < script_.reads) {
      const std::string some = client_->Peek();
      if (some == "nothing" || some == "EOF" || some[0] == 'E') break;
      received_ += some.size();
    }
  }

 private:
  RawListener& listener_;
  const Script script_;
  std::optional<RawClient> client_;
  size_t received_ = 0;
};

Task<> ConnectOnce(WhereToConnect<Inet> where, ConnectOptions options,
                   bool& connected) {
  const auto connection = co_await Connect<Inet>(where, options);
  connected = true;
}

class Cancellation : public ConnectFixture {
 protected:
  using MakeTask = std::function<Task<>()>;

  ConnectOptions Options() {
    ConnectOptions options;
    options.resolver = &resolver_;
    return options;
  }
  WhereToConnect<Inet> Name() const {
    return WhereToConnect<Inet>::OfHostAndPort("upstream.test", listener_port_);
  }

  // Waits in a read, in a flush and, at its end, in with_connection's flush.
  MakeTask ReadsAndWrites() {
    return [this]() -> Task<> {
      return WithConnection<Inet>(Name(), Options(),
                                  [this](Socket<Inet> socket, Reader& reader,
                                         Writer& writer) -> Task<> {
                                    return RunF(this, socket, reader, writer);
                                  });
    };
  }

  // Runs `steps` steps of the loop, then cancels: what was running has to end
  // and to leave nothing.  False if it had ended before, or had come to where
  // only the peer, which does not, could let it go on.
  bool CancelAfter(int steps, const MakeTask& make, Script script) {
    const int descriptors = CountDescriptors();
    bool ran_dry = false;
    std::optional<TaskScope> scope(executor());
    std::optional<Peer> peer(std::in_place, listener(), script);
    std::optional<Outcome<bool>> end;
    scope->Spawn(make(), [&](std::exception_ptr error) {
      end.emplace().error = error;
      EXPECT_EQ(inside_f_, 0);  // f was joined before.
    });
    const bool follows =
        script.sends && script.reads == SIZE_MAX && !waits_for_ever_;
    for (int i = 0; i < steps && !end && !ran_dry; ++i) {
      peer->Act();
      loop().restart();
      // A peer that follows is never the one that is waited for.
      const size_t ran =
          follows ? loop().run_one_for(kDeadline) : loop().poll_one();
      ran_dry = ran == 0;
    }
    const bool ended_before = end.has_value();
    SCOPED_TRACE("cancelled after " + std::to_string(steps) + " steps");
    scope->Cancel();
    ExpectNothingLeft(*scope, end, ended_before);
    scope.reset();
    peer.reset();
    listener().TryAccept();  // One that was cancelled before the peer's step.
    EXPECT_EQ(CountDescriptors(), descriptors);
    EXPECT_FALSE(follows && ran_dry);
    return !ended_before && !ran_dry;
  }

  void ExpectNothingLeft(const TaskScope& scope,
                         const std::optional<Outcome<bool>>& end,
                         bool ended_before) {
    Settle();
    EXPECT_TRUE(loop().stopped());
    EXPECT_EQ(time().earliest(), TimePoint::max());
    EXPECT_TRUE(scope.empty());
    EXPECT_EQ(inside_f_, 0);
    EXPECT_EQ(resolver_.num_running(), 0);
    ASSERT_TRUE(end.has_value());
    // Too late to be cancelled, or cancelled; nothing else.
    if (end->error) {
      EXPECT_TRUE(IsCancelled(end->error)) << end->text();
      EXPECT_FALSE(ended_before);
    }
  }

  // Cancels after 0, 1, 2, ... steps: how many there are.
  int CancelAtEachStep(const MakeTask& make, Script script) {
    int steps = 0;
    while (CancelAfter(steps, make, script) && !HasFailure()) ++steps;
    return steps;
  }

  SteppingResolver resolver_;
  int listener_port_ = listener().inet_address().port();
  bool waits_for_ever_ = false;  // Not for the peer.
  int inside_f_ = 0;
  // How far f came at all.
  bool read_ = false;
  bool flushed_ = false;

 private:
  static Task<> RunF(Cancellation* self, Socket<Inet> socket, Reader& reader,
                     Writer& writer) {
    const Inside inside(self->inside_f_);
    socket.asio_socket().set_option(asio::socket_base::send_buffer_size(4096));
    EXPECT_EQ(co_await reader.ReadLine(), "hi");
    self->read_ = true;
    writer.Write(std::string(kBytes, 'a'));
    co_await writer.Flushed().Wait();
    self->flushed_ = true;
    writer.Write(std::string(kBytes, 'b'));
  }
};

TEST_F(Cancellation, WithConnectionAtEachStep) {
  const int steps = CancelAtEachStep(ReadsAndWrites(), Script());
  EXPECT_GT(steps, 20);
  EXPECT_TRUE(flushed_);
}

TEST_F(Cancellation, WithConnectionWhileTheNameIsLookedUp) {
  resolver_.Set(SteppingResolver::Answer::kNever);
  waits_for_ever_ = true;
  EXPECT_GT(CancelAtEachStep(ReadsAndWrites(), Script()), 4);
  EXPECT_FALSE(read_);
}

TEST_F(Cancellation, WithConnectionWhileItConnects) {
  // Its backlog is full, and nobody accepts.
  asio::ip::tcp::acceptor black_hole(loop());
  black_hole.open(asio::ip::tcp::v4());
  black_hole.bind(Inet::Address(asio::ip::address_v4::loopback(), 0));
  black_hole.listen(0);
  asio::ip::tcp::socket filler(loop());
  filler.connect(black_hole.local_endpoint());
  listener_port_ = black_hole.local_endpoint().port();
  waits_for_ever_ = true;
  EXPECT_GT(CancelAtEachStep(ReadsAndWrites(), Script()), 4);
  EXPECT_FALSE(read_);
}

TEST_F(Cancellation, WithConnectionWhileFReads) {
  Script script;
  script.sends = false;
  EXPECT_GT(CancelAtEachStep(ReadsAndWrites(), script), 8);
  EXPECT_FALSE(read_);
}

TEST_F(Cancellation, WithConnectionWhileFFlushes) {
  Script script;
  script.reads = 0;
  EXPECT_GT(CancelAtEachStep(ReadsAndWrites(), script), 10);
  EXPECT_TRUE(read_);
  EXPECT_FALSE(flushed_);
}

TEST_F(Cancellation, WithConnectionInItsLastFlush) {
  Script script;
  script.reads = kBytes;
  EXPECT_GT(CancelAtEachStep(ReadsAndWrites(), script), 10);
  EXPECT_TRUE(flushed_);
}

TEST_F(Cancellation, WithConnectionWaitsForAnFThatTakesItsTime) {
  const Ivar<> release(executor());
  auto f = [&](Socket<Inet>, Reader& reader, Writer&) -> Task<> {
    const Inside inside(inside_f_);
    char byte;
    auto read = reader.Read(std::span<char>(&byte, 1));
    try {
      co_await std::move(read);
    } catch (const boost::system::system_error&) {
      read_ = true;
    }
    co_await asio::this_coro::reset_cancellation_state();
    co_await release.deferred().Wait();
  };
  TaskScope scope(executor());
  std::exception_ptr error;
  scope.Spawn(WithConnection<Inet>(Name(), Options(), f),
              [&](std::exception_ptr e) { error = e; });
  RawClient peer = listener().Accept();
  Settle();
  EXPECT_EQ(inside_f_, 1);
  scope.Cancel();
  Settle();
  EXPECT_TRUE(read_);
  EXPECT_FALSE(scope.empty());
  EXPECT_EQ(inside_f_, 1);
  release.Fill();
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(inside_f_, 0);
  ASSERT_TRUE(error);
  EXPECT_TRUE(IsCancelled(error));
  EXPECT_EQ(peer.Receive(), "ECONNRESET");
}

TEST_F(Cancellation, AnErrorOfTheCancelledFIsNotLost) {
  auto f = [&](Socket<Inet>, Reader& reader, Writer&) -> Task<> {
    char byte;
    bool cancelled = false;
    auto read = reader.Read(std::span<char>(&byte, 1));
    try {
      co_await std::move(read);
    } catch (const boost::system::system_error&) {
      cancelled = true;
    }
    if (cancelled) throw std::runtime_error("boom");
  };
  TaskScope scope(executor());
  std::string text;
  scope.Spawn(
      WithConnection<Inet>(Name(), Options(), f),
      [&](std::exception_ptr error) { text = DescribeException(error); });
  RawClient peer = listener().Accept();
  Settle();
  scope.Cancel();
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(text, "boom");
}

TEST_F(Cancellation, ConnectAtEachStep) {
  auto connect = [this]() -> Task<> {
    return ConnectOnce(Name(), Options(), read_);
  };
  EXPECT_GT(CancelAtEachStep(connect, Script()), 4);
  EXPECT_TRUE(read_);
}

}  // namespace
}  // namespace portreeve::testing
