// Attach, Dial and Handle whose loop gets no memory, once, anywhere between the
// call and its end.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/log.h"
#include "tests/server/remote_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

class StreamNoMemoryTest : public RemoteFixture {
 protected:
  StreamNoMemoryTest() {
    SetLogSink([](const LogLine&) {});
    CreateRemote();
    free_ = NumFree();
  }
  ~StreamNoMemoryTest() override { LoseWorker(); }

  int NumFree() {
    return OnLoop([this] { return budget().num_free(); });
  }
  void RefuseOnLoop(int times) {
    OnLoop([times] { RefuseMemoryAfter(times); });
  }
  bool GiveOnLoop() {
    return OnLoop([] { return GiveMemoryAgain(); });
  }

  // How a call ends: its frames, and its status.
  struct Ended {
    std::vector<v1::ServerFrame> frames;
    grpc::Status status;
  };
  template <typename Method>
  Ended Call(Method method, const v1::ClientFrame& first) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    const auto stream = (connections().*method)(&context);
    (void)stream->Write(first);
    (void)stream->Write(DoneFrame());
    Ended ended;
    v1::ServerFrame frame;
    while (stream->Read(&frame)) ended.frames.push_back(frame);
    ended.status = stream->Finish();
    return ended;
  }

  // Whole, or an error that says so: NOT_FOUND where the connection was lost
  // while it was still offered.
  static void ExpectAnswered(const Ended& ended, bool refused) {
    if (ended.status.ok()) {
      ASSERT_GE(ended.frames.size(), 2u);
      EXPECT_TRUE(ended.frames.front().has_opened());
      EXPECT_TRUE(ended.frames.back().has_closed());
      return;
    }
    EXPECT_TRUE(refused);
    EXPECT_NE(ended.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }

  void ExpectNothingLeft() {
    WaitUntil([this] { return Connections().empty(); });
    WaitUntil([this] { return NumFree() == free_; });
    ExpectStillServing();
    WaitUntil([this] { return Connections().empty(); });
  }

 private:
  int free_ = 0;
};

TEST_F(StreamNoMemoryTest, AnAttachIsWholeOrAnErrorAndLeavesNothing) {
  bool refused = true;
  int num_errors = 0;
  for (int times = 0; refused; ++times) {
    SCOPED_TRACE(times);
    ASSERT_LT(times, 2'000);
    Served served = Offered();
    RefuseOnLoop(times);
    const Ended ended =
        Call(&v1::ConnectionService::Stub::Attach, AttachFrame(served.name));
    refused = GiveOnLoop();
    ExpectAnswered(ended, refused);
    if (!ended.status.ok()) ++num_errors;
    // One that nobody has attached is over, too.
    served.peer->Reset();
    ExpectNothingLeft();
    if (HasFailure()) return;
  }
  EXPECT_GT(num_errors, 0);
}

TEST_F(StreamNoMemoryTest, ADialIsWholeOrAnErrorAndLeavesNothing) {
  bool refused = true;
  int num_errors = 0;
  for (int times = 0; refused; ++times) {
    SCOPED_TRACE(times);
    ASSERT_LT(times, 2'000);
    PlainListener listener;
    v1::ClientFrame dial;
    auto& inet =
        *dial.mutable_dial()->mutable_where_to_connect()->mutable_inet();
    inet.set_host("127.0.0.1");
    inet.set_port(listener.port());
    RefuseOnLoop(times);
    const Ended ended = Call(&v1::ConnectionService::Stub::Dial, dial);
    refused = GiveOnLoop();
    ExpectAnswered(ended, refused);
    if (!ended.status.ok()) ++num_errors;
    ExpectNothingLeft();
    if (HasFailure()) return;
  }
  EXPECT_GT(num_errors, 0);
}

TEST_F(StreamNoMemoryTest, AWorkerCountsOrIsRefused) {
  Create(RemoteSpec(), "another");
  bool refused = true;
  int num_errors = 0;
  for (int times = 0; refused; ++times) {
    SCOPED_TRACE(times);
    ASSERT_LT(times, 2'000);
    RefuseOnLoop(times);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    const auto stream = handlers().Handle(&context);
    v1::HandleRequest start;
    start.mutable_start()->set_listener("listeners/another");
    (void)stream->Write(start);
    // Comes when it counts, or with the refusal.
    stream->WaitForInitialMetadata();
    refused = GiveOnLoop();
    const auto has_workers = [this] {
      return OnLoop([this] {
        return (*registry().FindRemote("another"))->workers().has_workers();
      });
    };
    const bool counts = has_workers();
    if (counts) context.TryCancel();
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), counts ? grpc::StatusCode::CANCELLED
                                          : grpc::StatusCode::INTERNAL);
    EXPECT_TRUE(counts || refused);
    if (!counts) ++num_errors;
    WaitUntil([&] { return !has_workers(); });
    WorkerCall next(handlers(), "listeners/another");
    WaitUntil(has_workers);
    next.Cancel();
    WaitUntil([&] { return !has_workers(); });
    if (HasFailure()) return;
  }
  EXPECT_GT(num_errors, 0);
}

}  // namespace
}  // namespace portreeve::testing
