// A dial where there is no memory, once or several times in a row, anywhere
// between its call and the end of its connection.
#include <memory>
#include <string>

#include "server/registry/registry.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/raw_listener.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::FakeClientStream;
using testing::RawListener;

using Stream = testing::StreamWithMemory<FakeClientStream>;

// How many times memory is refused in a row.
class DialNoMemoryTest : public RegistryTest,
                         public ::testing::WithParamInterface<int> {
 protected:
  DialNoMemoryTest()
      : listener_(loop(), [this](const auto& f) { return RunUntil(f); }) {
    auto& inet = *request_.mutable_where_to_connect()->mutable_inet();
    inet.set_host("127.0.0.1");
    inet.set_port(listener_.inet_address().port());
  }
  ~DialNoMemoryTest() override { listener_.Close(); }

  bool SettleWithMemory(int given) {
    return testing::SettleWithMemory(loop(), given, GetParam());
  }

  // As the service does it.
  std::shared_ptr<FakeClientStream> Dial() {
    const auto stream = std::make_shared<Stream>(executor());
    const auto audit = [](const std::string&, const absl::Status&) {};
    tasks().Spawn(registry_->dialler().Serve(stream, request_, audit),
                  [stream, given_up = absl::InternalError("given up")](
                      std::exception_ptr error) {
                    if (error) stream->Finish(given_up);
                  });
    return stream;
  }
  // What has lost its way ends by its time, or by its client's leaving.
  void End(FakeClientStream& stream) {
    Settle();
    if (!stream.finished) stream.Send(Done());
    Settle();
    if (!stream.finished) stream.Break();
    for (int i = 0; i < 4; ++i) {
      time().Advance(std::chrono::seconds(60));
      Settle();
    }
  }
  static v1::ClientFrame Done() {
    v1::ClientFrame frame;
    frame.mutable_done();
    return frame;
  }

  void ExpectNothingLeft(const FakeClientStream& stream) {
    EXPECT_TRUE(stream.finished.has_value());
    EXPECT_TRUE(tasks().empty());
    EXPECT_TRUE(registry_->dialler().idle());
    EXPECT_EQ(num_connections(), 0u);
    EXPECT_EQ(budget_.num_free(), 1000);
  }

  void ExpectADial() {
    const auto stream = Dial();
    Settle();
    auto peer = listener_.Accept();
    EXPECT_EQ(peer.Send("x"), "ok");
    RunUntil([&] { return stream->written.size() >= 2; });
    stream->Send(Done());
    EXPECT_EQ(peer.Receive(), "EOF");
    peer.Close();
    End(*stream);
    EXPECT_EQ(stream->finished, absl::OkStatus());
    ExpectNothingLeft(*stream);
  }

  RawListener listener_;
  v1::ClientFrame::Dial request_;
};

TEST_P(DialNoMemoryTest, ADialThatIsGivenUpLeavesNothing) {
  ExpectADial();
  bool refused = true;
  int num_given_up = 0;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 2'000);
    const int descriptors = testing::CountDescriptors();
    const auto stream = Dial();
    refused = SettleWithMemory(given);
    if (stream->finished) ++num_given_up;
    {
      // The peer is there where the kernel has connected it.
      auto peer = listener_.TryAccept();
      Settle();
      if (!stream->finished && !stream->written.empty()) {
        // It works, or it is found not to, and ends.
        ASSERT_TRUE(peer.has_value());
        EXPECT_EQ(peer->Send("x"), "ok");
        Settle();
      }
      End(*stream);
    }
    Settle();
    ExpectNothingLeft(*stream);
    EXPECT_EQ(testing::CountDescriptors(), descriptors);
    (void)TakeErrors();
    (void)TakeLog();
    ExpectADial();
    if (HasFailure()) return;
  }
  EXPECT_GT(num_given_up, 0);
}

// The same where it is refused at the end.
TEST_P(DialNoMemoryTest, TheEndOfADialLeavesNothing) {
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 2'000);
    const auto stream = Dial();
    Settle();
    {
      auto peer = listener_.Accept();
      stream->Send(Done());
      refused = SettleWithMemory(given);
    }
    End(*stream);
    ExpectNothingLeft(*stream);
    (void)TakeErrors();
    (void)TakeLog();
    ExpectADial();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(, DialNoMemoryTest, ::testing::Values(1, 2, 10));

}  // namespace
}  // namespace portreeve::server
