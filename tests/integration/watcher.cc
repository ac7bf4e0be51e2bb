#include "tests/integration/watcher.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <utility>

#include "tests/testing/connected_channel.h"

namespace portreeve::testing {
namespace {

constexpr std::chrono::minutes kDeadline{2};
// The most messages that one who reconnects takes from one call.
constexpr int kMostMessages = 10;

}  // namespace

std::shared_ptr<grpc::Channel> OwnChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return Connected(grpc::CreateCustomChannel(
      target, grpc::InsecureChannelCredentials(), arguments));
}

Watcher::Watcher(const std::string& target, Manner manner)
    : manner_(std::move(manner)),
      stub_(v1::EventService::NewStub(OwnChannel(target))),
      random_(manner_.reconnects) {
  thread_ = std::thread([this] { Run(); });
}

void Watcher::Join() {
  if (thread_.joinable()) thread_.join();
}

void Watcher::Run() {
  while (!ended_) WatchOnce();
}

void Watcher::WatchOnce() {
  ++num_calls_;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::WatchEventsRequest request = manner_.filter;
  request.set_start_revision(next_);
  request.set_instance_id(instance_id_);
  const auto reader = stub_->WatchEvents(&context, request);
  int messages = manner_.reconnects == 0
                     ? std::numeric_limits<int>::max()
                     : static_cast<int>(random_() % kMostMessages) + 1;
  v1::WatchEventsResponse response;
  while (!ended_ && messages > 0 && reader->Read(&response)) {
    Take(response, --messages == 0);
    if (manner_.stalls_until.valid()) manner_.stalls_until.wait();
  }
  context.TryCancel();
  const grpc::Status status = reader->Finish();
  if (ended_ || messages == 0) return;
  ADD_FAILURE() << status.error_code() << " " << status.error_message();
  ended_ = true;
}

void Watcher::Take(const v1::WatchEventsResponse& message, bool leaves) {
  const int size = message.events_size();
  EXPECT_GE(size, 1);
  const int count = leaves ? static_cast<int>(random_() % size) + 1 : size;
  for (int i = 0; i < count && !ended_; ++i) Take(message.events(i));
}

void Watcher::Take(const v1::Event& event) {
  if (instance_id_.empty()) instance_id_ = event.instance_id();
  EXPECT_EQ(event.instance_id(), instance_id_);
  if (event.has_gap()) {
    EXPECT_EQ(event.gap().first_revision(), next_);
    EXPECT_EQ(event.gap().last_revision(), event.revision());
    EXPECT_EQ(event.gap().count(), event.revision() - next_ + 1);
    missing_ += event.gap().count();
  } else {
    if (is_filtered()) {
      EXPECT_GE(event.revision(), next_);
    } else {
      EXPECT_EQ(event.revision(), next_);
    }
    seen_[event.revision()] = event.SerializeAsString();
  }
  next_ = event.revision() + 1;
  ended_ = event.listener_created().listener().name() == kEnd;
}

}  // namespace portreeve::testing
