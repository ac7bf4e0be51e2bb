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

// What a Pair calls: listeners of portreeved...
struct ListenerCalls {
  using Stub = v1::ListenerService::Stub;
  using OpenRequest = v1::CreateListenerRequest;
  using Opened = v1::Listener;
  using CloseRequest = v1::CloseListenerRequest;
  using Closed = v1::Listener;

  static OpenRequest ToOpen(const ControlOptions&) { return EchoListener(); }
  static CloseRequest ToClose(const Opened& opened, const ControlOptions&) {
    CloseRequest request;
    request.set_name(opened.name());
    return request;
  }
  template <typename... Arguments>
  static void Open(Stub& stub, Arguments&&... arguments) {
    stub.async()->CreateListener(std::forward<Arguments>(arguments)...);
  }
  template <typename... Arguments>
  static void Close(Stub& stub, Arguments&&... arguments) {
    stub.async()->CloseListener(std::forward<Arguments>(arguments)...);
  }
};

// ... and sockets of grpc_peer.
struct SocketCalls {
  using Stub = Sockets::Stub;
  using OpenRequest = Question;
  using Opened = Socket;
  using CloseRequest = bench::CloseRequest;
  using Closed = Payload;

  static OpenRequest ToOpen(const ControlOptions& options) {
    OpenRequest request;
    request.mutable_data()->resize(static_cast<size_t>(options.question_bytes));
    request.set_answer_bytes(options.answer_bytes);
    request.set_on_loop(options.on_loop);
    return request;
  }
  static CloseRequest ToClose(const Opened& opened,
                              const ControlOptions& options) {
    CloseRequest request;
    request.set_number(opened.number());
    request.set_answer_bytes(options.answer_bytes);
    request.set_on_loop(options.on_loop);
    return request;
  }
  template <typename... Arguments>
  static void Open(Stub& stub, Arguments&&... arguments) {
    stub.async()->Open(std::forward<Arguments>(arguments)...);
  }
  template <typename... Arguments>
  static void Close(Stub& stub, Arguments&&... arguments) {
    stub.async()->Close(std::forward<Arguments>(arguments)...);
  }
};

// One listener, or socket, from the call that opens it to its close.
template <typename Calls>
class Pair {
 public:
  using Stub = typename Calls::Stub;

  Pair(Stub& stub, const ControlOptions& options, Tally& tally, Done done)
      : stub_(stub),
        options_(options),
        tally_(tally),
        done_(std::move(done)),
        open_request_(Calls::ToOpen(options)) {}

  static void Begin(std::unique_ptr<Pair> owned) {
    Pair* const pair = owned.release();  // Whoever is called next has it.
    Calls::Open(pair->stub_, &pair->open_context_, &pair->open_request_,
                &pair->opened_, [pair](grpc::Status status) {
                  OnOpened(std::unique_ptr<Pair>(pair), status);
                });
  }

 private:
  static void OnOpened(std::unique_ptr<Pair> owned,
                       const grpc::Status& status) {
    owned->tally_.Count(status);
    if (!status.ok()) return End(std::move(owned));
    Pair* const pair = owned.release();
    pair->close_request_ = Calls::ToClose(pair->opened_, pair->options_);
    Calls::Close(pair->stub_, &pair->close_context_, &pair->close_request_,
                 &pair->closed_, [pair](grpc::Status status) {
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

  Stub& stub_;
  const ControlOptions& options_;
  Tally& tally_;
  Done done_;
  const Clock::time_point begin_ = Clock::now();
  grpc::ClientContext open_context_;
  grpc::ClientContext close_context_;
  const typename Calls::OpenRequest open_request_;
  typename Calls::Opened opened_;
  typename Calls::CloseRequest close_request_;
  typename Calls::Closed closed_;
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

template <typename Calls>
std::string RunPairs(const Target& target, const ControlOptions& options,
                     typename Calls::Stub& stub) {
  const auto begin = [&](Tally& tally, Done done) {
    Pair<Calls>::Begin(
        std::make_unique<Pair<Calls>>(stub, options, tally, std::move(done)));
  };
  return Measure(target, options.warm_up, options.calls, options.in_flight,
                 begin);
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& server) {
  return grpc::CreateChannel(server, grpc::InsecureChannelCredentials());
}

}  // namespace

std::string RunControl(const Target& target, const ControlOptions& options) {
  return RunPairs<ListenerCalls>(
      target, options,
      *v1::ListenerService::NewStub(NewChannel(target.server)));
}

std::string RunSockets(const Target& target, const ControlOptions& options) {
  return RunPairs<SocketCalls>(target, options,
                               *Sockets::NewStub(NewChannel(target.server)));
}

std::string RunUnary(const Target& target, const UnaryOptions& options) {
  const auto stub = Echo::NewStub(NewChannel(target.server));
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
