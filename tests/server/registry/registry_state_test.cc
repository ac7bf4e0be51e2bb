// What a registry keeps on disk, and what the next one makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/registry/registry.h"
#include "tests/server/answered.h"
#include "tests/server/registry_fixture.h"
#include "tests/server/state/fault_vfs.h"
#include "tests/server/state/state_files.h"

namespace portreeve::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FaultVfs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RawClient;
using testing::TemporaryDirectory;

// A registry with a state.  A restart finds what was on disk at that moment, as
// after a crash: each begins with a copy of the files that the one before had.
class RegistryStateTest : public RegistryTest {
 protected:
  RegistryStateTest() { Begin(); }

  std::string directory() const {
    return absl::StrCat(files_.path(), "/", life_);
  }

  void Begin() {
    auto state = OpenState(directory(), "1.0");
    ASSERT_TRUE(state.ok()) << state.status();
    const absl::Status begun = registry_->BeginStart(
        *std::move(state),
        [this](bool healthy) { health_.push_back(healthy); });
    ASSERT_TRUE(begun.ok()) << begun;
    registry_->OpenKept();
    registry_->FinishStart();
  }
  // Whether the registry has ended already.
  bool ended_ = false;
  void End() {
    if (!std::exchange(ended_, true)) Run(registry_->TearDown());
  }
  void NextLife() {
    End();
    ended_ = false;
    ++life_;
    NewRegistry();
    TakeEvents();
    Begin();
  }
  // What is on disk now is what the next life begins with.
  void CopyState() {
    const std::string next = absl::StrCat(files_.path(), "/", life_ + 1);
    std::filesystem::remove_all(next);
    std::filesystem::create_directory(next);
    std::filesystem::permissions(next, std::filesystem::perms::owner_all);
    for (const auto& file : std::filesystem::directory_iterator(directory())) {
      std::filesystem::copy(
          file.path(), std::filesystem::path(next) / file.path().filename());
    }
  }
  void Crash() {
    CopyState();
    NextLife();
  }

  Answered<v1::Listener> BeginCreate(const v1::CreateListenerRequest& request) {
    const auto draft = CheckCreate(request);
    EXPECT_TRUE(draft.ok()) << draft.status();
    const Answered<v1::Listener> answered;
    registry_->Create(*draft, answered.then());
    return answered;
  }
  template <typename T>
  absl::StatusOr<T> Await(const Answered<T>& answered) {
    EXPECT_TRUE(RunUntil([&] { return answered.is_there(); }));
    return answered.get();
  }
  absl::StatusOr<v1::Listener> TryCreate(
      const v1::CreateListenerRequest& request) {
    return Await(BeginCreate(request));
  }
  v1::Listener Create(const std::string& id) {
    const auto listener = TryCreate(Request(id));
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *listener;
  }
  Answered<v1::Listener> BeginUpdate(const std::string& id, int connections) {
    v1::UpdateListenerRequest request;
    request.mutable_listener()->mutable_spec()->set_max_connections(
        connections);
    request.mutable_update_mask()->add_paths("spec.max_connections");
    const Answered<v1::Listener> answered;
    registry_->Update(id, request, answered.then());
    return answered;
  }
  absl::StatusOr<v1::Listener> Update(const std::string& id, int connections) {
    return Await(BeginUpdate(id, connections));
  }
  Answered<google::protobuf::Empty> BeginDelete(const std::string& id) {
    const Answered<google::protobuf::Empty> answered;
    registry_->Delete(id, answered.then());
    return answered;
  }
  absl::Status Delete(const std::string& id) {
    return Await(BeginDelete(id)).status();
  }
  absl::StatusOr<v1::Listener> TryClose(
      const std::string& id,
      v1::WaitFor wait_for = v1::WAIT_FOR_CLOSE_FINISHED) {
    const auto awaited =
        registry_->Close(id, ExistingConnections::kLeave, wait_for);
    EXPECT_TRUE(awaited.ok()) << awaited.status();
    EXPECT_TRUE(RunUntil(awaited->until));
    const auto listener = awaited->describe();
    if (!listener.ok()) return listener.status();
    return listener->message();
  }
  v1::Listener Get(const std::string& id) {
    const auto listener = registry_->Get(id);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return listener.ok() ? listener->message() : v1::Listener();
  }
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const auto& [id, listener] : registry_->listeners()) ids.push_back(id);
    return ids;
  }
  std::vector<v1::Event::KindCase> TakeKinds() {
    std::vector<v1::Event::KindCase> kinds;
    for (const v1::Event& event : TakeEvents()) {
      kinds.push_back(event.kind_case());
    }
    return kinds;
  }
  // A socket that has the port of a listener which is not open.
  static std::unique_ptr<asio::ip::tcp::acceptor> Take(
      asio::io_context& loop, const v1::Listener& listener) {
    const auto port =
        static_cast<uint16_t>(listener.status().listening_on().inet().port());
    return std::make_unique<asio::ip::tcp::acceptor>(
        loop, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port));
  }
  // What it is told to do counts from then on.
  FaultVfs disk_;
  TemporaryDirectory files_;
  int life_ = 0;
  std::vector<bool> health_;
};

TEST_F(RegistryStateTest, WhatWasAnsweredIsThereAfterACrash) {
  auto request = Request("web");
  request.set_request_id("first");
  (*request.mutable_spec()->mutable_labels())["a"] = "b";
  const auto web = TryCreate(request);
  ASSERT_TRUE(web.ok()) << web.status();
  EXPECT_EQ(web->status().source(), v1::LISTENER_SOURCE_CLIENT);
  Create("gone");
  ASSERT_TRUE(TryClose("gone").ok());
  ASSERT_TRUE(Delete("gone").ok());
  Create("old");
  const auto old = TryClose("old");
  ASSERT_TRUE(old.ok()) << old.status();
  ASSERT_TRUE(Update("web", 17).ok());
  Crash();
  EXPECT_THAT(Ids(), ElementsAre("old", "web"));
  const v1::Listener again = Get("web");
  EXPECT_EQ(again.uid(), web->uid());
  EXPECT_EQ(again.status().state(), v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(again.status().listening_on().inet().port(),
            web->status().listening_on().inet().port());
  EXPECT_EQ(again.status().create_time().nanos(),
            web->status().create_time().nanos());
  EXPECT_NE(again.status().opened_time().nanos(),
            web->status().opened_time().nanos());
  EXPECT_EQ(again.spec().max_connections(), 17);
  EXPECT_EQ(again.spec().where_to_listen().inet().port(), 0);
  EXPECT_EQ(again.spec().labels().at("a"), "b");
  RawClient client = Connect(again);
  EXPECT_TRUE(RunUntil([&] { return num_connections() == 1; }));
  // The one that was closed is shown as it was.
  v1::Listener closed = Get("old");
  EXPECT_EQ(closed.status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_TRUE(closed.status().handlers_determined());
  EXPECT_EQ(closed.status().close_time().nanos(),
            old->status().close_time().nanos());
  EXPECT_EQ(closed.status().close_cause(), v1::CLOSE_CAUSE_CALLED);
  EXPECT_EQ(closed.uid(), old->uid());
  // The request has its answer, which is the first one.
  const auto repeated = TryCreate(request);
  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_EQ(repeated->SerializeAsString(), web->SerializeAsString());
  request.mutable_spec()->set_max_connections(5);
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "REQUEST_ID_REUSED");
  EXPECT_EQ(TakeKinds().front(), v1::Event::kListenerRestored);
}

// Whatever step of the loop the crash comes in: what was answered is on disk.
TEST_F(RegistryStateTest, AnAnswerComesAfterTheDisk) {
  const auto created = BeginCreate(Request("web"));
  EXPECT_FALSE(created.is_there());
  EXPECT_THAT(TakeEvents(), IsEmpty());
  EXPECT_THAT(Ids(), IsEmpty());
  ASSERT_TRUE(Await(created).ok());
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerCreated));
  CopyState();
  const auto updated = BeginUpdate("web", 3);
  EXPECT_FALSE(updated.is_there());
  EXPECT_EQ(Get("web").spec().max_connections(), 10'000);
  EXPECT_THAT(TakeEvents(), IsEmpty());
  ASSERT_TRUE(Await(updated).ok());
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerUpdated));
  const auto closing = registry_->Close("web", ExistingConnections::kLeave,
                                        v1::WAIT_FOR_CLOSE_STARTED);
  EXPECT_TRUE(Get("web").status().is_closed());
  EXPECT_FALSE(closing->until.determined());
  ASSERT_TRUE(RunUntil(closing->until));
  EXPECT_TRUE(closing->describe().ok());
  CopyState();
  RunUntil([&] { return Get("web").status().handlers_determined(); });
  TakeEvents();
  const auto deleted = BeginDelete("web");
  EXPECT_FALSE(deleted.is_there());
  EXPECT_THAT(Ids(), ElementsAre("web"));
  EXPECT_THAT(TakeEvents(), IsEmpty());
  ASSERT_TRUE(Await(deleted).ok());
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerDeleted));
  // The copy is of before the deletion.
  NextLife();
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_CLOSED);
}

TEST_F(RegistryStateTest, NothingIsAcceptedBeforeTheDisk) {
  auto request = Request("web");
  const auto created = BeginCreate(request);
  // The socket listens, for its address is a part of the record.
  const v1::Listener listener = *Await(created);
  RawClient client = Connect(listener);
  EXPECT_TRUE(RunUntil([&] { return num_connections() == 1; }));
}

TEST_F(RegistryStateTest, WhoAsksMeanwhileIsToldOrWaits) {
  auto request = Request("web");
  request.set_request_id("same");
  const auto first = BeginCreate(request);
  const auto second = BeginCreate(request);
  request.mutable_spec()->set_max_connections(5);
  const auto other = BeginCreate(request);
  const auto taken = BeginCreate(Request("web"));
  EXPECT_EQ(ReasonOf(taken.get().status()), "LISTENER_EXISTS");
  ASSERT_TRUE(Await(first).ok());
  ASSERT_TRUE(Await(second).ok());
  EXPECT_EQ(first.get()->uid(), second.get()->uid());
  EXPECT_EQ(ReasonOf(Await(other).status()), "REQUEST_ID_REUSED");
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerCreated));
}

TEST_F(RegistryStateTest, ChangesOfAListenerComeInTheirOrder) {
  Create("web");
  std::vector<Answered<v1::Listener>> updates;
  for (int i = 1; i <= 4; ++i) updates.push_back(BeginUpdate("web", i));
  const auto deleted = BeginDelete("web");
  for (int i = 1; i <= 4; ++i) {
    EXPECT_EQ(
        Await(updates[static_cast<size_t>(i - 1)])->spec().max_connections(),
        i);
  }
  EXPECT_EQ(ReasonOf(Await(deleted).status()), "LISTENER_OPEN");
  ASSERT_TRUE(TryClose("web").ok());
  const auto once = BeginDelete("web");
  const auto twice = BeginDelete("web");
  EXPECT_TRUE(Await(once).ok());
  EXPECT_EQ(ReasonOf(Await(twice).status()), "NOT_FOUND");
  Crash();
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(RegistryStateTest, AnUpdateThatWaitsLosesAgainstAClose) {
  Create("web");
  const auto updated = BeginUpdate("web", 5);
  const auto closed = registry_->Close("web", ExistingConnections::kLeave,
                                       v1::WAIT_FOR_CLOSE_FINISHED);
  EXPECT_EQ(ReasonOf(Await(updated).status()), "LISTENER_CLOSED");
  Settle();
  time().Advance(CommitPolicy::kLongestGathering);
  ASSERT_TRUE(RunUntil(closed->until));
  EXPECT_TRUE(closed->describe().ok());
  Crash();
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_EQ(Get("web").spec().max_connections(), 10'000);
}

// An id that was deleted, or forgotten, may be another listener's at once.
TEST_F(RegistryStateTest, AnIdComesBack) {
  std::string uid;
  for (int i = 0; i < 3; ++i) {
    uid = Create("web").uid();
    ASSERT_TRUE(TryClose("web").ok());
    if (i == 2) break;
    const auto deleted = BeginDelete("web");
    ASSERT_TRUE(Await(deleted).ok());
  }
  Crash();
  EXPECT_EQ(Get("web").uid(), uid);
}

TEST_F(RegistryStateTest, TheEndOfTheDaemonIsNoEndOfAListener) {
  const std::string uid = Create("web").uid();
  End();
  Crash();
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(Get("web").uid(), uid);
}

// ... but a client's wish is, while the daemon ends.
TEST_F(RegistryStateTest, WhoClosesWhileTheDaemonEndsIsHeard) {
  Create("web");
  Create("api");
  registry_->BeginShutdown();
  const auto closed = TryClose("web");
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(closed->status().close_cause(), v1::CLOSE_CAUSE_SHUTDOWN);
  End();
  Crash();
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_EQ(Get("api").status().state(), v1::LISTENER_STATE_LISTENING);
}

TEST_F(RegistryStateTest, ACreationThatTheEndMeetsIsAnswered) {
  const auto created = BeginCreate(Request("web"));
  registry_->BeginShutdown();
  End();
  ASSERT_TRUE(created.is_there());
  ASSERT_TRUE(created.get().ok()) << created.get().status();
  Crash();
  EXPECT_EQ(Get("web").uid(), created.get()->uid());
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_LISTENING);
}

TEST_F(RegistryStateTest, APortThatIsTakenIsOpenedWhenItIsFree) {
  const v1::Listener web = Create("web");
  const v1::Listener api = Create("api");
  CopyState();
  Run(registry_->TearDown());
  ++life_;
  NewRegistry();
  TakeEvents();
  auto other = Take(loop(), web);
  Begin();
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerRestored,
                                       v1::Event::kListenerFailed));
  v1::Listener failed = Get("web");
  EXPECT_EQ(failed.status().state(), v1::LISTENER_STATE_FAILED);
  EXPECT_FALSE(failed.status().is_closed());
  EXPECT_EQ(failed.status().failure().reason(), "ADDRESS_IN_USE");
  EXPECT_EQ(failed.status().failure().error_number(), EADDRINUSE);
  EXPECT_EQ(failed.status().failure().attempts(), 1);
  EXPECT_TRUE(failed.status().failure().has_next_attempt_time());
  EXPECT_FALSE(failed.status().has_opened_time());
  EXPECT_EQ(failed.status().listening_on().inet().port(),
            web.status().listening_on().inet().port());
  EXPECT_EQ(Get("api").uid(), api.uid());
  EXPECT_EQ(registry_->num_failed(), 1);
  EXPECT_EQ(registry_->num_wanted(), 2);
  EXPECT_THAT(TakeLog(), ElementsAre(AllOf(HasSubstr("listeners/web"),
                                           HasSubstr("it is tried again"))));
  EXPECT_EQ(ReasonOf(Delete("web")), "LISTENER_OPEN");
  // It fails again, which is no news.
  time().Advance(std::chrono::seconds(1));
  Settle();
  EXPECT_EQ(Get("web").status().failure().attempts(), 2);
  EXPECT_THAT(TakeEvents(), IsEmpty());
  other.reset();
  time().Advance(std::chrono::seconds(2));
  Settle();
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerRestored));
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_LISTENING);
  EXPECT_FALSE(Get("web").status().has_failure());
  EXPECT_TRUE(Get("web").status().has_opened_time());
  EXPECT_EQ(Get("web").uid(), web.uid());
  EXPECT_EQ(registry_->num_failed(), 0);
  RawClient client = Connect(Get("web"));
  EXPECT_TRUE(RunUntil([&] { return num_connections() == 1; }));
  TakeLog();
}

TEST_F(RegistryStateTest, AFailedListenerIsTriedByAnUpdateAndClosedAtOnce) {
  const v1::Listener web = Create("web");
  const v1::Listener api = Create("api");
  CopyState();
  Run(registry_->TearDown());
  ++life_;
  NewRegistry();
  auto of_web = Take(loop(), web);
  auto of_api = Take(loop(), api);
  Begin();
  EXPECT_EQ(registry_->num_failed(), 2);
  TakeEvents();
  // An update is an attempt, also one that changes nothing.
  ASSERT_TRUE(Update("web", 10'000).ok());
  EXPECT_EQ(Get("web").status().failure().attempts(), 2);
  EXPECT_THAT(TakeEvents(), IsEmpty());
  of_web.reset();
  const auto updated = Update("web", 7);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->status().state(), v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(updated->spec().max_connections(), 7);
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerUpdated,
                                       v1::Event::kListenerRestored));
  const auto closed = TryClose("api");
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(closed->status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_TRUE(closed->status().handlers_determined());
  EXPECT_FALSE(closed->status().has_failure());
  EXPECT_EQ(registry_->num_failed(), 0);
  EXPECT_THAT(TakeKinds(), ElementsAre(v1::Event::kListenerCloseStarted,
                                       v1::Event::kListenerCloseFinished,
                                       v1::Event::kListenerHandlersDetermined));
  EXPECT_TRUE(Delete("api").ok());
  of_api.reset();
  TakeLog();
  Crash();
  EXPECT_THAT(Ids(), ElementsAre("web"));
  EXPECT_EQ(Get("web").spec().max_connections(), 7);
}

// Nothing that could not be written has happened, but a close; and all is well
// again once there is room.
TEST_F(RegistryStateTest, ADiskThatIsFull) {
  const v1::Listener web = Create("web");
  Create("api");
  ASSERT_TRUE(TryClose("api").ok());
  TakeEvents();
  // A port that is free.
  auto request = Request("new");
  request.mutable_spec()->mutable_where_to_listen()->mutable_inet()->set_port(
      Create("port").status().listening_on().inet().port());
  ASSERT_TRUE(TryClose("port").ok());
  TakeEvents();
  disk_.FailFrom(1, FaultVfs::kForEver, FaultVfs::Fault::kFull);
  request.set_request_id("again");
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "STATE_FULL");
  EXPECT_EQ(ReasonOf(Update("web", 5).status()), "STATE_FULL");
  EXPECT_EQ(ReasonOf(Delete("api")), "STATE_FULL");
  EXPECT_THAT(Ids(), ElementsAre("api", "port", "web"));
  EXPECT_EQ(Get("web").spec().max_connections(), 10'000);
  EXPECT_THAT(TakeEvents(), IsEmpty());
  EXPECT_FALSE(registry_->state_status().healthy);
  const auto closed = TryClose("web");
  EXPECT_EQ(ReasonOf(closed.status()), "STATE_FULL");
  EXPECT_THAT(std::string(closed.status().message()),
              HasSubstr("closed, but not recorded"));
  EXPECT_TRUE(Get("web").status().is_closed());
  CopyState();
  disk_.FailNoMore();
  time().Advance(std::chrono::seconds(5));
  const auto created = TryCreate(request);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(registry_->state_status().healthy);
  EXPECT_THAT(health_, ElementsAre(false, true));
  EXPECT_TRUE(TryClose("web").ok());
  TakeLog();
  // While the disk was full, the close was nowhere.
  NextLife();
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(Get("web").uid(), web.uid());
  EXPECT_THAT(Ids(), ElementsAre("api", "port", "web"));
  TakeLog();
}

TEST_F(RegistryStateTest, WhatADiskHasMissedIsMadeGood) {
  Create("web");
  Create("api");
  disk_.FailFrom(1, FaultVfs::kForEver, FaultVfs::Fault::kIo);
  EXPECT_EQ(ReasonOf(TryClose("web").status()), "STATE_UNAVAILABLE");
  EXPECT_EQ(ReasonOf(Update("api", 5).status()), "STATE_UNAVAILABLE");
  disk_.FailNoMore();
  time().Advance(std::chrono::seconds(5));
  const auto created = TryCreate(Request("new"));
  ASSERT_TRUE(created.ok()) << created.status();
  TakeLog();
  Crash();
  EXPECT_EQ(Get("web").status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_EQ(Get("api").spec().max_connections(), 10'000);
  EXPECT_EQ(Get("new").uid(), created->uid());
}

// Of the oldest that are forgotten nothing stays on the disk.
TEST_F(RegistryStateTest, WhatIsForgottenIsErased) {
  constexpr int kMore = 3;
  for (int i = 0; i < static_cast<int>(Registry::kMaxClosed) + kMore; ++i) {
    const std::string id = absl::StrCat("l", i);
    Create(id);
    ASSERT_TRUE(TryClose(id).ok());
  }
  Settle();
  EXPECT_EQ(Ids().size(), Registry::kMaxClosed);
  ASSERT_TRUE(TryCreate(Request("last")).ok());
  Crash();
  EXPECT_EQ(Ids().size(), Registry::kMaxClosed + 1);
  EXPECT_EQ(ReasonOf(registry_->Get("l2").status()), "NOT_FOUND");
  // The order in which they were closed is that of before.
  ASSERT_TRUE(TryClose("last").ok());
  Settle();
  EXPECT_EQ(ReasonOf(registry_->Get("l3").status()), "NOT_FOUND");
  EXPECT_TRUE(registry_->Get("l4").ok());
}

TEST_F(RegistryStateTest, AListenerOfTheCommandLineIsNotKept) {
  auto draft = CheckCreate(Request("flag"));
  draft->source = v1::LISTENER_SOURCE_FLAG;
  const auto listener = CreateNow(*registry_, *draft);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(listener->status().source(), v1::LISTENER_SOURCE_FLAG);
  Create("web");
  Crash();
  EXPECT_THAT(Ids(), ElementsAre("web"));
}

}  // namespace
}  // namespace portreeve::server
