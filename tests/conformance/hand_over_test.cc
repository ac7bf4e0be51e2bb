// CONFORMANCE S3, S5 and S12: a server with which another process goes on; here
// both are in one.
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "tests/conformance/both_kinds.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;

// More than are called where nothing happens.
constexpr int kMostHandlers = 1000;

// Notes what it is told.
class Noter final : public ServerObserver {
 public:
  std::function<void(const AnyConnection&)> on_closed;

  Texts Take() { return std::exchange(told_, {}); }

  void OnAccepted(const std::shared_ptr<AnyConnection>& c) override {
    told_.push_back("accepted " + std::to_string(c->id()));
  }
  void OnDropped(const AnyConnection&) override { told_.push_back("dropped"); }
  void OnClosed(const std::shared_ptr<AnyConnection>& c) override {
    told_.push_back("closed " + std::to_string(c->id()));
    if (on_closed) on_closed(*c);
  }
  void OnHandlerError(const StreamConnection&, std::exception_ptr error,
                      HandlerErrorOutcome) override {
    told_.push_back("error " + DescribeException(error));
  }
  void OnLimitReached(const AnyAddress&, int) override {
    told_.push_back("limit");
  }
  void OnAcceptFailed(const AnyAddress&, int, int64_t) override {
    told_.push_back("accept failed");
  }
  void OnCloseStarted(CloseCause) override { told_.push_back("close started"); }
  void OnCloseFinished() override { told_.push_back("close finished"); }
  void OnHandlersDetermined() override {
    told_.push_back("handlers determined");
  }

 private:
  Texts told_;
};

// What stands in a successor for a connection of the predecessor, which has the
// rest of it.
class Held final : public AnyConnection {
 public:
  Held(Executor executor, std::shared_ptr<AnyConnection> there)
      : AnyConnection(there->id()),
        there_(std::move(there)),
        closed_(std::move(executor)) {}

  const AnyAddress& peer() const override { return there_->peer(); }
  const AnyAddress& local() const override { return there_->local(); }
  int64_t bytes_received() const override { return there_->bytes_received(); }
  int64_t bytes_sent() const override { return there_->bytes_sent(); }
  size_t bytes_to_write() const override { return there_->bytes_to_write(); }
  CloseReason reason() const override { return there_->reason(); }
  bool is_open() const override { return !closed_.determined(); }
  Deferred<> closed() const override { return closed_.deferred(); }
  Deferred<> Close(ExistingConnections how, CloseReason reason) override {
    there_->Close(how, reason);
    return closed();
  }
  void Finish() { closed_.Fill(); }

 private:
  const std::shared_ptr<AnyConnection> there_;
  const Ivar<> closed_;
};

class HandOverTest : public ServerTest {
 protected:
  ~HandOverTest() override {
    EXPECT_EQ(old_told_.Take(), Texts());
    EXPECT_EQ(new_told_.Take(), Texts());
  }
  void TearDown() override {
    // First the predecessor, whose connections the successor holds.
    TearDownServers();
    if (successor_ != nullptr) Run(successor_->TearDown());
    old_told_.Take();
    new_told_.Take();
    successor_.reset();
  }

  Server<Kind>& CreateOld(ServerOptions options = {},
                          std::optional<Server<Kind>::Handler> handler = {},
                          OnHandlerError<Kind> on_error = RaiseHandlerError()) {
    options.observer = &old_told_;
    return Create(handler ? *std::move(handler) : Echo(), std::move(options),
                  std::move(on_error));
  }

  // The successor's handler, which is called "new".
  CoroutineHandler NewHandler() {
    CoroutineHandler handler;
    handler.run = [this](StreamConnection& client) -> Task<> {
      return RunNew(this, client.reader(), client.writer());
    };
    return handler;
  }
  static Task<> RunNew(HandOverTest* self, Reader& reader, Writer& writer) {
    ++self->num_new_calls_;
    while (auto line = co_await reader.ReadLine()) {
      writer.Write("new " + *line + "\n");
    }
  }

  static Task<> ReadLine(Reader* reader) { co_await reader->ReadLine(); }

  static Descriptor CopyOf(const FrozenServer& frozen) {
    return Descriptor(dup(frozen.acceptor.socket.descriptor));
  }

  absl::Status TryAdopt(const FrozenServer& frozen, Descriptor socket,
                        ServerOptions options = {}) {
    options.observer = &new_told_;
    auto adopted =
        AnyServer::Adopt(executor(), frozen, std::move(socket),
                         RaiseHandlerError(), NewHandler(), std::move(options));
    if (!adopted.ok()) return adopted.status();
    successor_ = *std::move(adopted);
    return absl::OkStatus();
  }

  // What a successor's process does before it serves.
  FrozenServer Adopt(const Server<Kind>& old) {
    const AnyServer& any = const_cast<Server<Kind>&>(old).any_server();
    const FrozenServer frozen = any.Freeze();
    EXPECT_TRUE(TryAdopt(frozen, CopyOf(frozen)).ok());
    for (const auto& [id, connection] : any.connections()) {
      held_[id] = std::make_shared<Held>(executor(), connection);
      successor_->AddHeld(held_[id]);
    }
    return frozen;
  }

  void TakeOver(Server<Kind>& old) {
    Adopt(old);
    old_told_.on_closed = [this](const AnyConnection& c) { EndHeld(c.id()); };
    old.any_server().HandOver();
    successor_->Own();
  }
  void EndHeld(int64_t id) {
    held_.at(id)->Finish();
    successor_->OnHeldClosed(id);
    held_.erase(id);
  }

  RawClient ClientAt(const AnyAddress& address) {
    RawClient client = NewClient();
    EXPECT_EQ(client.Connect(address), "ok");
    return client;
  }
  RawClient NewestClient() { return ClientAt(successor_->listening_on()); }

  void ExpectEcho(RawClient& client, const std::string& by) {
    EXPECT_EQ(client.Send("hello\n"), "ok");
    EXPECT_EQ(client.Receive(), by + "hello\n");
  }
  void ExpectOld(RawClient& client) { ExpectEcho(client, ""); }
  void ExpectNew(RawClient& client) { ExpectEcho(client, "new "); }

  // Runs what is ready, and fails the test where that does not come to an end.
  void SettleSoon() {
    loop().restart();
    int count = 0;
    while (count < kMostHandlers && loop().poll_one() > 0) ++count;
    EXPECT_LT(count, kMostHandlers);
  }

  static bool IsThere(const AnyAddress& address) {
    const auto* const unix_address = std::get_if<Unix::Address>(&address);
    return unix_address == nullptr ||
           access(unix_address->path().c_str(), F_OK) == 0;
  }

  // Those of both servers, in their order, without numbers.
  static Texts Plain(const Texts& texts) {
    Texts plain;
    for (const std::string& text : texts) {
      plain.push_back(text.substr(0, text.find_first_of("0123456789")));
    }
    return plain;
  }

  Noter old_told_, new_told_;
  std::unique_ptr<AnyServer> successor_;
  std::map<int64_t, std::shared_ptr<Held>> held_;
  int num_new_calls_ = 0;
};

TEST_F(HandOverTest, ClientsInTheBacklogAreServedByTheSuccessor) {
  auto& old = CreateOld();
  RawClient before = ConnectedClient(old);
  ExpectOld(before);
  old.any_server().SetAccepting(false);
  Settle();
  std::vector<RawClient> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(ConnectedClient(old));
    EXPECT_EQ(waiting.back().Send("early\n"), "ok");
  }
  TakeOver(old);
  // That nobody is accepted has moved, too.
  Settle();
  EXPECT_EQ(num_new_calls_, 0);
  successor_->SetAccepting(true);
  for (RawClient& client : waiting) EXPECT_EQ(client.Receive(), "new early\n");
  RawClient late = ClientAt(old.listening_on_address());
  ExpectNew(late);
  ExpectOld(before);
  EXPECT_EQ(successor_->listening_on(), AnyAddress(old.listening_on_address()));
  EXPECT_EQ(successor_->num_connections(), 5);
  EXPECT_EQ(old.num_connections(), 1);
}

// S5 over both.
TEST_F(HandOverTest, TheLimitIsExactOverBoth) {
  constexpr int kLimit = 3;
  constexpr int kClients = 12;
  for (const int batch : {1, 2, 16}) {
    ServerOptions options = WithMaxConnections(kLimit);
    options.max_accepts_per_batch = batch;
    num_new_calls_ = 0;
    const size_t calls_before = calls().size();
    auto& old = CreateOld(options);
    std::vector<RawClient> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(ConnectedClient(old));
      EXPECT_EQ(clients.back().Send(std::to_string(i) + "\n"), "ok");
    }
    Settle();
    EXPECT_EQ(old.num_connections(), kLimit);
    const int descriptors = CountDescriptors();
    TakeOver(old);
    int most = 0;
    auto step_until_idle = [&] {
      while (loop().restart(), loop().poll_one() > 0) {
        EXPECT_LE(successor_->num_connections(), kLimit);
        EXPECT_LE(successor_->connections().size(), size_t{kLimit});
        // Of the listening socket there is one as before.
        EXPECT_LE(CountDescriptors(), descriptors);
        most = std::max(most, successor_->num_connections());
      }
    };
    step_until_idle();
    EXPECT_EQ(num_new_calls_, 0);
    EXPECT_EQ(successor_->num_connections(), kLimit);
    // As each of the old ones leaves, the next one in the backlog is served.
    for (int i = 0; i < kClients; ++i) {
      const std::string text = std::to_string(i) + "\n";
      EXPECT_EQ(clients[i].Receive(), i < kLimit ? text : "new " + text);
      if (i + kLimit < kClients) {
        EXPECT_EQ(clients[i + kLimit].Peek(), "nothing");
      }
      clients[i].CloseSending();
      step_until_idle();
    }
    EXPECT_EQ(most, kLimit);
    EXPECT_EQ(num_new_calls_, kClients - kLimit);
    EXPECT_EQ(calls().size() - calls_before, static_cast<size_t>(kLimit));
    EXPECT_EQ(successor_->num_connections(), 0);
    EXPECT_EQ(successor_->accepted_total(), kClients);
    EXPECT_TRUE(old.close_finished_and_handlers_determined().determined());
    Run(successor_->TearDown());
    successor_.reset();
    old_told_.Take();
    new_told_.Take();
  }
}

TEST_F(HandOverTest, EachIsToldByItsServerAndHeldOnesByBoth) {
  auto& old = CreateOld();
  RawClient client = ConnectedClient(old);
  ExpectOld(client);
  const std::string id =
      std::to_string(old.any_server().connections().begin()->first);
  EXPECT_EQ(old_told_.Take(), Texts({"accepted " + id}));
  TakeOver(old);
  Settle();
  const Deferred<> determined = old.close_finished_and_handlers_determined();
  EXPECT_TRUE(old.is_closed());
  EXPECT_TRUE(old.close_finished().determined());
  EXPECT_FALSE(determined.determined());
  client.Close();
  RunUntil(determined);
  EXPECT_EQ(old_told_.Take(), Texts({"closed " + id}));
  EXPECT_EQ(new_told_.Take(), Texts({"closed " + id}));
  EXPECT_FALSE(successor_->is_closed());
  RawClient next = NewestClient();
  ExpectNew(next);
  EXPECT_EQ(Plain(new_told_.Take()), Texts({"accepted "}));
  next.Close();
  RunUntil([&] { return successor_->num_connections() == 0; });
  EXPECT_EQ(Plain(new_told_.Take()), Texts({"closed "}));
  RunUntil(successor_->Close());
  RunUntil(successor_->close_finished_and_handlers_determined());
  EXPECT_EQ(new_told_.Take(),
            Texts({"close started", "close finished", "handlers determined"}));
}

TEST_F(HandOverTest, AllIsTheSameInTheSuccessorAndGoesOnFromThere) {
  ServerOptions options = WithMaxConnections(2);
  options.max_accepts_per_batch = 2;
  options.max_pending_connections = 7;
  auto& old = CreateOld(options, Steered(), IgnoreHandlerError());
  {
    // One fails, one comes to its end, two reach the limit, one is dropped.
    RawClient failed = ConnectedClient(old);
    WaitForCall(0).end.Fill("no");
    EXPECT_EQ(failed.Receive(), "EOF");
    WaitForNoConnections(old);
    RawClient first = ConnectedClient(old);
    EXPECT_EQ(first.Send("123\n"), "ok");
    Run(ReadLine(WaitForCall(1).reader));
    calls()[1]->writer->Write("567");
    EXPECT_EQ(first.Receive(), "567");
    RawClient second = ConnectedClient(old);
    WaitForCall(2);
    calls()[1]->end.Fill("");
    calls()[2]->end.Fill("");
    WaitForNoConnections(old);
    old.SetDropIncomingConnections(true);
    RawClient dropped = ConnectedClient(old);
    EXPECT_EQ(dropped.Receive(), "EOF");
  }
  RawClient held = NewClient();
  old.SetDropIncomingConnections(false);
  EXPECT_EQ(held.Connect(old.listening_on_address()), "ok");
  WaitForCall(3);
  old.SetDropIncomingConnections(true);
  Settle();
  const FrozenServer frozen = old.any_server().Freeze();
  EXPECT_EQ(frozen.accepted_total, 5);
  EXPECT_EQ(frozen.dropped_total, 1);
  EXPECT_EQ(frozen.handler_errors_total, 1);
  EXPECT_EQ(frozen.closed_bytes_received, 4);
  EXPECT_EQ(frozen.closed_bytes_sent, 3);
  EXPECT_EQ(frozen.acceptor.limit_reached_total, 1);
  EXPECT_TRUE(frozen.acceptor.limit_reported.has_value());
  EXPECT_TRUE(frozen.acceptor.drop_incoming);
  EXPECT_EQ(frozen.acceptor.socket.effective_backlog, 7);
  EXPECT_EQ(frozen.acceptor.socket.file.has_value(), !kIsInet);

  // What its own options say does not count.
  Adopt(old);
  auto same = [&] {
    FrozenServer again = successor_->Freeze();
    again.acceptor.socket.descriptor = frozen.acceptor.socket.descriptor;
    return again == frozen;
  };
  EXPECT_TRUE(same());
  EXPECT_TRUE(old.any_server().Freeze() == frozen);
  old.any_server().HandOver();
  successor_->Own();
  EXPECT_TRUE(same());

  EXPECT_EQ(held.Send("8\n"), "ok");
  Run(ReadLine(calls()[3]->reader));
  EXPECT_EQ(successor_->bytes_received_total(), 6);
  EXPECT_EQ(successor_->bytes_sent_total(), 3);
  calls()[3]->end.Fill("it fails");
  RunUntil(old.close_finished_and_handlers_determined());
  successor_->CountHeldHandlerError();
  successor_->CountHeldOutOfMemory();
  EndHeld(held_.begin()->first);
  RawClient dropped = NewestClient();
  EXPECT_EQ(dropped.Receive(), "EOF");
  EXPECT_EQ(successor_->accepted_total(), 6);
  EXPECT_EQ(successor_->dropped_total(), 2);
  EXPECT_EQ(successor_->handler_errors_total(), 2);
  EXPECT_EQ(successor_->out_of_memory_total(), 1);
  EXPECT_EQ(successor_->bytes_total().received, 6);
  EXPECT_EQ(successor_->effective_backlog(), 7);
  EXPECT_EQ(successor_->max_connections(), 2);
  // The limit was reported a moment ago, and so is not again.
  new_told_.Take();
  successor_->SetDropIncomingConnections(false);
  RawClient one = NewestClient(), two = NewestClient();
  RunUntil([&] { return num_new_calls_ == 2; });
  Settle();
  EXPECT_EQ(successor_->limit_reached_total(), 2);
  EXPECT_EQ(Plain(new_told_.Take()), Texts({"accepted ", "accepted "}));
  EXPECT_EQ(old_told_.Take().back(), "error it fails");
}

// For another process may have one still.
TEST_F(HandOverTest, ACloseOfTheSuccessorIsOneThoughThereAreCopies) {
  auto& old = CreateOld();
  const AnyAddress address = old.listening_on_address();
  const Descriptor copy(dup(old.any_server().native_handle()));
  TakeOver(old);
  Settle();
  EXPECT_TRUE(IsListening(copy));
  EXPECT_TRUE(IsThere(address));
  RunUntil(successor_->Close());
  EXPECT_EQ(NewClient().Connect(address), Refused());
}

TEST_F(HandOverTest, OneThatIsLeftToOthersIsAfterwards) {
  auto& old = CreateOld();
  const AnyAddress address = old.listening_on_address();
  const Descriptor copy(dup(old.any_server().native_handle()));
  old.any_server().LeaveSocketToOthers();
  EXPECT_FALSE(old.any_server().Freeze().acceptor.socket.shut_down);
  TakeOver(old);
  Settle();
  RunUntil(successor_->Close());
  EXPECT_TRUE(IsListening(copy));
  EXPECT_TRUE(IsThere(address));
  RawClient client = ClientAt(address);
  EXPECT_EQ(client.Peek(), "nothing");
}

TEST_F(HandOverTest, OneThatWasGivenIsLeftToOthersAfterwards) {
  Descriptor given = ListeningSocketAt(AddressOf(Where()), 5);
  const Descriptor copy = testing::CopyOf(given);
  auto created =
      Server<Kind>::Create(executor(), WhereToListen<Kind>(),
                           RaiseHandlerError(), Echo(), {}, std::move(given));
  ASSERT_TRUE(created.ok()) << created.status();
  Server<Kind>& old = **created;
  ServerTest::Adopt(*std::move(created));
  EXPECT_FALSE(old.any_server().Freeze().acceptor.socket.file.has_value());
  TakeOver(old);
  RunUntil(successor_->Close());
  EXPECT_TRUE(IsListening(copy));
}

TEST_F(HandOverTest, BeforeItOwnsTheSocketNothingIsDone) {
  auto& old = CreateOld();
  const AnyAddress address = old.listening_on_address();
  RawClient held = ConnectedClient(old);
  ExpectOld(held);
  old.any_server().SetAccepting(false);
  Settle();
  RawClient waits = ConnectedClient(old);
  old_told_.Take();
  {
    FrozenServer frozen = Adopt(old);
    EXPECT_FALSE(frozen.acceptor.accepting);
    // As if it were to accept.
    successor_->SetAccepting(true);
    SettleSoon();
    EXPECT_EQ(num_new_calls_, 0);
    EXPECT_EQ(successor_->num_connections(), 1);
    // It does not come to serve.
    successor_->HandOver();
    EXPECT_EQ(successor_->num_connections(), 0);
    EXPECT_EQ(new_told_.Take(), Texts());
    successor_.reset();
    held_.clear();
  }
  SettleSoon();
  EXPECT_TRUE(IsThere(address));
  EXPECT_EQ(old_told_.Take(), Texts());
  // The other one goes on as if nothing had been.
  ExpectOld(held);
  old.any_server().SetAccepting(true);
  ExpectOld(waits);
  RawClient next = ConnectedClient(old);
  ExpectOld(next);
  EXPECT_EQ(old.num_connections(), 3);
}

// Epoll would tell of it for as long as there is a copy.
TEST_F(HandOverTest, AfterwardsTheLoopIsNotToldOfTheSocket) {
  auto& old = CreateOld();
  const AnyAddress address = old.listening_on_address();
  Settle();
  const Descriptor copy(dup(old.any_server().native_handle()));
  // The loop goes on to ask epoll.
  Create(Echo());
  old.any_server().HandOver();
  RawClient client = ClientAt(address);
  SettleSoon();
  EXPECT_TRUE(IsListening(copy));
}

TEST_F(HandOverTest, ACloseClosesHeldOnesToo) {
  for (const auto how :
       {ExistingConnections::kClose, ExistingConnections::kReset}) {
    auto& old = CreateOld();
    RawClient client = ConnectedClient(old);
    ExpectOld(client);
    TakeOver(old);
    bool all_closed = false;
    successor_->Close(how).Upon([&] { all_closed = true; });
    Settle();
    EXPECT_EQ(client.Receive(), how == ExistingConnections::kClose || !kIsInet
                                    ? "EOF"
                                    : "ECONNRESET");
    client.Close();
    RunUntil([&] { return all_closed; });
    RunUntil(successor_->close_finished_and_handlers_determined());
    EXPECT_EQ(Plain(new_told_.Take()),
              Texts({"close started", "closed ", "close finished",
                     "handlers determined"}));
    EXPECT_TRUE(held_.empty());
    successor_.reset();
  }
}

TEST_F(HandOverTest, HandlersAreDeterminedOnceNobodyIsHeld) {
  auto& old = CreateOld();
  RawClient client = ConnectedClient(old);
  ExpectOld(client);
  TakeOver(old);
  RunUntil(successor_->Close());
  Settle();
  EXPECT_FALSE(
      successor_->close_finished_and_handlers_determined().determined());
  EXPECT_EQ(new_told_.Take(), Texts({"close started", "close finished"}));
  client.Close();
  RunUntil(successor_->close_finished_and_handlers_determined());
  EXPECT_EQ(Plain(new_told_.Take()), Texts({"closed ", "handlers determined"}));
}

TEST_F(HandOverTest, OneThatIsClosedIsTakenOverWithThoseWhoAreHeld) {
  for (const bool is_finished : {true, false}) {
    auto& old = CreateOld();
    RawClient client = ConnectedClient(old);
    ExpectOld(client);
    if (is_finished) {
      RunUntil(old.Close());
    } else {
      old.any_server().Close(ExistingConnections::kLeave,
                             CloseCause::kHandlerError);
    }
    old_told_.Take();
    const FrozenServer frozen = Adopt(old);
    EXPECT_EQ(frozen.acceptor.socket.descriptor, -1);
    EXPECT_EQ(frozen.close_finished, is_finished);
    EXPECT_TRUE(successor_->Freeze() == frozen);
    EXPECT_TRUE(successor_->is_closed());
    EXPECT_EQ(successor_->close_cause(),
              is_finished ? CloseCause::kCalled : CloseCause::kHandlerError);
    old_told_.on_closed = [this](const AnyConnection& c) { EndHeld(c.id()); };
    old.any_server().HandOver();
    successor_->Own();
    RunUntil(successor_->close_finished());
    Settle();
    EXPECT_TRUE(old.close_finished().determined());
    EXPECT_EQ(old_told_.Take(), Texts());
    EXPECT_EQ(new_told_.Take(),
              is_finished ? Texts() : Texts({"close finished"}));
    client.Close();
    RunUntil(successor_->close_finished_and_handlers_determined());
    EXPECT_EQ(Plain(new_told_.Take()),
              Texts({"closed ", "handlers determined"}));
    RunUntil(old.close_finished_and_handlers_determined());
    EXPECT_EQ(Plain(old_told_.Take()), Texts({"closed "}));
    successor_.reset();
  }
}

TEST_F(HandOverTest, OneThatIsOverIsTakenOverAndTellsNothing) {
  auto& old = CreateOld();
  RunUntil(old.Close());
  RunUntil(old.close_finished_and_handlers_determined());
  old_told_.Take();
  TakeOver(old);
  Settle();
  EXPECT_TRUE(
      successor_->close_finished_and_handlers_determined().determined());
  EXPECT_EQ(new_told_.Take(), Texts());
  EXPECT_EQ(old_told_.Take(), Texts());
}

// The predecessor gives its descriptor away later: nobody is told, and nobody
// notices.
TEST_F(HandOverTest, OneThatIsHeldMayFollow) {
  auto& old = CreateOld(WithMaxConnections(1));
  RawClient client = ConnectedClient(old);
  ExpectOld(client);
  TakeOver(old);
  old_told_.Take();
  RawClient waiting = NewestClient();
  const auto [id, there] = *old.any_server().connections().begin();
  auto& connection = static_cast<StreamConnection&>(*there);
  const int64_t received = connection.bytes_received();
  FrozenStream frozen = connection.Freeze();
  Descriptor fd = old.any_server().LetGo(connection);
  ASSERT_TRUE(fd.is_open());
  EXPECT_FALSE(connection.is_open());
  EXPECT_EQ(client.Send("hello\n"), "ok");
  RunUntil(old.close_finished_and_handlers_determined());
  EXPECT_TRUE(old.any_server().connections().empty());
  const auto taken = successor_->TakeHeld(id, there->peer(), std::move(frozen),
                                          std::move(fd), 1, NewHandler());
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ((*taken)->id(), id);
  EXPECT_EQ((*taken)->bytes_received(), received);
  EXPECT_EQ(client.Receive(), "new hello\n");
  ExpectNew(client);
  EXPECT_EQ(successor_->num_connections(), 1);
  EXPECT_EQ(waiting.Peek(), "nothing");
  EXPECT_EQ(new_told_.Take(), Texts());
  client.Close();
  ExpectNew(waiting);
  EXPECT_EQ(Plain(new_told_.Take()), Texts({"closed ", "accepted "}));
  EXPECT_EQ(successor_->accepted_total(), 2);
  EXPECT_EQ(successor_->bytes_received_total(), received + 18);
  EXPECT_EQ(old_told_.Take(), Texts());
  waiting.Close();
  RunUntil([&] { return successor_->num_connections() == 0; });
  RunUntil(successor_->Close());
  RunUntil(successor_->close_finished_and_handlers_determined());
  new_told_.Take();
}

TEST_F(HandOverTest, OneThatCannotBeWatchedStaysHeld) {
  auto& old = CreateOld();
  RawClient client = ConnectedClient(old);
  ExpectOld(client);
  TakeOver(old);
  old_told_.Take();
  const auto [id, there] = *old.any_server().connections().begin();
  FrozenStream frozen = static_cast<StreamConnection&>(*there).Freeze();
  EXPECT_FALSE(successor_
                   ->TakeHeld(id, there->peer(), std::move(frozen),
                              Descriptor(), 1, NewHandler())
                   .ok());
  EXPECT_EQ(successor_->num_connections(), 1);
  EXPECT_EQ(successor_->connections().at(id), held_.at(id));
  EXPECT_EQ(num_new_calls_, 0);
  ExpectOld(client);
  client.Close();
  RunUntil([&] { return successor_->num_connections() == 0; });
  EXPECT_EQ(Plain(new_told_.Take()), Texts({"closed "}));
  old_told_.Take();
}

// It closes a server that was closed by the hand-over; the successor's owner
// learns of it by the observer.
TEST_F(HandOverTest, AHandlersErrorIsToldToThePredecessorsObserver) {
  auto& old = CreateOld({}, Steered());
  RawClient client = ConnectedClient(old);
  WaitForCall(0);
  TakeOver(old);
  old_told_.Take();
  calls()[0]->end.Fill("no");
  RunUntil(old.close_finished_and_handlers_determined());
  EXPECT_EQ(WaitForErrors(1), Texts({"no"}));
  EXPECT_EQ(Plain(old_told_.Take()), Texts({"closed ", "error no"}));
  EXPECT_FALSE(successor_->is_closed());
  new_told_.Take();
}

TEST_F(HandOverTest, AWrongSocketIsRefused) {
  auto& old = CreateOld();
  const FrozenServer frozen = old.any_server().Freeze();
  constexpr int kFamily = kIsInet ? AF_INET : AF_UNIX;
  constexpr int kOther = kIsInet ? AF_UNIX : AF_INET;
  EXPECT_EQ(TryAdopt(frozen, NewSocket(kFamily)).message(),
            "socket: must be listening, but is not");
  EXPECT_EQ(DetailOf(TryAdopt(frozen, NewSocket(kOther))).field, "socket");
  EXPECT_EQ(TryAdopt(frozen, Descriptor()).message(),
            "socket: must be an open descriptor");
  FrozenServer no_limit = frozen;
  no_limit.acceptor.limits.max_connections = 0;
  EXPECT_EQ(DetailOf(TryAdopt(no_limit, CopyOf(frozen))).field,
            "max_connections");
  EXPECT_EQ(successor_, nullptr);
  RawClient client = ConnectedClient(old);
  ExpectOld(client);
}

// A file that somebody else has put there since is theirs.
TEST_F(HandOverTest, TheFileIsTheSuccessorsIfItStillIsThatOne) {
  if (kIsInet) return;
  for (const bool replace_before : {true, false}) {
    auto& old = CreateOld();
    const AnyAddress address = old.listening_on_address();
    const std::string path = std::get<Unix::Address>(address).path();
    const auto replace = [&] {
      ASSERT_EQ(unlink(path.c_str()), 0);
      EXPECT_TRUE(
          ListeningSocketAt(std::get<Unix::Address>(address), 1).is_open());
    };
    if (replace_before) replace();
    Adopt(old);
    EXPECT_EQ(successor_->Freeze().acceptor.socket.file.has_value(),
              !replace_before);
    if (!replace_before) replace();
    old.any_server().HandOver();
    successor_->Own();
    RunUntil(successor_->Close());
    RunUntil(successor_->close_finished_and_handlers_determined());
    EXPECT_TRUE(IsThere(address));
    new_told_.Take();
    successor_.reset();
  }
}

}  // namespace
}  // namespace portreeve::testing
