// Streams and workers of the client library against a gRPC server that plays
// the daemon.
#include "client/stream.h"

#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/client.h"
#include "client/error.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/frames.h"

namespace portreeve::client {
namespace {

using absl::StatusCode;
using grpc::Status;

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    daemon_.attach.set_answer(Echo);
    daemon_.dial.set_answer(Echo);
  }
  ~StreamTest() override { end_.Notify(); }

  Stream Attached() {
    absl::StatusOr<Stream> stream = client_.Attach("connections/7");
    EXPECT_TRUE(stream.ok()) << stream.status();
    return *std::move(stream);
  }

  // A daemon that takes nothing after `opened` while the test runs.
  void TakeNothing() {
    daemon_.attach.set_answer(
        [this](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
          frames.Write(OpenedFrame("connections/7"));
          end_.WaitForNotification();
          return Status::OK;
        });
  }

  absl::Notification end_;  // Outlives the daemon's threads.
  FakeDaemon daemon_;
  Client client_ = *Client::ForAddress(daemon_.address());
};

TEST_F(StreamTest, AttachGivesTheConnectionAsOpened) {
  const Stream stream = Attached();
  EXPECT_EQ(stream.connection().name(), "connections/7");
  EXPECT_EQ(stream.connection().peer().inet().port(), 4711);
  EXPECT_EQ(daemon_.attach.requests()[0].attach().connection(),
            "connections/7");
}

TEST_F(StreamTest, DialSendsWhatItIsGiven) {
  v1::ClientFrame::Dial dial;
  dial.mutable_where_to_connect()->mutable_inet()->set_host("example.org");
  dial.mutable_timeout()->set_seconds(3);
  absl::StatusOr<Stream> stream = client_.Dial(dial);
  ASSERT_TRUE(stream.ok()) << stream.status();
  dial.set_can_move(true);
  EXPECT_EQ(daemon_.dial.requests()[0].dial().SerializeAsString(),
            dial.SerializeAsString());
  EXPECT_EQ(stream->connection().name(), "connections/9");
}

TEST_F(StreamTest, ARefusalIsItsStatus) {
  const auto refuse = [](const auto&, auto&) {
    return Refusal(grpc::StatusCode::FAILED_PRECONDITION, "taken",
                   "ALREADY_ATTACHED");
  };
  daemon_.attach.set_answer(refuse);
  daemon_.dial.set_answer(refuse);
  for (const absl::Status& status :
       {client_.Attach("connections/7").status(), client_.Dial({}).status()}) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(DetailsOf(status).reason, "ALREADY_ATTACHED");
  }
}

TEST_F(StreamTest, WithoutOpenedItIsAnError) {
  daemon_.attach.set_answer([](const auto&, auto&) { return Status::OK; });
  EXPECT_EQ(client_.Attach("connections/7").status().code(),
            StatusCode::kInternal);
  daemon_.attach.set_answer([](const auto&, FakeDaemon::Frames& frames) {
    frames.Write(EofFrame());
    return Status::OK;
  });
  EXPECT_EQ(client_.Attach("connections/7").status().code(),
            StatusCode::kInternal);
}

TEST_F(StreamTest, BytesGoBothWaysInFramesOf64KiB) {
  Stream stream = Attached();
  std::string sent(3 * 1024 * 1024 + 17, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i / 7);
  auto sending = std::async(std::launch::async, [&] {
    absl::Status status = stream.Send(sent);
    status.Update(stream.SendEof());
    status.Update(stream.Done());
    return status;
  });
  std::string received;
  absl::StatusOr<v1::ServerFrame> frame = stream.Read();
  for (; frame.ok() && frame->has_data(); frame = stream.Read()) {
    EXPECT_LE(frame->data().size(), 64u * 1024);
    received += frame->data();
  }
  EXPECT_TRUE(received == sent);
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_TRUE(frame->has_eof());
  for (int i = 0; i < 2; ++i) {
    frame = stream.Read();
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ(frame->closed().reason(), v1::CLOSE_REASON_HANDLER_DONE);
  }
  EXPECT_TRUE(sending.get().ok());
}

TEST_F(StreamTest, NothingIsSentAfterTheEndThatWasSaid) {
  Stream stream = Attached();
  EXPECT_TRUE(stream.SendEof().ok());
  EXPECT_EQ(stream.Send("x").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(stream.SendEof().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(stream.Done().ok());
  EXPECT_EQ(stream.Done().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(stream.Read()->has_eof());
  EXPECT_TRUE(stream.Read()->has_closed());
}

TEST_F(StreamTest, RaiseAndResetEndTheStream) {
  Stream raised = Attached();
  EXPECT_TRUE(raised.Raise("no more").ok());
  EXPECT_EQ(raised.Read()->closed().reason(), v1::CLOSE_REASON_HANDLER_ERROR);
  EXPECT_EQ(raised.Send("x").code(), StatusCode::kFailedPrecondition);
  Stream reset = Attached();
  EXPECT_TRUE(reset.Reset().ok());
  EXPECT_EQ(reset.Read()->closed().reason(), v1::CLOSE_REASON_HANDLER_DONE);
}

TEST_F(StreamTest, SendFailsOnceTheStreamHasEnded) {
  daemon_.attach.set_answer(
      [](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
        frames.Write(OpenedFrame("connections/7"));
        frames.Write(ClosedFrame(v1::CLOSE_REASON_PEER_RESET));
        return Status::OK;
      });
  Stream stream = Attached();
  EXPECT_EQ(stream.Read()->closed().reason(), v1::CLOSE_REASON_PEER_RESET);
  EXPECT_EQ(stream.Send("x").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(stream.Done().code(), StatusCode::kFailedPrecondition);
}

TEST_F(StreamTest, ASenderThatWaitsLearnsOfTheEnd) {
  absl::Notification close;
  daemon_.attach.set_answer(
      [&](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
        frames.Write(OpenedFrame("connections/7"));
        close.WaitForNotification();
        frames.Write(ClosedFrame(v1::CLOSE_REASON_BUFFER_AGE));
        return Status::OK;
      });
  Stream stream = Attached();
  auto sending = std::async(std::launch::async, [&] {
    return stream.Send(std::string(64 * 1024 * 1024, 'x'));
  });
  close.Notify();
  EXPECT_EQ(stream.Read()->closed().reason(), v1::CLOSE_REASON_BUFFER_AGE);
  EXPECT_EQ(sending.get().code(), StatusCode::kFailedPrecondition);
}

TEST_F(StreamTest, CancelEndsBothDirections) {
  TakeNothing();
  Stream stream = Attached();
  auto sending = std::async(std::launch::async, [&] {
    return stream.Send(std::string(64 * 1024 * 1024, 'x'));
  });
  auto reading = std::async(std::launch::async, [&] { return stream.Read(); });
  stream.Cancel();
  EXPECT_EQ(reading.get().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(sending.get().code(), StatusCode::kFailedPrecondition);
  stream.Cancel();
  EXPECT_EQ(stream.Read().status().code(), StatusCode::kCancelled);
}

TEST_F(StreamTest, EndsAtItsTimeoutAndWhenItIsDropped) {
  TakeNothing();
  absl::StatusOr<Stream> stream =
      client_.Attach("connections/7", {.timeout = absl::Milliseconds(200)});
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(stream->Read().status().code(), StatusCode::kDeadlineExceeded);
  Attached();
}

TEST_F(StreamTest, AnErrorAfterOpenedIsTold) {
  daemon_.attach.set_answer(
      [](const v1::ClientFrame&, FakeDaemon::Frames& frames) {
        frames.Write(OpenedFrame("connections/7"));
        return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "too large",
                       "INVALID_FIELD");
      });
  Stream stream = Attached();
  EXPECT_EQ(DetailsOf(stream.Read().status()).reason, "INVALID_FIELD");
}

TEST_F(StreamTest, ManyStreamsShareAChannel) {
  std::vector<Stream> streams;
  for (int i = 0; i < 100; ++i) streams.push_back(Attached());
  for (Stream& stream : streams) ASSERT_TRUE(stream.Send("hello").ok());
  for (Stream& stream : streams) EXPECT_EQ(stream.Read()->data(), "hello");
}

TEST_F(StreamTest, AStreamOutlivesItsClient) {
  std::optional<Client> client = *Client::ForAddress(daemon_.address());
  absl::StatusOr<Stream> stream = client->Attach("connections/7");
  client.reset();
  ASSERT_TRUE(stream.ok());
  EXPECT_TRUE(stream->Send("x").ok());
  EXPECT_EQ(stream->Read()->data(), "x");
}

v1::HandleResponse Offer(const std::string& name) {
  v1::HandleResponse response;
  response.mutable_offer()->mutable_connection()->set_name(name);
  return response;
}

TEST_F(StreamTest, AWorkerGetsOffersAndGivesVerdicts) {
  v1::HandleRequest verdict;
  daemon_.handle.set_answer(
      [&](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        offers.Write(Offer("connections/7"));
        v1::HandleResponse error;
        error.mutable_handler_error()->set_id("e1");
        offers.Write(error);
        offers.Read(&verdict);
        return Status::OK;
      });
  absl::StatusOr<Worker> worker = client_.Handle("listeners/web");
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(daemon_.handle.requests()[0].start().listener(), "listeners/web");
  EXPECT_EQ((*worker->Next())->offer().connection().name(), "connections/7");
  EXPECT_EQ((*worker->Next())->handler_error().id(), "e1");
  EXPECT_TRUE(worker->Give("e1", v1::HANDLER_VERDICT_RETURN).ok());
  for (int i = 0; i < 2; ++i) {
    const auto end = worker->Next();
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_FALSE(end->has_value());
  }
  EXPECT_EQ(verdict.ShortDebugString(),
            "verdict { handler_error_id: \"e1\" verdict: "
            "HANDLER_VERDICT_RETURN }");
  EXPECT_EQ(worker->Give("e2", v1::HANDLER_VERDICT_RAISE).code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(StreamTest, AWorkerCountsOnceTheDaemonSaysSoAndLeavesAtCancel) {
  daemon_.handle.set_answer(
      [this](const v1::HandleRequest&, FakeDaemon::Offers& offers) {
        offers.SendInitialMetadata();
        end_.WaitForNotification();
        return Status::OK;
      });
  absl::StatusOr<Worker> worker = client_.Handle("listeners/web");
  ASSERT_TRUE(worker.ok()) << worker.status();
  auto next =
      std::async(std::launch::async, [&] { return worker->Next().status(); });
  worker->Cancel();
  EXPECT_EQ(next.get().code(), StatusCode::kCancelled);
}

TEST_F(StreamTest, AWorkerThatIsRefusedNeverCounts) {
  daemon_.handle.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::FAILED_PRECONDITION, "echo", "NOT_REMOTE");
  });
  EXPECT_EQ(DetailsOf(client_.Handle("listeners/web").status()).reason,
            "NOT_REMOTE");
}

}  // namespace
}  // namespace portreeve::client
