// ServeAttach() where there is no memory, once or several times in a row,
// anywhere between the call and the end of the connection.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/api/names.h"
#include "server/calls/attach.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::FakeClientStream;
using testing::RawClient;

using Stream = testing::StreamWithMemory<FakeClientStream>;

// How many times memory is refused in a row.
class AttachNoMemoryTest : public RegistryTest,
                           public Worker,
                           public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    v1::CreateListenerRequest request = Request("remote");
    request.mutable_spec()->mutable_handler()->mutable_remote();
    request.mutable_spec()->set_max_connections(1);
    const auto listener = TryCreate(request);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *listener;
    resource_ = *registry_->FindRemote("remote");
    number_ = resource_->workers().Join(*this);
    free_ = budget_.num_free();
  }
  void TearDown() override {
    resource_->workers().Leave(number_);
    resource_.reset();
    RegistryTest::TearDown();
  }

  void Offer(const v1::Connection& connection) override {
    offered_.push_back(connection.name());
  }
  void AskForVerdict(const v1::HandleResponse::HandlerError&) override {
    ADD_FAILURE() << "no error of a handler";
  }
  void Dismiss() override { ADD_FAILURE() << "the handler stays remote"; }

  bool SettleWithMemory(int given) {
    return testing::SettleWithMemory(loop(), given, GetParam());
  }

  std::string AwaitOffer() {
    const size_t before = num_taken_;
    EXPECT_TRUE(RunUntil([&] { return offered_.size() > before; }));
    num_taken_ = offered_.size();
    return offered_.back();
  }

  // As the service does it.
  std::shared_ptr<FakeClientStream> Attach(const std::string& name) {
    const auto stream = std::make_shared<Stream>(executor());
    v1::ClientFrame frame;
    frame.mutable_attach()->set_connection(name);
    stream->Send(frame);
    const auto audit = [](const std::string&, const absl::Status&) {};
    tasks().Spawn(ServeAttach(*registry_, stream, audit),
                  [stream, given_up = absl::InternalError("given up")](
                      std::exception_ptr error) {
                    if (error) stream->Finish(given_up);
                  });
    return stream;
  }
  static v1::ClientFrame Done() {
    v1::ClientFrame frame;
    frame.mutable_done();
    return frame;
  }
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

  // The only place is free.
  void ExpectAnAttach() {
    RawClient client = Connect(listener_);
    const auto stream = Attach(AwaitOffer());
    EXPECT_EQ(client.Send("x"), "ok");
    RunUntil([&] { return stream->written.size() >= 2; });
    stream->Send(Done());
    EXPECT_EQ(client.Receive(), "EOF");
    client.Close();
    End(*stream);
    EXPECT_EQ(stream->finished, absl::OkStatus());
    ExpectNothingLeft(*stream);
  }
  void ExpectNothingLeft(const FakeClientStream& stream) {
    EXPECT_TRUE(stream.finished.has_value());
    EXPECT_TRUE(tasks().empty());
    EXPECT_EQ(num_connections(), 0u);
    EXPECT_EQ(budget_.num_free(), free_);
    EXPECT_FALSE(resource_->is_closed());
  }

  v1::Listener listener_;
  std::shared_ptr<ListenerResource> resource_;
  int64_t number_ = 0;
  int free_ = 0;
  std::vector<std::string> offered_;
  size_t num_taken_ = 0;
};

class AttachGivenUpTest : public AttachNoMemoryTest {};

TEST_P(AttachGivenUpTest, AConnectionWhoseAttachIsGivenUpLeavesItsPlace) {
  ExpectAnAttach();
  bool refused = true;
  int num_given_up = 0;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 2'000);
    RawClient client = Connect(listener_);
    const auto stream = Attach(AwaitOffer());
    refused = SettleWithMemory(given);
    // What is cut must not look whole; but for one that was closed, and so not
    // found.
    const bool is_cut =
        stream->finished && !stream->finished->ok() &&
        stream->finished->code() != absl::StatusCode::kNotFound &&
        stream->written.empty();
    if (stream->finished) {
      ++num_given_up;
    } else {
      // It works, or it is found not to, and ends.
      EXPECT_EQ(client.Send("x"), "ok");
    }
    End(*stream);
    // What was not claimed waits for another client.
    time().Advance(std::chrono::minutes(10));
    Settle();
    const std::string seen = client.Peek();
    EXPECT_NE(seen, "nothing");
    if (is_cut) EXPECT_EQ(seen, "ECONNRESET");
    ExpectNothingLeft(*stream);
    (void)TakeErrors();
    (void)TakeLog();
    ExpectAnAttach();
    if (HasFailure()) return;
  }
  EXPECT_GT(num_given_up, 0);
}

// A listener whose only client is lost serves the next one.
TEST_P(AttachNoMemoryTest, AClientThatIsLostBeforeItIsOfferedLeavesItsPlace) {
  offered_.reserve(10'000);
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 2'000);
    {
      RawClient client = Connect(listener_);
      refused = SettleWithMemory(given);
      Settle();
      num_taken_ = offered_.size();
      client.Reset();
    }
    for (int i = 0; i < 4; ++i) {
      time().Advance(std::chrono::minutes(10));
      Settle();
    }
    EXPECT_EQ(num_connections(), 0u);
    EXPECT_EQ(budget_.num_free(), free_);
    (void)TakeErrors();
    (void)TakeLog();
    ExpectAnAttach();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(, AttachGivenUpTest, ::testing::Values(1, 2, 10));
INSTANTIATE_TEST_SUITE_P(, AttachNoMemoryTest, ::testing::Values(1, 2, 10));

}  // namespace
}  // namespace portreeve::server
