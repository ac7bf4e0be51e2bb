#include "bench/grpc/watch_load.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "bench/grpc/echo_listener.h"
#include "bench/grpc/measurement.h"
#include "bench/grpc/own_channel.h"
#include "portreeve/v1/event.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::bench {
namespace {

constexpr std::chrono::milliseconds kQuiet{100};
// More than an event waits for company, so that each is alone.
constexpr std::chrono::milliseconds kBetweenLoneEvents{25};

// What all watchers have seen.
struct Seen {
  Tally tally;
  std::atomic<int64_t> events = 0;
  std::atomic<int64_t> messages = 0;
  std::atomic<int64_t> gaps = 0;
  std::atomic<bool> lone = false;  // Events that come now are.
};

class Watcher final : public grpc::ClientReadReactor<v1::WatchEventsResponse> {
 public:
  // `counts` and `over` are counted down when it counts and when it is over.
  Watcher(const std::string& server, Seen& seen, absl::BlockingCounter& counts,
          absl::BlockingCounter& over)
      : stub_(v1::EventService::NewStub(OwnChannel(server))),
        seen_(seen),
        counts_(counts),
        over_(over) {
    stub_->async()->WatchEvents(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void Cancel() {
    cancelled_ = true;
    context_.TryCancel();
  }

  void OnReadInitialMetadataDone(bool ok) override {
    if (!ok) seen_.tally.CountError("no initial metadata");
    counts_.DecrementCount();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    seen_.messages.fetch_add(1);
    for (const v1::Event& event : response_.events()) Take(event);
    seen_.events.fetch_add(response_.events_size());
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    if (!cancelled_)
      seen_.tally.CountError("a watch has ended: " + status.error_message());
    over_.DecrementCount();
  }

 private:
  void Take(const v1::Event& event) {
    if (seen_.lone) AddLatency(event);
    int64_t first = event.revision();
    if (event.has_gap()) {
      seen_.gaps.fetch_add(1);
      first = event.gap().first_revision();
    }
    if (last_ != 0 && first != last_ + 1) {
      seen_.tally.CountError(absl::StrCat(first, " after ", last_));
    }
    last_ = event.revision();
  }

  void AddLatency(const v1::Event& event) {
    const auto stamp = std::chrono::seconds(event.time().seconds()) +
                       std::chrono::nanoseconds(event.time().nanos());
    seen_.tally.AddLatency(std::chrono::system_clock::now().time_since_epoch() -
                           stamp);
  }

  const std::unique_ptr<v1::EventService::Stub> stub_;
  Seen& seen_;
  absl::BlockingCounter& counts_;
  absl::BlockingCounter& over_;
  std::atomic<bool> cancelled_ = false;
  grpc::ClientContext context_;
  const v1::WatchEventsRequest request_;
  v1::WatchEventsResponse response_;
  int64_t last_ = 0;  // Revision.
};

// Makes events by updating a listener of its own.
void MakeLoneEvents(const std::string& server, int number, Seen& seen) {
  const auto stub = v1::ListenerService::NewStub(OwnChannel(server));
  v1::Listener listener;
  {
    grpc::ClientContext context;
    seen.tally.Count(stub->CreateListener(&context, EchoListener(), &listener));
  }
  const std::string name = listener.name();
  std::this_thread::sleep_for(kBetweenLoneEvents);
  seen.lone = true;
  for (int i = 0; i < number; ++i) {
    v1::UpdateListenerRequest request;
    request.mutable_listener()->set_name(name);
    (*request.mutable_listener()->mutable_spec()->mutable_labels())["round"] =
        std::to_string(i);
    request.mutable_update_mask()->add_paths("spec.labels");
    grpc::ClientContext context;
    seen.tally.Count(stub->UpdateListener(&context, request, &listener));
    std::this_thread::sleep_for(kBetweenLoneEvents);
  }
  seen.lone = false;
  v1::CloseListenerRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  seen.tally.Count(stub->CloseListener(&context, request, &listener));
}

void AwaitQuiet(const Seen& seen) {
  int64_t before;
  do {
    before = seen.events;
    std::this_thread::sleep_for(kQuiet);
  } while (seen.events != before);
}

}  // namespace

std::string RunWatch(const Target& target, const WatchOptions& options) {
  Seen seen;
  absl::BlockingCounter counts(options.watchers);
  absl::BlockingCounter over(options.watchers);
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < options.watchers; ++i) {
    watchers.push_back(
        std::make_unique<Watcher>(target.server, seen, counts, over));
  }
  counts.Wait();
  const Stopwatch stopwatch(target.pid);
  if (options.lone_events > 0) {
    MakeLoneEvents(target.server, options.lone_events, seen);
  }
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  AwaitQuiet(seen);
  Result result = seen.tally.Take(seen.events);
  result.more["messages"] = static_cast<double>(seen.messages);
  result.more["gaps"] = static_cast<double>(seen.gaps);
  std::string json = stopwatch.ToJson(result);
  for (const auto& watcher : watchers) watcher->Cancel();
  over.Wait();
  return json;
}

}  // namespace portreeve::bench
