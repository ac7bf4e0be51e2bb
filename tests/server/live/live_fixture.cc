#include "tests/server/live/live_fixture.h"

#include <new>

#include "portreeve/v1/event.pb.h"
#include "server/api/listener_draft.h"
#include "tests/server/answered.h"
#include "tests/server/service_fixture.h"

namespace portreeve::testing {
LiveFixture::LiveFixture(int64_t capacity)
    : log_(capacity),
      gate_(policy_, server::Gate::Certificates::kAreAdmins, nullptr) {
  registry_ = OnLoop([this] {
    time_.emplace(loop_.context());
    lanes_.emplace(loop_.context());
    return std::make_unique<server::Registry>(loop_.executor(), lanes_->set(),
                                              log_, budget_, policy_);
  });
  service_ =
      std::make_unique<server::EventService>(loop_, log_, *registry_, gate_);
  board_ = std::make_unique<server::StatsBoard>(
      loop_.context(), *registry_, log_,
      [](const std::function<void(const server::ProcessValues&)>& then) {
        then({});
      });
}

LiveFixture::~LiveFixture() {
  loop_.RunTask(registry_->TearDown()).get();
  OnLoop([this] { registry_.reset(); });
  loop_.Join();
}

void LiveFixture::CreateOnLoop(const std::string& id) {
  v1::CreateListenerRequest request;
  request.set_listener_id(id);
  *request.mutable_spec() = EchoSpec();
  const auto draft = server::CheckCreate(request);
  ASSERT_TRUE(draft.ok()) << draft.status();
  const auto made = server::CreateNow(*registry_, *draft);
  ASSERT_TRUE(made.ok()) << made.status();
}

void LiveFixture::Close(const std::string& id) {
  OnLoop([&] {
    const auto closed = registry_->Close(id, ExistingConnections::kLeave,
                                         v1::WAIT_FOR_CLOSE_FINISHED);
    ASSERT_TRUE(closed.ok()) << closed.status();
  });
  Settle();
}

void LiveFixture::DeleteOnLoop(const std::string& id) {
  const absl::Status deleted = server::DeleteNow(*registry_, id);
  ASSERT_TRUE(deleted.ok()) << deleted;
}

void LiveFixture::Append(int count, size_t size) {
  const GivenMemory for_the_test;
  v1::Event event;
  event.mutable_handler_error()->set_listener("listeners/a");
  event.mutable_handler_error()->set_message(std::string(size, 'x'));
  OnLoop([&] {
    const GivenMemory for_the_log;
    for (int i = 0; i < count; ++i) log_.Append(event, "listeners/a");
  });
}

// What the one thread posts for the other the other one posts for this one, and
// so on, until there is nothing.
void LiveFixture::Settle() {
  const auto poll = [this](asio::io_context& context) {
    while (true) {
      try {
        return context.poll() > 0;
      } catch (const std::bad_alloc&) {
        ++num_escaped_;
      }
    }
  };
  do {
    OnLoop([&] { poll(loop_.context()); });
    http_.restart();
  } while (poll(http_));
}

void LiveFixture::Advance(Duration by) {
  Settle();
  OnLoop([&] { time_->Advance(by); });
  Settle();
}

}  // namespace portreeve::testing
