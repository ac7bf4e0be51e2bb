// A connection that is closed in the step in which its tcp_info is asked for:
// the question goes to the loop that has the descriptor.
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;

class TcpInfoRaceTest : public RegistryTest {
 protected:
  using Answer = std::optional<absl::StatusOr<v1::Connection>>;

  void SetUp() override {
    client_.emplace(Connect(Create("echo")));
    ASSERT_EQ(client_->Send("hello"), "ok");
    ASSERT_EQ(client_->ReceiveExactly(5), "hello");
    number_ = registry_->connections().entries().begin()->first;
  }
  // The answer comes when the loop goes on.
  std::shared_ptr<Answer> Ask() {
    auto answer = std::make_shared<Answer>();
    registry_->GetConnectionAndTcpInfo(
        number_, [answer](absl::StatusOr<v1::Connection> connection) {
          *answer = std::move(connection);
        });
    return answer;
  }
  void Reset() {
    EXPECT_TRUE(
        registry_->CloseConnection(number_, ExistingConnections::kReset).ok());
  }
  const absl::StatusOr<v1::Connection>& Await(const Answer& answer) {
    while (!answer.has_value()) Settle();
    return *answer;
  }

  std::optional<RawClient> client_;
  int64_t number_ = 0;
};

TEST_F(TcpInfoRaceTest, OneThatIsClosedBehindTheQuestionHasIt) {
  const auto answer = Ask();
  Reset();
  const auto& connection = Await(*answer);
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(connection->tcp_info().state(), "ESTAB");
  EXPECT_EQ(client_->Receive(), "ECONNRESET");
}

// Its loop has closed the descriptor when the question comes there; where that
// is the servers', the connection is over.
TEST_F(TcpInfoRaceTest, OneThatIsClosedBeforeTheQuestionComesHasNone) {
  Reset();
  const auto answer = Ask();
  const auto& connection = Await(*answer);
  if (std::getenv("PORTREEVE_TEST_LOOPS") == nullptr) {
    EXPECT_TRUE(absl::IsNotFound(connection.status()));
  } else {
    ASSERT_TRUE(connection.ok()) << connection.status();
    EXPECT_FALSE(connection->has_tcp_info());
    EXPECT_EQ(connection->state(), v1::CONNECTION_STATE_CLOSED);
    EXPECT_EQ(connection->close_reason(), v1::CLOSE_REASON_CALLED);
    EXPECT_TRUE(connection->has_close_time());
    EXPECT_EQ(connection->bytes_received(), 5);
  }
  EXPECT_EQ(client_->Receive(), "ECONNRESET");
}

// Many questions are under way when the connection goes, and each is answered.
TEST_F(TcpInfoRaceTest, EveryQuestionAroundACloseIsAnswered) {
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 50; ++i) answers.push_back(Ask());
  Reset();
  for (int i = 0; i < 50; ++i) answers.push_back(Ask());
  for (const auto& answer : answers) {
    const auto& connection = Await(*answer);
    if (!connection.ok()) EXPECT_TRUE(absl::IsNotFound(connection.status()));
  }
  EXPECT_TRUE(answers.front()->value()->has_tcp_info());
}

}  // namespace
}  // namespace portreeve::server
