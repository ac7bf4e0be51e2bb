#include "tests/server/watch_fixture.h"

#include <chrono>
#include <thread>

#include "lib/base/deferred.h"
#include "server/api/listener_draft.h"
#include "tests/server/answered.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/connected_channel.h"

namespace portreeve::testing {

constexpr std::chrono::seconds kDeadline{30};

WatchFixture::WatchFixture(int64_t capacity)
    : log_(capacity),
      gate_(policy_, server::Gate::Certificates::kAreAdmins, nullptr) {
  registry_ = OnLoop([this] {
    lanes_.emplace(loop_.context());
    return std::make_unique<server::Registry>(loop_.executor(), lanes_->set(),
                                              log_, budget_, policy_);
  });
  service_ =
      std::make_unique<server::EventService>(loop_, log_, *registry_, gate_);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  target_ = "127.0.0.1:" + std::to_string(port);
}

WatchFixture::~WatchFixture() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  loop_.RunTask(registry_->TearDown()).get();
  OnLoop([this] { registry_.reset(); });
  loop_.Join();
}

int64_t WatchFixture::last_revision() {
  return OnLoop([this] { return log_.last_revision(); });
}

void WatchFixture::Append(int count, const std::string& listener, size_t size) {
  v1::Event event;
  event.mutable_handler_error()->set_listener(listener);
  event.mutable_handler_error()->set_message(std::string(size, 'x'));
  OnLoop([&] {
    for (int i = 0; i < count; ++i) log_.Append(event, listener);
  });
}

void WatchFixture::AppendAndStall(int count, size_t size) {
  Append(count, "listeners/a", size);
  WaitUntil([this] { return log_.num_subscribers() == 0; });
}

void WatchFixture::WaitUntilIdle() {
  WaitUntil([this] { return log_.num_subscribers() == 1; });
}

v1::Listener WatchFixture::Create(const std::string& id, int label_bytes) {
  v1::CreateListenerRequest request;
  request.set_listener_id(id);
  *request.mutable_spec() = EchoSpec();
  for (int i = 100; i <= label_bytes; i += 100) {
    (*request.mutable_spec()->mutable_labels())[std::to_string(i)] =
        std::string(96, 'x');
  }
  const auto draft = server::CheckCreate(request);
  EXPECT_TRUE(draft.ok()) << draft.status();
  const auto listener = OnLoop([&] { return CreateNow(*registry_, *draft); });
  EXPECT_TRUE(listener.ok()) << listener.status();
  return *listener;
}

v1::Listener WatchFixture::Close(const std::string& id) {
  const auto awaited = OnLoop([&] {
    return registry_->Close(id, ExistingConnections::kLeave,
                            v1::WAIT_FOR_HANDLERS_DETERMINED);
  });
  EXPECT_TRUE(awaited.ok()) << awaited.status();
  WaitUntil([&] { return awaited->until.determined(); });
  return OnLoop([&] { return awaited->describe()->message(); });
}

void WatchFixture::Delete(const std::string& id) {
  const auto deleted = OnLoop([&] { return DeleteNow(*registry_, id); });
  EXPECT_TRUE(deleted.ok()) << deleted;
}

void WatchFixture::EndWatches() {
  OnLoop([this] { service_->EndStreams(); });
}

void WatchFixture::WaitUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!OnLoop(condition)) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

std::string WatchFixture::Refusal(const v1::WatchEventsRequest& request) {
  return Shown(Call(*this, request).Finish());
}

std::shared_ptr<grpc::Channel> WatchFixture::AnotherConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return Connected(grpc::CreateCustomChannel(
      target_, grpc::InsecureChannelCredentials(), arguments));
}

WatchFixture::Call::Call(const std::shared_ptr<grpc::Channel>& channel,
                         const v1::WatchEventsRequest& request)
    : stub_(v1::EventService::NewStub(channel)) {
  context_.set_deadline(std::chrono::system_clock::now() + kDeadline);
  reader_ = stub_->WatchEvents(&context_, request);
  reader_->WaitForInitialMetadata();
}

std::vector<v1::Event> WatchFixture::Call::ReadMessage() {
  v1::WatchEventsResponse response;
  if (!reader_->Read(&response)) return {};
  EXPECT_GT(response.events_size(), 0);
  return {response.events().begin(), response.events().end()};
}

std::vector<v1::Event> WatchFixture::Call::ReadUntil(
    const std::function<bool(const v1::Event&)>& is_last) {
  std::vector<v1::Event> events;
  do {
    const auto message = ReadMessage();
    if (message.empty()) break;
    events.insert(events.end(), message.begin(), message.end());
  } while (!is_last(events.back()));
  return events;
}

std::vector<v1::Event> WatchFixture::Call::ReadUntil(int64_t revision) {
  return ReadUntil(
      [=](const v1::Event& event) { return event.revision() >= revision; });
}

std::vector<v1::Event> WatchFixture::Call::ReadSnapshot() {
  return ReadUntil(
      [](const v1::Event& event) { return event.has_snapshot_done(); });
}

v1::WatchEventsRequest From(int64_t revision) {
  v1::WatchEventsRequest request;
  request.set_start_revision(revision);
  return request;
}

v1::WatchEventsRequest WithSnapshot() {
  v1::WatchEventsRequest request;
  request.set_initial_snapshot(true);
  return request;
}

}  // namespace portreeve::testing
