#include "bench/grpc/hold_load.h"

#include <grpcpp/grpcpp.h>

#include <iostream>
#include <memory>
#include <vector>

#include "bench/grpc/echo.grpc.pb.h"
#include "bench/grpc/measurement.h"
#include "bench/grpc/own_channel.h"

namespace portreeve::bench {
namespace {

class HeldStream {
 public:
  explicit HeldStream(const std::string& server)
      : stub_(Echo::NewStub(OwnChannel(server))),
        stream_(stub_->Stream(&context_)) {}

  void EchoOnce(Tally& tally) {
    const Clock::time_point begun = Clock::now();
    Payload payload;
    payload.set_data("x");
    if (!stream_->Write(payload) || !stream_->Read(&payload)) {
      return tally.CountError("no echo");
    }
    tally.AddLatency(Clock::now() - begun);
  }

  void End(Tally& tally) {
    stream_->WritesDone();
    tally.Count(stream_->Finish());
  }

 private:
  const std::unique_ptr<Echo::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<Payload, Payload>> stream_;
};

}  // namespace

std::string RunHold(const Target& target, const HoldOptions& options) {
  Tally tally;
  const Stopwatch stopwatch(target.pid);
  std::vector<std::unique_ptr<HeldStream>> streams;
  for (int i = 0; i < options.streams; ++i) {
    streams.push_back(std::make_unique<HeldStream>(target.server));
    streams.back()->EchoOnce(tally);
  }
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  for (const auto& stream : streams) stream->End(tally);
  return stopwatch.ToJson(tally.Take(options.streams));
}

}  // namespace portreeve::bench
