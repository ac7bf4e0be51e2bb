// A daemon goes over from one process to the next; here both are in one.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/api/errors.h"
#include "server/handover/handover_channel.h"
#include "server/handover/handover_peer.h"
#include "server/handover/handover_receiver.h"
#include "server/handover/handover_sender.h"
#include "server/registry/connection_table.h"
#include "server/upgrade/daemon_totals.h"
#include "server/upgrade/held_channel.h"
#include "server/upgrade/upgrade_sink.h"
#include "server/upgrade/upgrade_source.h"
#include "tests/server/handover/handover_pair.h"
#include "tests/server/upgrade/upgrade_parts.h"
#include "tests/testing/descriptors.h"

namespace portreeve::server {
namespace {

using testing::CountDescriptors;

constexpr char kRequestId[] = "0b64ddd6-2d4e-4d0c-9f5b-6d1d7f1c7a53";

// Fails the n-th call.
class Fault {
 public:
  explicit Fault(int at) : left_(at) {}
  bool is_due() { return --left_ == 0; }
  // Whether there were as many calls.
  bool has_been() const { return left_ <= 0; }

 private:
  int left_;
};

absl::Status TheFault() { return absl::InternalError("the fault"); }

class FaultySource final : public HandoverSource {
 public:
  FaultySource(HandoverSource& source, Fault& fault)
      : source_(source), fault_(fault) {}

  void OnHello(const internal::v1::HandoverHello& hello) override {
    source_.OnHello(hello);
  }
  int64_t CountDescriptors() override { return source_.CountDescriptors(); }
  absl::Status Freeze(TimePoint deadline) override {
    if (fault_.is_due()) return TheFault();
    auto s = source_.Freeze(deadline);
    if (s.ok() && fault_.is_due()) return TheFault();
    return s;
  }
  absl::StatusOr<internal::v1::HandoverCounters> Counters() override {
    if (fault_.is_due()) return TheFault();
    return source_.Counters();
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverListener>>>
  NextListener() override {
    if (fault_.is_due()) return TheFault();
    return source_.NextListener();
  }
  absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverControlSocket>>>
  NextControlSocket() override {
    if (fault_.is_due()) return TheFault();
    return source_.NextControlSocket();
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverRequest>>>
  NextRequest() override {
    if (fault_.is_due()) return TheFault();
    return source_.NextRequest();
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverConnection>>>
  NextConnection() override {
    if (fault_.is_due()) return TheFault();
    return source_.NextConnection();
  }
  absl::StatusOr<Events> TakeEvents() override {
    if (fault_.is_due()) return TheFault();
    return source_.TakeEvents();
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverStore>>>
  Store() override {
    if (fault_.is_due()) return TheFault();
    return source_.Store();
  }
  void Thaw(HandoverStep step, const std::string& reason) noexcept override {
    source_.Thaw(step, reason);
  }
  void HandedOver() noexcept override { source_.HandedOver(); }

 private:
  HandoverSource& source_;
  Fault& fault_;
};

// Each call may fail before it has done anything, or after it has done all.
class FaultySink final : public HandoverSink {
 public:
  FaultySink(HandoverSink& sink, Fault& fault) : sink_(sink), fault_(fault) {}

  absl::Status TakeAccepted(
      const internal::v1::HandoverAccepted& record) override {
    return Do([&] { return sink_.TakeAccepted(record); });
  }
  absl::Status TakeCounters(
      const internal::v1::HandoverCounters& record) override {
    return Do([&] { return sink_.TakeCounters(record); });
  }
  absl::Status TakeListener(internal::v1::HandoverListener record,
                            std::vector<Descriptor> own) override {
    return Do([&] { return sink_.TakeListener(record, std::move(own)); });
  }
  absl::Status TakeControlSocket(internal::v1::HandoverControlSocket record,
                                 std::vector<Descriptor> own) override {
    return Do([&] { return sink_.TakeControlSocket(record, std::move(own)); });
  }
  absl::Status TakeRequest(internal::v1::HandoverRequest record) override {
    return Do([&] { return sink_.TakeRequest(record); });
  }
  absl::Status TakeConnection(internal::v1::HandoverConnection record,
                              std::vector<Descriptor> own) override {
    return Do([&] { return sink_.TakeConnection(record, std::move(own)); });
  }
  absl::Status TakeEvents(internal::v1::HandoverEvents record,
                          Descriptor memfd) override {
    return Do([&] { return sink_.TakeEvents(record, std::move(memfd)); });
  }
  absl::Status TakeStore(internal::v1::HandoverStore record,
                         Descriptor lock) override {
    return Do([&] { return sink_.TakeStore(record, std::move(lock)); });
  }
  absl::Status Check() override {
    return Do([&] { return sink_.Check(); });
  }
  void BeginToServe() noexcept override { sink_.BeginToServe(); }

 private:
  template <typename F>
  absl::Status Do(F f) {
    if (fault_.is_due()) return TheFault();
    auto s = f();
    if (s.ok() && fault_.is_due()) return TheFault();
    return s;
  }

  HandoverSink& sink_;
  Fault& fault_;
};

// The successor is a thread here, which ends by itself.
class ThreadPeer final : public HandoverPeer {
 public:
  ThreadPeer(int channel, std::function<void()> await)
      : HandoverPeer(*HandoverPeer::Open(getpid())),
        channel_(channel),
        await_(std::move(await)) {}
  absl::Status Kill() override {
    shutdown(channel_, SHUT_RDWR);
    return absl::OkStatus();
  }
  bool AwaitDeath(HandoverClock&, TimePoint) override {
    await_();
    return true;
  }

 private:
  const int channel_;
  const std::function<void()> await_;
};

// All that is frozen of a process, as text: what is equal in two processes is
// the same.
std::string TextOf(const UpgradeParts& parts, bool may_move) {
  std::string text;
  const Registry& registry = parts.registry;
  for (const auto& [id, listener] : registry.listeners()) {
    absl::StrAppend(&text, registry.Freeze(*listener).DebugString(), "\n");
  }
  for (const auto& record : registry.FreezeRequests()) {
    absl::StrAppend(&text, record.DebugString(), "\n");
  }
  for (const auto& [id, live] : registry.connections().entries()) {
    const auto frozen = registry.Freeze(*live, may_move);
    absl::StrAppend(&text, frozen ? frozen->record.DebugString() : "opening",
                    " ", frozen ? frozen->descriptors.size() : 0, "\n");
  }
  const Registry::Numbers numbers = registry.numbers();
  absl::StrAppend(&text, numbers.last_request, " ", numbers.last_closed, " ",
                  numbers.page_key, "\n", parts.events.instance_id(), " ",
                  parts.events.first_revision(), " ",
                  parts.events.last_revision(), "\n");
  internal::v1::DaemonTotals totals = SaveTotals(parts);
  auto& own = *totals.mutable_metrics()->mutable_own_uids();
  std::sort(own.begin(), own.end());
  auto& folded = *totals.mutable_metrics()->mutable_folded_uids();
  std::sort(folded.begin(), folded.end());
  return text + totals.DebugString();
}

class UpgradeTest : public ::testing::TestWithParam<int> {
 protected:
  ~UpgradeTest() override {
    old_.reset();
    std::filesystem::remove_all(directory_);
  }

  static int num_loops() { return GetParam(); }

  // What both sides of one hand-over have come to.
  struct Result {
    HandoverOutcome outcome;
    absl::Status taken;
    std::string before;  // TextOf() the old one, frozen, and
    std::string after;   // of the new one, before it serves.
    int64_t next_id = 0;
    int64_t num_moving = 0;
    int64_t num_held = 0;
  };
  Result HandOverTo(Process& successor, bool has_state, Fault& of_source,
                    Fault& of_sink) {
    Result result;
    auto [ours, theirs] = SocketPair();
    auto channel = HandoverChannel::Open(std::move(ours));
    auto other = HandoverChannel::Open(std::move(theirs));
    EXPECT_TRUE(channel.ok() && other.ok());
    std::optional<internal::v1::HandoverDirectory> directory;
    if (has_state) directory = *DirectoryOf(state_);

    UpgradeSource::Options of_old;
    of_old.state = directory;
    of_old.may_move = may_move_;
    UpgradeSource source(old_->parts(), of_old);
    UpgradeSink::Options of_new;
    of_new.version = "2.0.0";
    if (has_state) of_new.state = state_;
    of_new.set_next_id = [&result](int64_t id) { result.next_id = id; };
    of_new.on_complete = [&] {
      // Both stand still now.
      result.before = TextOf(old_->parts(), may_move_);
      result.after = TextOf(successor.parts(), may_move_);
      return absl::OkStatus();
    };
    auto sink = std::make_unique<UpgradeSink>(successor.parts(), of_new);
    FaultySource faulty_source(source, of_source);
    auto taking = std::async(std::launch::async, [&] {
      FaultySink faulty_sink(*sink, of_sink);
      auto s = TakeOver(*other, faulty_sink, {"2.0.0", directory});
      if (!s.ok()) sink.reset();
      // Its end is that of the process.
      { HandoverChannel gone = *std::move(other); }
      return s;
    });
    ThreadPeer peer(channel->native_handle(), [&] { taking.wait(); });
    result.outcome =
        HandOver(*channel, peer, faulty_source, directory, "1.0.0",
                 std::chrono::steady_clock::now() + std::chrono::seconds(20));
    result.taken = taking.get();
    result.num_moving = source.num_moving();
    result.num_held = source.num_held();
    return result;
  }
  Result HandOverTo(Process& successor, bool has_state = true) {
    Fault never_source(-1), never_sink(-1);
    return HandOverTo(successor, has_state, never_source, never_sink);
  }

  // Of the old one, while all its loops stand still.
  std::string TextAtRest() {
    const auto frozen = old_->loops->Freeze(std::chrono::steady_clock::now() +
                                            std::chrono::seconds(20));
    EXPECT_TRUE(frozen.ok()) << frozen.status();
    return TextOf(old_->parts(), may_move_);
  }

  void FailEverywhere();

  // Has the old daemon have some of everything.
  void Fill() {
    ASSERT_TRUE(old_->sockets.Listen().ok());
    ASSERT_TRUE(old_->OpenStateIn(state_).ok());
    auto request = Process::Request("echo");
    request.set_request_id(kRequestId);
    request.mutable_spec()->set_max_connections(3);
    ASSERT_TRUE(old_->Create(request).ok());
    auto of_file = Process::Request("file");
    of_file.mutable_spec()
        ->mutable_where_to_listen()
        ->mutable_unix_socket()
        ->set_path(file_);
    ASSERT_TRUE(old_->Create(of_file).ok());
    auto remote = Process::Request("remote");
    remote.mutable_spec()->mutable_handler()->mutable_remote();
    ASSERT_TRUE(old_->Create(remote).ok());
    for (const char* id : {"closed", "closing", "early"}) {
      ASSERT_TRUE(old_->Create(Process::Request(id)).ok());
    }
    old_->Close("early");
    of_closing_.emplace(old_->AddressOfListener("closing"));
    ASSERT_TRUE(of_closing_->Echoes("hello"));
    old_->Close("closing");
    old_->Close("closed");
    {
      Caller gone(old_->AddressOfListener("echo"));
      ASSERT_TRUE(gone.Echoes("some bytes"));
    }
    ASSERT_TRUE(old_->AwaitOnLoop([this] {
      return old_->registry->connections().entries().size() == 1;
    }));
    held_.emplace(old_->AddressOfListener("echo"));
    ASSERT_TRUE(held_->Echoes("more bytes"));
    old_->requests.Count(0, 0, std::chrono::milliseconds(3));
    old_->lost_events = 17;
    std::promise<absl::StatusOr<std::string>> text;
    old_->metrics->Scrape({}, old_->loop.context().get_executor(),
                          [&](auto t) { text.set_value(std::move(t)); });
    ASSERT_TRUE(text.get_future().get().ok());
  }

  void ExpectServes(Process& process) {
    Caller caller(process.AddressOfListener("echo"));
    EXPECT_TRUE(caller.is_connected());
    EXPECT_TRUE(caller.Echoes("new"));
    Caller of_file{AnyAddress(Unix::Address(file_))};
    EXPECT_TRUE(of_file.is_connected());
    EXPECT_TRUE(of_file.Echoes("new"));
    EXPECT_TRUE(held_->Echoes("held"));
    EXPECT_TRUE(of_closing_->Echoes("held"));
  }
  void AwaitHeldAlone(Process& process) {
    EXPECT_TRUE(process.AwaitOnLoop([&process] {
      return process.registry->connections().entries().size() == 2;
    }));
  }

  // A short path, for the socket.
  const std::string directory_ = [] {
    std::string path = "/tmp/upgradeXXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }();
  const std::string state_ = directory_ + "/state";
  const std::string file_ = directory_ + "/s";
  std::unique_ptr<Process> old_ = std::make_unique<Process>(GetParam());
  std::optional<Caller> held_, of_closing_;
  // Whether connections move; else all of them are held.
  bool may_move_ = false;
};

INSTANTIATE_TEST_SUITE_P(Loops, UpgradeTest, ::testing::Values(1, 3));

TEST_P(UpgradeTest, AllIsTheSameInTheSuccessor) {
  Fill();
  Process successor(num_loops());
  const int64_t next_id = AnyConnection::NextId();
  const Result result = HandOverTo(successor);
  ASSERT_TRUE(result.taken.ok()) << result.taken;
  EXPECT_EQ(result.outcome.end, HandoverOutcome::End::kHandedOver);
  EXPECT_EQ(result.outcome.counts.listeners(), 6);
  EXPECT_EQ(result.outcome.counts.control_sockets(), 1);
  EXPECT_EQ(result.outcome.counts.requests(), 1);
  EXPECT_EQ(result.outcome.counts.connections(), 2);
  EXPECT_EQ(result.outcome.counts.stores(), 1);
  EXPECT_EQ(result.before, result.after);
  EXPECT_EQ(result.next_id, next_id);
  EXPECT_EQ(successor.life.generation, 1);
  EXPECT_EQ(successor.life.start_time.seconds(),
            old_->life.start_time.seconds());
  EXPECT_EQ(successor.life.daemon_id, old_->life.daemon_id);
  EXPECT_FALSE(old_->sockets.is_open());
  EXPECT_TRUE(successor.sockets.is_open());
}

TEST_P(UpgradeTest, TheSuccessorAcceptsAndTheOldOneServesWhatItHas) {
  Fill();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  ExpectServes(successor);
  AwaitHeldAlone(successor);
  EXPECT_EQ(old_->num_connections(), 2u);
  EXPECT_EQ(successor.Describe("echo").status().accepted_total(), 3);
  // Those that are held count for the limit.
  Caller first(successor.AddressOfListener("echo"));
  Caller second(successor.AddressOfListener("echo"));
  EXPECT_TRUE(first.Echoes("1"));
  EXPECT_TRUE(second.Echoes("2"));
  Caller third(successor.AddressOfListener("echo"));
  EXPECT_TRUE(third.Send("3"));
  EXPECT_EQ(successor.Describe("echo").status().num_connections(), 3);
  EXPECT_TRUE(successor.AwaitOnLoop([&] {
    return successor.registry->listeners()
               .at("echo")
               ->Counts()
               .limit_reached_total > 0;
  }));
  // The old one ends with them.
  EXPECT_FALSE(old_->Run(
      [&] { return old_->registry->AllHandlersDetermined().determined(); }));
  held_.reset();
  of_closing_.reset();
  EXPECT_TRUE(old_->AwaitOnLoop(
      [&] { return old_->registry->AllHandlersDetermined().determined(); }));
  EXPECT_EQ(successor.Describe("echo").status().num_connections(), 3);
  // As it will be told.
  successor.Run([&] {
    const auto entries = successor.registry->connections().entries();
    for (const auto& [id, live] : entries) {
      successor.registry->OnHeldClosed(
          ClosedConnection(id, {15, 14, 0, CloseReason::kPeerReset}));
    }
  });
  EXPECT_EQ(third.Receive(), "3");
}

TEST_P(UpgradeTest, EventsGoOnWithoutAHole) {
  Fill();
  const std::string instance_id = old_->events.instance_id();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  const int64_t last =
      successor.Run([&] { return successor.events.last_revision(); });
  EXPECT_EQ(last, old_->Run([&] { return old_->events.last_revision(); }));
  EXPECT_EQ(successor.events.instance_id(), instance_id);
  // What is held there is told of here, and what the old one does is not.
  held_.reset();
  EXPECT_TRUE(old_->AwaitOnLoop(
      [&] { return old_->registry->connections().entries().size() == 1; }));
  EXPECT_EQ(old_->Run([&] { return old_->events.last_revision(); }), last);
  ASSERT_TRUE(successor.Create(Process::Request("next")).ok());
  EXPECT_EQ(successor.Run([&] { return successor.events.last_revision(); }),
            last + 1);
}

TEST_P(UpgradeTest, AHeldConnectionEndsAsItsProcessSays) {
  Fill();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  const auto before = successor.Describe("echo").status();
  successor.Run([&] {
    Registry& registry = *successor.registry;
    ASSERT_EQ(registry.num_held(), 2u);
    const auto entries = registry.connections().entries();
    const int64_t of_echo = entries.rbegin()->first;
    registry.OnHeldProgress(of_echo, {100, 90, 5, CloseReason::kNone});
    EXPECT_EQ(registry.GetConnection(of_echo)->bytes_received(), 100);
    EXPECT_EQ(registry.GetConnection(of_echo)->bytes_to_write(), 5);
    registry.OnHeldClosed(
        ClosedConnection(of_echo, {110, 110, 0, CloseReason::kPeerClosed}));
    EXPECT_FALSE(registry.GetConnection(of_echo).ok());
    // Nobody has to be known.
    registry.OnHeldClosed(ClosedConnection(of_echo, {}));
    registry.OnHeldProgress(of_echo, {});
    EXPECT_EQ(registry.num_held(), 1u);
  });
  const auto after = successor.Describe("echo").status();
  EXPECT_EQ(after.num_connections(), 0);
  EXPECT_EQ(after.bytes_received_total(), before.bytes_received_total() + 100);
  EXPECT_EQ(after.closed_by_reason().at("PEER_CLOSED"),
            before.closed_by_reason().at("PEER_CLOSED") + 1);
  // The listener that was closed has ended with its last one.
  successor.Run([&] {
    const auto entries = successor.registry->connections().entries();
    ASSERT_EQ(entries.size(), 1u);
    successor.registry->OnHeldClosed(
        ClosedConnection(entries.begin()->first, {}));
  });
  EXPECT_TRUE(successor.AwaitOnLoop([&] {
    return successor.registry->listeners()
        .at("closing")
        ->handlers_determined()
        .determined();
  }));
  const auto closing = successor.Describe("closing");
  EXPECT_EQ(closing.status().close_cause(), v1::CLOSE_CAUSE_CALLED);
}

TEST_P(UpgradeTest, AHandlerMayFailWhoseConnectionIsClosed) {
  Fill();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  const auto before = successor.Describe("echo").status();
  int64_t num_events = 0;
  const auto fail = [&](HandlerErrorOutcome outcome) {
    successor.Run([&] {
      Registry& registry = *successor.registry;
      const int64_t id = registry.connections().entries().rbegin()->first;
      registry.OnHeldClosed(
          ClosedConnection(id, {0, 0, 0, CloseReason::kHandlerError}));
      registry.OnHeldHandlerError(
          "echo", registry.listeners().at("echo")->uid(), id, "boom", outcome);
      // Nobody has to be known, and another of that name is somebody else.
      registry.OnHeldHandlerError("nobody", "", id, "boom", outcome);
      registry.OnHeldHandlerError("echo", "another", id, "boom", outcome);
      num_events = successor.events.total(v1::EVENT_KIND_HANDLER_ERROR);
    });
    return successor.Describe("echo").status();
  };
  const auto returned = fail(HandlerErrorOutcome::kReturned);
  EXPECT_EQ(returned.handler_errors_total(), before.handler_errors_total() + 1);
  EXPECT_EQ(returned.close_cause(), v1::CLOSE_CAUSE_UNSPECIFIED);
  const int64_t once = num_events;
  const auto raised = fail(HandlerErrorOutcome::kRaised);
  EXPECT_EQ(raised.handler_errors_total(), before.handler_errors_total() + 2);
  EXPECT_EQ(raised.close_cause(), v1::CLOSE_CAUSE_HANDLER_ERROR);
  EXPECT_EQ(num_events, once + 1);
}

TEST_P(UpgradeTest, WhatTheOtherProcessHasLearntOfAnUpstreamIsShown) {
  Fill();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  v1::Connection closed;
  successor.Run([&] {
    Registry& registry = *successor.registry;
    const int64_t id = registry.connections().entries().rbegin()->first;
    closed = ClosedConnection(id, {1, 2, 0, CloseReason::kUpstreamUnreachable});
    *closed.mutable_upstream() =
        ToProto(Inet::Address(asio::ip::make_address("127.0.0.1"), 9));
    closed.mutable_failure()->set_reason("CONNECT_REFUSED");
    closed.mutable_failure()->set_message("nobody is there");
    registry.OnHeldClosed(closed);
  });
  const auto status = successor.Describe("echo").status();
  EXPECT_EQ(status.closed_by_reason().at("UPSTREAM_UNREACHABLE"), 1);
  EXPECT_EQ(
      status.closed_by_reason().at("UPSTREAM_UNREACHABLE/CONNECT_REFUSED"), 1);
}

TEST_P(UpgradeTest, OneThatDoesNotEndInTimeIsKilled) {
  Fill();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  std::pair<Descriptor, Descriptor> ends = SocketPair();
  const pid_t former = fork();
  if (former == 0) {
    pause();
    _exit(0);
  }
  ends.second = Descriptor();  // It has a copy.
  bool ended = false;
  std::unique_ptr<HeldFollower> follower;
  successor.Run([&] {
    EXPECT_GT(successor.registry->num_held(), 0u);
    follower = std::make_unique<HeldFollower>(
        successor.loop, *successor.registry,
        *HandoverChannel::Open(std::move(ends.first)),
        *HandoverPeer::Open(former), std::chrono::milliseconds(10),
        [&] { ended = true; });
    follower->Start();
  });
  EXPECT_TRUE(successor.AwaitOnLoop([&] { return ended; }));
  int status = 0;
  EXPECT_EQ(waitpid(former, &status, 0), former);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_EQ(successor.Run([&] { return successor.registry->num_held(); }), 0u);
  EXPECT_GT(
      successor.Describe("echo").status().closed_by_reason().at("PROCESS_LOST"),
      0);
  successor.Run([&] { follower.reset(); });
}

TEST_P(UpgradeTest, WhoIsClosedBeforeTheHolderIsKnownIsClosedThen) {
  Fill();
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  struct Holder final : ConnectionHolder {
    void Close(int64_t id, ExistingConnections how, CloseReason) override {
      closed.emplace_back(id, how);
    }
    std::vector<std::pair<int64_t, ExistingConnections>> closed;
  } holder;
  successor.Run([&] {
    Registry& registry = *successor.registry;
    const int64_t id = registry.connections().entries().begin()->first;
    EXPECT_TRUE(registry.CloseConnection(id, ExistingConnections::kReset).ok());
    registry.SetHolder(&holder);
    ASSERT_EQ(holder.closed.size(), 1u);
    EXPECT_EQ(holder.closed[0], std::pair(id, ExistingConnections::kReset));
    // Later ones go there at once.
    EXPECT_TRUE(registry.CloseConnection(id, ExistingConnections::kReset).ok());
    EXPECT_EQ(holder.closed.size(), 2u);
    registry.SetHolder(nullptr);
  });
}

TEST_P(UpgradeTest, TheStateIsTheSuccessors) {
  Fill();
  {
    Process successor(num_loops());
    ASSERT_TRUE(HandOverTo(successor).taken.ok());
    EXPECT_FALSE(old_->Run([&] { return old_->registry->has_state(); }));
    ASSERT_TRUE(successor.Create(Process::Request("late")).ok());
    // The same request again is the same listener.
    auto again = Process::Request("echo");
    again.set_request_id(kRequestId);
    again.mutable_spec()->set_max_connections(3);
    const auto answer = successor.Create(again);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->uid(), successor.Describe("echo").uid());
    // Nobody else can take it, also once the old one is gone.
    held_.reset();
    of_closing_.reset();
    old_.reset();
    EXPECT_FALSE(OpenState(state_, "3.0.0").ok());
    successor.Run([&] {
      const auto entries = successor.registry->connections().entries();
      for (const auto& [id, live] : entries) {
        successor.registry->OnHeldClosed(ClosedConnection(id, {}));
      }
    });
    successor.Close("late");
  }
  const auto opened = OpenState(state_, "3.0.0");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->contents.clean);
  EXPECT_EQ(opened->contents.written_by, "2.0.0");
  EXPECT_EQ(opened->contents.rows.listeners.size(), 7u);
  EXPECT_EQ(opened->contents.rows.requests.size(), 1u);
}

void UpgradeTest::FailEverywhere() {
  Fill();
  const int descriptors = CountDescriptors();
  int num_faults = 0;
  for (const bool in_sink : {false, true}) {
    for (int at = 1;; ++at) {
      Fault of_source(in_sink ? -1 : at), of_sink(in_sink ? at : -1);
      auto successor = std::make_unique<Process>(num_loops());
      ASSERT_LT(at, 100) << "it never ends";
      const std::string before = TextAtRest();
      const Result result = HandOverTo(*successor, true, of_source, of_sink);
      if (!(in_sink ? of_sink : of_source).has_been()) {
        // There are no more calls: it has gone over in the end.
        EXPECT_TRUE(result.taken.ok());
        ExpectServes(*successor);
        if (in_sink) {
          EXPECT_GT(num_faults, 40);
          return;
        }
        // The other half of the test needs a new one.
        held_.reset();
        of_closing_.reset();
        successor->Run([&] {
          const auto entries = successor->registry->connections().entries();
          for (const auto& [id, live] : entries) {
            successor->registry->OnHeldClosed(ClosedConnection(id, {}));
          }
        });
        successor.reset();
        old_ = std::make_unique<Process>(num_loops());
        std::filesystem::remove_all(directory_);
        std::filesystem::create_directory(directory_);
        Fill();
        break;
      }
      ++num_faults;
      EXPECT_FALSE(result.taken.ok());
      EXPECT_NE(result.outcome.end, HandoverOutcome::End::kHandedOver);
      successor.reset();
      EXPECT_EQ(TextAtRest(), before) << in_sink << " " << at;
      ExpectServes(*old_);
      AwaitHeldAlone(*old_);
      // The state is written as before.
      const std::string id = absl::StrCat("after-", in_sink, "-", at);
      ASSERT_TRUE(old_->Create(Process::Request(id)).ok());
      old_->Close(id);
      ASSERT_TRUE(old_->Delete(id).ok());
      // Now that the disk is at rest.
      EXPECT_EQ(CountDescriptors(), descriptors) << in_sink << " " << at;
      ASSERT_FALSE(HasFailure()) << in_sink << " " << at;
    }
  }
}

// Whatever fails, on either side: the old one goes on as if nothing had been.
TEST_P(UpgradeTest, WhateverFailsTheOldOneGoesOn) { FailEverywhere(); }

TEST_P(UpgradeTest, WhateverFailsThoseThatWouldHaveMovedStay) {
  may_move_ = true;
  FailEverywhere();
}

TEST_P(UpgradeTest, ConnectionsMove) {
  may_move_ = true;
  Fill();
  Process successor(num_loops());
  const Result result = HandOverTo(successor);
  ASSERT_TRUE(result.taken.ok()) << result.taken;
  EXPECT_EQ(result.before, result.after);
  EXPECT_EQ(result.num_moving, 2);
  EXPECT_EQ(result.num_held, 0);
  // The old one has nothing left, and ends.
  EXPECT_EQ(old_->num_connections(), 0u);
  EXPECT_TRUE(old_->AwaitOnLoop(
      [&] { return old_->registry->AllHandlersDetermined().determined(); }));
  EXPECT_EQ(old_->Run([&] { return old_->budget.num_taken(); }), 0);
  EXPECT_EQ(successor.Run([&] { return successor.registry->num_held(); }), 0u);
  EXPECT_EQ(successor.Run([&] { return successor.budget.num_taken(); }), 2);
  ExpectServes(successor);
  AwaitHeldAlone(successor);
  const auto status = successor.Describe("echo").status();
  EXPECT_EQ(status.accepted_total(), 3);
  EXPECT_EQ(status.num_connections(), 1);
  successor.Run([&] {
    for (const auto& [id, live] : successor.registry->connections().entries()) {
      EXPECT_FALSE(Describe(*live).held_by_predecessor());
      EXPECT_EQ(Describe(*live).state(), v1::CONNECTION_STATE_OPEN);
    }
  });
  // They count for the limit, and make room.
  Caller second(successor.AddressOfListener("echo"));
  Caller third(successor.AddressOfListener("echo"));
  EXPECT_TRUE(second.Echoes("2"));
  EXPECT_TRUE(third.Echoes("3"));
  Caller fourth(successor.AddressOfListener("echo"));
  EXPECT_TRUE(fourth.Send("4"));
  EXPECT_EQ(successor.Describe("echo").status().num_connections(), 3);
  held_.reset();
  EXPECT_EQ(fourth.Receive(), "4");
  // Their ends are told and counted here, with all of their bytes.
  const auto after = successor.Describe("echo").status();
  EXPECT_EQ(after.closed_by_reason().at("PEER_CLOSED"), 3);
  EXPECT_EQ(after.bytes_received_total(),
            static_cast<int64_t>(10 + 10 + 4 + 3 + 1 + 1 + 1));
  of_closing_.reset();
  EXPECT_TRUE(successor.AwaitOnLoop([&] {
    return successor.registry->listeners()
        .at("closing")
        ->handlers_determined()
        .determined();
  }));
}

// One that is carried by another loop, which has to be told to close it.
TEST_P(UpgradeTest, ACloseThatIsOnItsWayIsNotLost) {
  may_move_ = true;
  Fill();
  {
    const auto frozen = old_->loops->Freeze(std::chrono::steady_clock::now() +
                                            std::chrono::seconds(20));
    ASSERT_TRUE(frozen.ok());
    const auto moves = [this](const LiveConnection& live, bool may_move) {
      return old_->registry->Freeze(live, may_move)->moving.has_value();
    };
    const auto entries = old_->registry->connections().entries();
    ASSERT_EQ(entries.size(), 2u);
    for (const auto& [id, live] : entries) {
      EXPECT_TRUE(moves(*live, true));
      EXPECT_FALSE(moves(*live, false));
      live->connection->Close(ExistingConnections::kReset,
                              CloseReason::kCalled);
      EXPECT_FALSE(moves(*live, true));
    }
  }
  EXPECT_TRUE(old_->AwaitOnLoop(
      [this] { return old_->registry->connections().entries().empty(); }));
}

// From few loops to many, and back, under bulk, in both directions.
TEST_P(UpgradeTest, NoByteIsLostOverManyUpgrades) {
  may_move_ = true;
  ASSERT_TRUE(old_->sockets.Listen().ok());
  ASSERT_TRUE(old_->Create(Process::Request("echo")).ok());
  auto forward = Process::Request("forward");
  auto& inet = *forward.mutable_spec()
                    ->mutable_handler()
                    ->mutable_forward()
                    ->mutable_upstream()
                    ->mutable_inet();
  const auto echo = std::get<Inet::Address>(old_->AddressOfListener("echo"));
  inet.set_host("127.0.0.1");
  inet.set_port(echo.port());
  ASSERT_TRUE(old_->Create(forward).ok());
  std::vector<std::unique_ptr<BulkCaller>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::make_unique<BulkCaller>(
        old_->AddressOfListener(i % 2 == 0 ? "echo" : "forward")));
  }
  for (int i = 0; i < 6; ++i) {
    for (auto& caller : callers) caller->AwaitMore();
    auto successor = std::make_unique<Process>(1 + i % 4);
    const Result result = HandOverTo(*successor, false);
    ASSERT_TRUE(result.taken.ok()) << result.taken << result.outcome.reason;
    EXPECT_EQ(result.before, result.after);
    // A forward connection is two: it leads to another one.
    EXPECT_EQ(result.num_moving, 12);
    old_ = std::move(successor);
  }
  for (auto& caller : callers) caller->AwaitMore();
  for (auto& caller : callers) EXPECT_TRUE(caller->EndsWell());
}

TEST_P(UpgradeTest, ChangesThatWaitForTheDiskAreAnsweredAfterAThaw) {
  Fill();
  std::promise<absl::StatusOr<EncodedListener>> answer;
  {
    // While everything stands still a call comes.
    UpgradeSource source(old_->parts(), {});
    ASSERT_TRUE(
        source
            .Freeze(std::chrono::steady_clock::now() + std::chrono::seconds(5))
            .ok());
    old_->loop.Post([&] {
      auto draft = CheckCreate(Process::Request("waits"));
      old_->registry->Create(*std::move(draft),
                             [&](absl::StatusOr<EncodedListener> created) {
                               answer.set_value(std::move(created));
                             });
    });
    source.Thaw(HandoverStep::kReady, "");
  }
  const auto created = answer.get_future().get();
  EXPECT_TRUE(created.ok()) << created.status();
}

TEST_P(UpgradeTest, ChangesThatWaitForTheDiskAreMoved) {
  Fill();
  std::promise<absl::Status> suspended;
  std::promise<absl::StatusOr<EncodedListener>> answer;
  old_->loop.Post([&] {
    old_->registry->Suspend(
        [&](const absl::Status& s) { suspended.set_value(s); });
  });
  ASSERT_TRUE(suspended.get_future().get().ok());
  // It is bound, and waits.
  old_->Run([&] {
    auto draft = CheckCreate(Process::Request("waits"));
    old_->registry->Create(*std::move(draft),
                           [&](absl::StatusOr<EncodedListener> created) {
                             answer.set_value(std::move(created));
                           });
  });
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor).taken.ok());
  EXPECT_EQ(ReasonOf(answer.get_future().get().status()), "MOVED");
  successor.Run(
      [&] { EXPECT_FALSE(successor.registry->listeners().contains("waits")); });
  ASSERT_TRUE(successor.Create(Process::Request("waits")).ok());
}

// Also where it is of one that is there still: the other process knows more.
TEST_P(UpgradeTest, WhoAttachesInTheOldOneIsSentOn) {
  ASSERT_TRUE(old_->sockets.Listen().ok());
  ASSERT_TRUE(old_->Create(Process::Request("echo")).ok());
  may_move_ = false;
  Caller caller(old_->AddressOfListener("echo"));
  ASSERT_TRUE(caller.Echoes("hello"));
  const int64_t id = old_->Run(
      [&] { return old_->registry->connections().entries().begin()->first; });
  const auto attach = [this](int64_t number) {
    return ReasonOf(
        old_->Run([&] { return old_->registry->Attach(number).status(); }));
  };
  EXPECT_EQ(attach(id), "NOT_REMOTE");
  EXPECT_EQ(attach(id + 1), "NOT_FOUND");
  Process successor(num_loops());
  ASSERT_TRUE(HandOverTo(successor, false).taken.ok());
  EXPECT_EQ(attach(id), "MOVED");
  EXPECT_EQ(attach(id + 1), "MOVED");
}

TEST_P(UpgradeTest, WithoutAStateThereIsNone) {
  ASSERT_TRUE(old_->sockets.Listen().ok());
  ASSERT_TRUE(old_->Create(Process::Request("echo")).ok());
  Process successor(num_loops());
  const Result result = HandOverTo(successor, false);
  ASSERT_TRUE(result.taken.ok()) << result.taken;
  EXPECT_EQ(result.before, result.after);
  EXPECT_FALSE(successor.Run([&] { return successor.registry->has_state(); }));
  Caller caller(successor.AddressOfListener("echo"));
  EXPECT_TRUE(caller.Echoes("new"));
}

TEST_P(UpgradeTest, OneThatHasFailedIsTriedAgainWhenItWouldHaveBeen) {
  {
    // The state has a listener whose port somebody else has now.
    Process before(1);
    ASSERT_TRUE(before.OpenStateIn(state_).ok());
    auto request = Process::Request("failed");
    request.mutable_spec()
        ->mutable_where_to_listen()
        ->mutable_unix_socket()
        ->set_path(file_);
    ASSERT_TRUE(before.Create(request).ok());
  }
  std::filesystem::create_directory(file_);
  ASSERT_TRUE(old_->sockets.Listen().ok());
  ASSERT_TRUE(old_->OpenStateIn(state_).ok());
  ASSERT_EQ(old_->Describe("failed").status().state(),
            v1::LISTENER_STATE_FAILED);
  Process successor(num_loops());
  const Result result = HandOverTo(successor);
  ASSERT_TRUE(result.taken.ok()) << result.taken;
  EXPECT_EQ(result.before, result.after);
  EXPECT_EQ(successor.Run([&] { return successor.registry->num_failed(); }), 1);
  std::filesystem::remove(file_);
  successor.Run([&] { successor.registry->RetryFailed(); });
  EXPECT_EQ(successor.Describe("failed").status().state(),
            v1::LISTENER_STATE_LISTENING);
}

}  // namespace
}  // namespace portreeve::server
