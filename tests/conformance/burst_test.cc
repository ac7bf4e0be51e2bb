// CONFORMANCE S3: the handler is never called after a close, wherever in a
// burst of accepts the close comes; and a server torn down there leaves nothing
// behind.
#include <memory>
#include <optional>

#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

// Whether a handler goes on until its client is done, or ends at once.
enum class HandlerLife { kStays, kEndsAtOnce };

struct BurstCase {
  int batch;
  int num_clients;
  int max_connections;
  HandlerLife life;
};

class BurstTest : public ServerFixture<Kind> {
 protected:
  // Small and large bursts against each size of a batch, with and without a
  // limit that leaves clients in the backlog.
  static std::vector<BurstCase> Cases() {
    std::vector<BurstCase> cases;
    for (const int batch : {1, 2, 16}) {
      for (const int n : {0, 1, 2, 3, 5, 9, 17}) {
        cases.push_back({batch, n, 100, HandlerLife::kStays});
        cases.push_back({batch, n, 100, HandlerLife::kEndsAtOnce});
        if (n > 3) cases.push_back({batch, n, 3, HandlerLife::kStays});
        if (n > 3) cases.push_back({batch, n, 3, HandlerLife::kEndsAtOnce});
      }
    }
    return cases;
  }

  // The loop opens descriptors of its own with its first socket.
  void SetUp() override {
    Begin({1, 0, 1, HandlerLife::kStays});
    End();
  }

  // A server with `c.num_clients` connected; the loop has not run yet.
  void Begin(const BurstCase& c) {
    life_ = c.life;
    num_calls_ = 0;
    ServerOptions options;
    options.max_accepts_per_batch = c.batch;
    options.max_connections = c.max_connections;
    server_ = &Create(
        [this](Kind::Address, Reader& reader, Writer& writer) {
          return RunHandler(this, reader, writer);
        },
        options);
    for (int i = 0; i < c.num_clients; ++i) {
      clients_.push_back(ConnectedClient(*server_));
    }
  }

  // Runs `steps` steps of the loop; false if there were fewer to run.
  bool RunSteps(int steps) {
    for (; steps > 0; --steps) {
      loop().restart();
      if (loop().poll_one() == 0) return false;
    }
    return true;
  }

  // After the Close(): nobody is called any more, and each client is in one of
  // the states that a close leaves.
  void ExpectNobodyIsCalledAfter(int calls_at_close) {
    AnyServer& server = server_->any_server();
    RunUntil(server_->close_finished());
    Settle();
    EXPECT_EQ(num_calls_, calls_at_close);
    const int64_t dropped = server.dropped_total();
    EXPECT_EQ(server.accepted_total(), num_calls_ + dropped);
    EXPECT_EQ(server_->num_connections(), num_running_);
    // In the order of arrival: served, accepted and closed, in the backlog.
    for (size_t i = 0; i < clients_.size(); ++i) {
      const int64_t index = static_cast<int64_t>(i);
      const std::string expected = index < num_calls_ ? "hi\n"
                                   : index < num_calls_ + dropped
                                       ? "EOF"
                                       : "ECONNRESET";
      EXPECT_EQ(clients_[i].Receive(16), expected) << "client " << i;
      if (index >= num_calls_) continue;
      if (life_ == HandlerLife::kStays) {
        EXPECT_EQ(clients_[i].Peek(), "nothing");
        clients_[i].CloseSending();
      }
      EXPECT_EQ(clients_[i].Receive(16), "EOF");
    }
    RunUntil(server_->close_finished_and_handlers_determined());
    EXPECT_EQ(num_running_, 0);
    EXPECT_EQ(server_->num_connections(), 0);
    EXPECT_EQ(num_calls_, calls_at_close);
  }

  // Leaves no TIME_WAIT behind, for there are very many.
  void End() {
    TearDownServers();
    server_ = nullptr;
    for (RawClient& client : clients_) client.Reset();
    clients_.clear();
    TakeLog();  // The limit may have been reached.
  }

  Server<Kind>& server() { return *server_; }
  int num_calls() const { return num_calls_; }
  int num_running() const { return num_running_; }
  std::vector<RawClient>& clients() { return clients_; }

  // The handler's call of this number, from 1, closes the server.
  std::optional<int> closing_call_;

 private:
  // Counts the coroutines that are not destroyed.
  class Running {
   public:
    explicit Running(int& count) : count_(count) { ++count_; }
    ~Running() { --count_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    int& count_;
  };

  static Task<> RunHandler(BurstTest* self, Reader& reader, Writer& writer) {
    const Running running(self->num_running_);
    EXPECT_FALSE(self->server_->is_closed());
    ++self->num_calls_;
    writer.Write("hi\n");
    if (self->num_calls_ == self->closing_call_) self->server_->Close();
    if (self->life_ == HandlerLife::kStays) co_await reader.ReadLine();
  }

  Server<Kind>* server_ = nullptr;
  HandlerLife life_ = HandlerLife::kStays;
  int num_calls_ = 0;
  int num_running_ = 0;
  std::vector<RawClient> clients_;
};

std::string Describe(const BurstCase& c, int step) {
  return "batch " + std::to_string(c.batch) + ", " +
         std::to_string(c.num_clients) + " clients, at most " +
         std::to_string(c.max_connections) + ", step " + std::to_string(step);
}

TEST_F(BurstTest, NoHandlerIsCalledAfterACloseAtAnyStep) {
  int num_closes = 0;
  for (const BurstCase& c : Cases()) {
    for (int step = 0, more = true; more; ++step, ++num_closes) {
      SCOPED_TRACE(Describe(c, step));
      const int descriptors = CountDescriptors();
      Begin(c);
      more = RunSteps(step);
      const int calls = num_calls();
      const Deferred<> closed = server().Close();
      EXPECT_FALSE(closed.determined());
      ExpectNobodyIsCalledAfter(calls);
      End();
      EXPECT_EQ(CountDescriptors(), descriptors);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(num_closes, 1000);
  RecordProperty("closes", num_closes);
}

TEST_F(BurstTest, NoHandlerIsCalledAfterACloseInAnyHandler) {
  for (const BurstCase& c : Cases()) {
    const int most = c.life == HandlerLife::kStays
                         ? std::min(c.num_clients, c.max_connections)
                         : c.num_clients;
    for (int call = 1; call <= most; ++call) {
      SCOPED_TRACE(Describe(c, call));
      const int descriptors = CountDescriptors();
      closing_call_ = call;
      Begin(c);
      RunUntil([&] { return server().is_closed(); });
      ExpectNobodyIsCalledAfter(call);
      End();
      EXPECT_EQ(CountDescriptors(), descriptors);
      if (HasFailure()) return;
    }
  }
}

TEST_F(BurstTest, TearDownAtAnyStepLeavesNothingBehind) {
  for (const BurstCase& c : Cases()) {
    for (int step = 0, more = true; more; ++step) {
      SCOPED_TRACE(Describe(c, step));
      const int descriptors = CountDescriptors();
      Begin(c);
      more = RunSteps(step);
      Run(server().TearDown());
      EXPECT_EQ(num_running(), 0);
      EXPECT_EQ(server().num_connections(), 0);
      EXPECT_TRUE(server().any_server().connections().empty());
      // No client's descriptor and no listening one is left.
      EXPECT_EQ(CountDescriptors(), descriptors + c.num_clients);
      for (RawClient& client : clients()) {
        EXPECT_NE(client.Receive(16), "nothing");
      }
      End();
      EXPECT_EQ(CountDescriptors(), descriptors);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace portreeve::testing
