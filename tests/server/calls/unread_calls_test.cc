// Clients that ask and do not read: what waits for them is bounded, and others
// are served.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tests/server/plain_socket.h"
#include "tests/server/service_fixture.h"
#include "tests/server/stream_client.h"

namespace portreeve::testing {
namespace {

// A page of so many listeners is of half a MiB.
constexpr int kListeners = 128;
constexpr int kFit = 32;  // At most so many pages fit into 16 MiB.

constexpr char kOverloaded[] = "8 / OVERLOADED";

// Calls of ListListeners of whose answers nobody reads a byte.
class UnreadCalls {
 public:
  UnreadCalls(const std::shared_ptr<grpc::Channel>& channel, int count)
      : stub_(channel) {
    v1::ListListenersRequest request;
    request.set_page_size(1000);
    const grpc::Slice bytes(request.SerializeAsString());
    for (int i = 0; i < count; ++i) {
      auto call = std::make_unique<Call>();
      call->stream = stub_.PrepareCall(
          &call->context, "/portreeve.v1.ListenerService/ListListeners",
          &queue_);
      call->stream->StartCall(nullptr);
      AwaitBegun();
      call->stream->WriteLast(grpc::ByteBuffer(&bytes, 1), {}, nullptr);
      AwaitBegun();
      call->stream->Finish(&call->status, call.get());
      calls_.push_back(std::move(call));
    }
  }
  ~UnreadCalls() {
    for (const auto& call : calls_) call->context.TryCancel();
    for (; num_ended_ < calls_.size(); ++num_ended_) Next();
    queue_.Shutdown();
  }

  // What a call was answered that ends though nobody reads: it was refused.
  // "none" where there is none for a while.
  std::string NextEnded() {
    void* const tag = Next();
    if (tag == nullptr) return "none";
    ++num_ended_;
    return Shown(static_cast<Call*>(tag)->status);
  }

 private:
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
    grpc::Status status;
  };

  void* Poll() {
    void* tag = nullptr;
    bool ok = false;
    const auto deadline =
        std::chrono::system_clock::now() + std::chrono::seconds(20);
    const auto next = queue_.AsyncNext(&tag, &ok, deadline);
    return next == grpc::CompletionQueue::GOT_EVENT ? tag : nullptr;
  }
  // What began has no tag; what is told of others meanwhile is their end.
  void AwaitBegun() {
    while (void* const tag = Poll()) ended_.push_back(tag);
  }
  void* Next() {
    if (ended_.empty()) return Poll();
    void* const tag = ended_.front();
    ended_.pop_front();
    return tag;
  }

  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::deque<void*> ended_;
  size_t num_ended_ = 0;
};

class UnreadCallsTest : public ServiceFixture {
 protected:
  UnreadCallsTest() {
    v1::ListenerSpec spec = EchoSpec();
    for (int i = 0; i < 16; ++i) {
      (*spec.mutable_labels())["k" + std::to_string(i)] = std::string(240, 'x');
    }
    for (int i = 0; i < kListeners; ++i) Create(spec);
  }

  static std::string IsClosed(v1::ListenerService::Stub& stub,
                              const std::string& name) {
    grpc::ClientContext context;
    v1::IsClosedRequest request;
    request.set_name(name);
    v1::IsClosedResponse response;
    return Shown(stub.IsClosed(&context, request, &response));
  }
};

TEST_F(UnreadCallsTest, PagesThatNobodyReadsAreRefusedBeyondSixteenMebibytes) {
  const std::string name = Create(EchoSpec(), "web").name();
  const auto channel = AnotherConnection();
  const auto stub = v1::ListenerService::NewStub(channel);
  {
    UnreadCalls calls(channel, kFit + 8);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(calls.NextEnded(), kOverloaded);
    // A further call is not even tried: nothing changes.
    EXPECT_EQ(IsClosed(*stub, name), kOverloaded);
    grpc::ClientContext context;
    v1::DeleteListenerRequest request;
    request.set_name(name);
    google::protobuf::Empty empty;
    EXPECT_EQ(Shown(stub->DeleteListener(&context, request, &empty)),
              kOverloaded);
    // Others are served.
    EXPECT_EQ(IsClosed(listeners(), name), "OK");
    grpc::ClientContext other;
    v1::ListListenersRequest list;
    list.set_page_size(1000);
    v1::ListListenersResponse page;
    EXPECT_EQ(Shown(listeners().ListListeners(&other, list, &page)), "OK");
    EXPECT_EQ(page.listeners_size(), kListeners + 1);
    EXPECT_GT(page.ByteSizeLong() * kFit, size_t{15} << 20);
  }
  // Nothing is left of what was given up.
  WaitUntil([&] { return IsClosed(*stub, name) == "OK"; });
  UnreadCalls calls(channel, kFit + 1);
  EXPECT_EQ(calls.NextEnded(), kOverloaded);
}

// Of its stream's window it has nothing left after some hundreds of them.
TEST_F(UnreadCallsTest, AWorkerThatDoesNotReadItsOffersIsNoneAnyMore) {
  v1::ListenerSpec spec = RemoteSpec();
  spec.mutable_handler()->mutable_remote()->mutable_claim_timeout()->set_nanos(
      1'000'000);
  const v1::Listener listener = Create(spec, "remote");
  const int port = listener.status().listening_on().inet().port();
  const auto channel = AnotherConnection();
  const auto stub = v1::HandlerService::NewStub(channel);
  WorkerCall worker(*stub, listener.name());
  UnreadCalls calls(channel, kFit + 1);
  EXPECT_EQ(calls.NextEnded(), kOverloaded);
  const auto is_worker = [this] {
    return OnLoop([this] {
      return (*registry().FindRemote("remote"))->workers().has_workers();
    });
  };
  for (int i = 0; i < 3'000 && is_worker(); ++i) {
    PlainClient client(port);
    WaitUntil([&] {
      return OnLoop(
          [this] { return registry().connections().entries().empty(); });
    });
  }
  EXPECT_FALSE(is_worker());
  const std::string rest = worker.Rest();
  EXPECT_EQ(rest.substr(rest.rfind('|') + 1), kOverloaded);
}

}  // namespace
}  // namespace portreeve::testing
