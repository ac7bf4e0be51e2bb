#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "bench/grpc/bulk_load.h"
#include "bench/grpc/echo.grpc.pb.h"
#include "bench/grpc/measurement.h"
#include "bench/grpc/message_flow.h"

namespace portreeve::bench {
namespace {

class BidiStream final : public grpc::ClientBidiReactor<Payload, Payload> {
 public:
  BidiStream(Echo::Stub& stub, const BulkOptions& options, Tally& tally)
      : tally_(tally), flow_(options.message_bytes, options.in_flight, tally) {
    stub.async()->Stream(&context_, this);
    AddHold();  // Of Move(), which starts writes.
    StartRead(&incoming_);
    StartCall();
  }

  // Moves `messages` there and back; `done` is counted down then, or when the
  // stream fails, and outlives it.
  void Move(int64_t messages, absl::BlockingCounter& done) {
    const absl::MutexLock lock(&mutex_);
    done_ = &done;
    flow_.Add(messages);
    failed_ ? Report() : Write();
  }

  // Ends the stream, and waits for that.
  void End() {
    StartWritesDone();
    RemoveHold();
    over_.Wait();
  }

  void OnWriteDone(bool ok) override {
    const absl::MutexLock lock(&mutex_);
    writing_ = false;
    ok ? Write() : Fail("a write failed");
  }

  void OnReadDone(bool ok) override {
    const absl::MutexLock lock(&mutex_);
    if (!ok) return Fail("the stream has ended");
    if (!flow_.OnReceived(incoming_.data())) return Fail("wrong data");
    StartRead(&incoming_);
    Write();
    if (flow_.done()) Report();
  }

  void OnDone(const grpc::Status&) override { over_.DecrementCount(); }

 private:
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::string_view data = flow_.ToSend();
    if (writing_ || failed_ || data.empty()) return;
    writing_ = true;
    outgoing_.set_data(data.data(), data.size());
    flow_.OnSent(data.size());
    StartWrite(&outgoing_);
  }

  // The end of the stream is no failure once everything is back.
  void Fail(const char* what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    failed_ = true;
    if (done_ == nullptr) return;
    tally_.CountError(what);
    Report();
  }

  void Report() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (done_ != nullptr) done_->DecrementCount();
    done_ = nullptr;
  }

  Tally& tally_;
  grpc::ClientContext context_;
  absl::BlockingCounter over_{1};
  Payload incoming_;
  Payload outgoing_;
  absl::Mutex mutex_;
  MessageFlow flow_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::BlockingCounter* done_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

void MoveAll(std::vector<std::unique_ptr<BidiStream>>& streams,
             int64_t messages) {
  absl::BlockingCounter done(static_cast<int>(streams.size()));
  for (const auto& stream : streams) stream->Move(messages, done);
  done.Wait();
}

}  // namespace

std::string RunBidi(const Target& target, const BulkOptions& options) {
  const auto stub = Echo::NewStub(
      grpc::CreateChannel(target.server, grpc::InsecureChannelCredentials()));
  Tally tally;
  std::vector<std::unique_ptr<BidiStream>> streams;
  for (int i = 0; i < options.connections; ++i) {
    streams.push_back(std::make_unique<BidiStream>(*stub, options, tally));
  }
  MoveAll(streams, 1);
  tally.ForgetLatencies();
  const int64_t messages = MessagesOfEach(options);
  const Stopwatch stopwatch(target.pid);
  MoveAll(streams, messages);
  std::string json = stopwatch.ToJson(
      tally.Take(messages * options.connections * options.message_bytes));
  for (const auto& stream : streams) stream->End();
  return json;
}

}  // namespace portreeve::bench
