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

// A ClientContext has a reference to its channel, and the last one must not go
// within a callback: the thread that makes it is the channel's, and would have
// to join itself.  So contexts go before `done` tells that all is over.

// One listener, from its creation to its close.
class Pair {
 public:
  Pair(v1::ListenerService::Stub& stub, Tally& tally, Done done)
      : stub_(stub), tally_(tally), done_(std::move(done)) {}

  static void Begin(std::unique_ptr<Pair> owned) {
    Pair* const pair = owned.release();  // Whoever is called next has it.
    pair->create_request_ = EchoListener();
    pair->stub_.async()->CreateListener(
        &pair->create_context_, &pair->create_request_, &pair->listener_,
        [pair](grpc::Status status) {
          OnCreated(std::unique_ptr<Pair>(pair), status);
        });
  }

 private:
  static void OnCreated(std::unique_ptr<Pair> owned,
                        const grpc::Status& status) {
    owned->tally_.Count(status);
    if (!status.ok()) return End(std::move(owned));
    Pair* const pair = owned.release();
    pair->close_request_.set_name(pair->listener_.name());
    pair->stub_.async()->CloseListener(
        &pair->close_context_, &pair->close_request_, &pair->listener_,
        [pair](grpc::Status status) {
          OnClosed(std::unique_ptr<Pair>(pair), status);
        });
  }

  static void OnClosed(std::unique_ptr<Pair> owned,
                       const grpc::Status& status) {
    owned->tally_.Count(status);
    owned->tally_.AddLatency(Clock::now() - owned->begin_);
    End(std::move(owned));
  }

  static void End(std::unique_ptr<Pair> owned) {
    const Done done = std::move(owned->done_);
    owned.reset();
    done();
  }

  v1::ListenerService::Stub& stub_;
  Tally& tally_;
  Done done_;
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
    Pair::Begin(std::make_unique<Pair>(*stub, tally, std::move(done)));
  };
  return Measure(target, options.warm_up, options.calls, options.in_flight,
                 begin);
}

std::string RunUnary(const Target& target, const UnaryOptions& options) {
  const auto stub = Echo::NewStub(
      grpc::CreateChannel(target.server, grpc::InsecureChannelCredentials()));
  const auto begin = [&stub, &options](Tally& tally, Done done) {
    auto* const asked = new Asked;  // The callback's.
    asked->question.mutable_data()->resize(
        static_cast<size_t>(options.question_bytes));
    asked->question.set_answer_bytes(options.answer_bytes);
    const Clock::time_point begun = Clock::now();
    stub->async()->Ask(&asked->context, &asked->question, &asked->answer,
                       [&tally, asked, begun, done](grpc::Status status) {
                         delete asked;
                         tally.Count(status);
                         tally.AddLatency(Clock::now() - begun);
                         done();
                       });
  };
  return Measure(target, options.warm_up, options.calls, options.in_flight,
                 begin);
}

}  // namespace portreeve::bench
