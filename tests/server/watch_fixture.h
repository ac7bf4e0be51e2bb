// WatchFixture: EventService over a real channel, with a log that keeps little.
#ifndef PORTREEVE_TESTS_SERVER_WATCH_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_WATCH_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/loop.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/event.grpc.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/access/gate.h"
#include "server/access/policy.h"
#include "server/events/event_log.h"
#include "server/registry/registry.h"
#include "server/watch/event_service.h"
#include "tests/server/event_sequence.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::testing {

class WatchFixture : public ::testing::Test {
 protected:
  // How many events are kept.
  static constexpr int64_t kCapacity = 1000;

  // One call, which counts once this is constructed.  Its channel is its own,
  // and holds no more than 64 KiB that were not read.
  class Call {
   public:
    Call(WatchFixture& test, const v1::WatchEventsRequest& request)
        : Call(test.AnotherConnection(), request) {}
    // The same with a channel that others share.
    Call(const std::shared_ptr<grpc::Channel>& channel,
         const v1::WatchEventsRequest& request);

    // The next message, which is not empty; none at the end of the stream.
    std::vector<v1::Event> ReadMessage();
    // Reads until the event of `revision` or the end: all on the way.
    std::vector<v1::Event> ReadUntil(int64_t revision);
    // Reads until snapshot_done: all on the way.
    std::vector<v1::Event> ReadSnapshot();
    void Cancel() { context_.TryCancel(); }
    grpc::Status Finish() { return reader_->Finish(); }

   private:
    std::vector<v1::Event> ReadUntil(
        const std::function<bool(const v1::Event&)>& is_last);

    grpc::ClientContext context_;
    const std::unique_ptr<v1::EventService::Stub> stub_;
    std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader_;
  };

  explicit WatchFixture(int64_t capacity = kCapacity);
  ~WatchFixture() override;

  // A channel as calls have it.
  std::shared_ptr<grpc::Channel> AnotherConnection();

  // On the loop; gives what `f` gives.
  template <typename F>
  auto OnLoop(F f) {
    return loop_.Run(std::move(f)).get();
  }
  server::Registry& registry() { return *registry_; }
  server::EventLog& log() { return log_; }
  const server::EventService& service() const { return *service_; }
  const std::string& instance_id() const { return log_.instance_id(); }
  int64_t last_revision();

  // Appends `count` events in one step of the loop; each is somewhat larger
  // than `size`.
  void Append(int count, const std::string& listener = "listeners/a",
              size_t size = 0);
  // Appends them, and waits until a message with them is on its way to the only
  // watcher there is.  More than 128 KiB get there only when it reads.
  void AppendAndStall(int count, size_t size);
  // Waits until the only watcher has got everything.
  void WaitUntilIdle();

  // An echo listener on 127.0.0.1, with labels of `label_bytes` in all.
  v1::Listener Create(const std::string& id, int label_bytes = 0);
  // Gives it once it is closed.
  v1::Listener Close(const std::string& id);
  void Delete(const std::string& id);

  // Ends every watch with OK.
  void EndWatches();

  // Asks on the loop until `condition` holds; fails the test after a while.
  void WaitUntil(const std::function<bool()>& condition);

  // "CODE / REASON / FIELD" of a call that is refused; "OK".
  std::string Refusal(const v1::WatchEventsRequest& request);

 private:
  Loop loop_;
  server::EventLog log_;
  DescriptorBudget budget_{10'000};
  std::optional<TestLanes> lanes_;
  const server::Policy policy_;
  server::Gate gate_;
  std::unique_ptr<server::Registry> registry_;
  std::unique_ptr<server::EventService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

// A request from `revision` on.
v1::WatchEventsRequest From(int64_t revision);
// A request for a snapshot.
v1::WatchEventsRequest WithSnapshot();

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_WATCH_FIXTURE_H_
