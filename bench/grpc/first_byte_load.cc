#include "bench/grpc/first_byte_load.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "bench/grpc/echo_listener.h"
#include "bench/grpc/loopback_socket.h"
#include "bench/grpc/measurement.h"
#include "bench/grpc/steps.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::bench {
namespace {

constexpr int kInFlight = 16;

class FirstByte {
 public:
  FirstByte(const Target& target, const FirstByteOptions& options)
      : target_(target),
        options_(options),
        stub_(v1::ListenerService::NewStub(grpc::CreateChannel(
            target.server, grpc::InsecureChannelCredentials()))) {}

  std::string Run() {
    names_.resize(static_cast<size_t>(options_.listeners_open));
    Open();
    const Stopwatch stopwatch(target_.pid);
    for (int round = 0; round < options_.rounds; ++round) Round();
    Result result = tally_.Take(options_.rounds);
    if (!creates_.empty()) {
      const auto median =
          creates_.begin() + static_cast<std::ptrdiff_t>(creates_.size() / 2);
      std::nth_element(creates_.begin(), median, creates_.end());
      result.more["create_us"] =
          std::chrono::duration<double, std::micro>(*median).count();
    }
    std::string json = stopwatch.ToJson(result);
    CloseAll();
    return json;
  }

 private:
  struct Opening {
    grpc::ClientContext context;
    v1::CreateListenerRequest request = EchoListener();
    v1::Listener listener;
  };
  struct Closing {
    grpc::ClientContext context;
    v1::CloseListenerRequest request;
    v1::Listener listener;
  };

  // In both, what has a reference to the channel goes before `done` lets the
  // channel go: its own thread must not be the one that does.
  void Open() {
    RunSteps(options_.listeners_open, kInFlight,
             [this](int64_t number, std::function<void()> done) {
               auto* const opening = new Opening;  // The callback's.
               stub_->async()->CreateListener(
                   &opening->context, &opening->request, &opening->listener,
                   [this, number, opening, done](grpc::Status status) {
                     tally_.Count(status);
                     names_[static_cast<size_t>(number)] =
                         opening->listener.name();
                     delete opening;
                     done();
                   });
             });
  }

  void CloseAll() {
    RunSteps(options_.listeners_open, kInFlight,
             [this](int64_t number, std::function<void()> done) {
               auto* const closing = new Closing;  // The callback's.
               closing->request.set_name(names_[static_cast<size_t>(number)]);
               stub_->async()->CloseListener(
                   &closing->context, &closing->request, &closing->listener,
                   [closing, done](grpc::Status) {
                     delete closing;
                     done();
                   });
             });
  }

  void Round() {
    Opening opening;
    const Clock::time_point begin = Clock::now();
    const grpc::Status status = stub_->CreateListener(
        &opening.context, opening.request, &opening.listener);
    tally_.Count(status);
    if (!status.ok()) return;
    creates_.push_back(Clock::now() - begin);
    {
      LoopbackSocket socket(
          opening.listener.status().listening_on().inet().port());
      if (!socket.EchoByte()) tally_.CountError("no byte came back");
      tally_.AddLatency(Clock::now() - begin);
    }
    Closing closing;
    closing.request.set_name(opening.listener.name());
    tally_.Count(stub_->CloseListener(&closing.context, closing.request,
                                      &closing.listener));
  }

  const Target target_;
  const FirstByteOptions options_;
  const std::unique_ptr<v1::ListenerService::Stub> stub_;
  std::vector<std::string> names_;
  std::vector<Clock::duration> creates_;
  Tally tally_;
};

}  // namespace

std::string RunFirstByte(const Target& target,
                         const FirstByteOptions& options) {
  return FirstByte(target, options).Run();
}

}  // namespace portreeve::bench
