#include "bench/grpc/control_load.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "bench/grpc/echo.grpc.pb.h"
#include "bench/grpc/echo_listener.h"
#include "bench/grpc/measurement.h"
#include "bench/grpc/steps.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::bench {
namespace {

using Done = std::function<void()>;

// One listener, from its creation to its close.  Owned by its callbacks.
class Pair : public std::enable_shared_from_this<Pair> {
 public:
  Pair(v1::ListenerService::Stub& stub, Tally& tally, Done done)
      : stub_(stub), tally_(tally), done_(std::move(done)) {}

  void Begin() {
    create_request_ = EchoListener();
    stub_.async()->CreateListener(
        &create_context_, &create_request_, &listener_,
        [self = shared_from_this()](grpc::Status status) {
          self->OnCreated(status);
        });
  }

 private:
  void OnCreated(const grpc::Status& status) {
    tally_.Count(status);
    if (!status.ok()) return done_();
    close_request_.set_name(listener_.name());
    stub_.async()->CloseListener(
        &close_context_, &close_request_, &listener_,
        [self = shared_from_this()](grpc::Status status) {
          self->OnClosed(status);
        });
  }

  void OnClosed(const grpc::Status& status) {
    tally_.Count(status);
    tally_.AddLatency(Clock::now() - begin_);
    done_();
  }

  v1::ListenerService::Stub& stub_;
  Tally& tally_;
  const Done done_;
  const Clock::time_point begin_ = Clock::now();
  grpc::ClientContext create_context_;
  grpc::ClientContext close_context_;
  v1::CreateListenerRequest create_request_;
  v1::CloseListenerRequest close_request_;
  v1::Listener listener_;
};

// One call of grpc_peer.
struct Asked {
  grpc::ClientContext context;
  Question question;
  Payload answer;
};

// Runs `warm_up` steps, then measures `units` of them.
std::string Measure(const Target& target, int64_t warm_up, int64_t units,
                    int in_flight,
                    const std::function<void(Tally&, Done)>& begin) {
  Tally ignored;
  RunSteps(warm_up, in_flight,
           [&](int64_t, Done done) { begin(ignored, std::move(done)); });
  Tally tally;
  const Stopwatch stopwatch(target.pid);
  RunSteps(units, in_flight,
           [&](int64_t, Done done) { begin(tally, std::move(done)); });
  return stopwatch.ToJson(tally.Take(units));
}

}  // namespace

std::string RunControl(const Target& target, const ControlOptions& options) {
  const auto stub = v1::ListenerService::NewStub(
      grpc::CreateChannel(target.server, grpc::InsecureChannelCredentials()));
  const auto begin = [&stub](Tally& tally, Done done) {
    std::make_shared<Pair>(*stub, tally, std::move(done))->Begin();
  };
  return Measure(target, options.warm_up, options.calls, options.in_flight,
                 begin);
}

std::string RunUnary(const Target& target, const UnaryOptions& options) {
  const auto stub = Echo::NewStub(
      grpc::CreateChannel(target.server, grpc::InsecureChannelCredentials()));
  const auto begin = [&stub, &options](Tally& tally, Done done) {
    const auto asked = std::make_shared<Asked>();
    asked->question.mutable_data()->resize(
        static_cast<size_t>(options.question_bytes));
    asked->question.set_answer_bytes(options.answer_bytes);
    const Clock::time_point begun = Clock::now();
    stub->async()->Ask(&asked->context, &asked->question, &asked->answer,
                       [&tally, asked, begun, done](grpc::Status status) {
                         tally.Count(status);
                         tally.AddLatency(Clock::now() - begun);
                         done();
                       });
  };
  return Measure(target, options.warm_up, options.calls, options.in_flight,
                 begin);
}

}  // namespace portreeve::bench
