// Every call of gRPC counts for the connection that it came by.
#include "server/control/control_calls.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lib/base/log.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::server {
namespace {

using Connection = std::shared_ptr<ControlConnection>;

constexpr std::chrono::seconds kDeadline{30};
constexpr char kUnknown[] = "/x/Y";
constexpr char kGet[] = "/portreeve.v1.ListenerService/GetListener";
constexpr char kIsClosed[] = "/portreeve.v1.ListenerService/IsClosed";

// Answers nobody before it is told to, but whether a listener is closed.
class SlowService final : public v1::ListenerService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetListener(grpc::CallbackServerContext* context,
                                        const v1::GetListenerRequest*,
                                        v1::Listener*) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    connections_.push_back(ConnectionOf(*context));
    auto* const call = new Call(*this);
    if (answers_) {
      call->Finish(grpc::Status::OK);
    } else {
      calls_.push_back(call);
    }
    changed_.notify_all();
    return call;
  }

  grpc::ServerUnaryReactor* IsClosed(grpc::CallbackServerContext* context,
                                     const v1::IsClosedRequest*,
                                     v1::IsClosedResponse*) override {
    // Only the first one counts.
    NoteAnswer(*context, grpc::StatusCode::NOT_FOUND);
    NoteAnswer(*context, grpc::StatusCode::OK);
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, ""));
    return reactor;
  }

  void Answer() {
    const std::lock_guard<std::mutex> lock(mutex_);
    answers_ = true;
    for (Call* call : calls_) call->Finish(grpc::Status::OK);
    calls_.clear();
  }

  // Waits until as many have come, ever.
  bool AwaitCalls(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kDeadline,
                             [&] { return connections_.size() >= count; });
  }
  // Waits until one is cancelled, which need not be at once.
  bool AwaitCancelled() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kDeadline, [&] { return cancelled_; });
  }
  // Whose each call was.
  std::vector<Connection> connections() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return connections_;
  }

 private:
  class Call final : public grpc::ServerUnaryReactor {
   public:
    explicit Call(SlowService& service) : service_(service) {}

   private:
    void OnCancel() override {
      const std::lock_guard<std::mutex> lock(service_.mutex_);
      service_.cancelled_ = true;
      service_.changed_.notify_all();
    }
    void OnDone() override { delete this; }

    SlowService& service_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  bool answers_ = false;
  bool cancelled_ = false;
  std::vector<Call*> calls_;
  std::vector<Connection> connections_;
};

// A call of which the test waits for the end.
class ClientCall {
 public:
  ClientCall(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& method)
      : stub_(channel) {
    context_.set_deadline(std::chrono::system_clock::now() + kDeadline);
    stub_.UnaryCall(&context_, method, grpc::StubOptions(), &request_, &answer_,
                    [this](grpc::Status status) { end_.set_value(status); });
  }
  void Cancel() { context_.TryCancel(); }
  grpc::Status Await() { return end_.get_future().get(); }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_{nullptr, 0};
  grpc::ByteBuffer answer_;
  std::promise<grpc::Status> end_;
};

class ControlCallsTest : public ::testing::Test {
 protected:
  ControlCallsTest() {
    SetLogSink([this](const LogLine& line) {
      const std::lock_guard<std::mutex> lock(mutex_);
      log_.push_back(TextOf(line));
    });
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    CountCalls(builder, table_, &requests_);
    builder.RegisterCallbackGenericService(&unknown_methods_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    Connect();
  }
  ~ControlCallsTest() override {
    service_.Answer();
    server_->Shutdown();
    server_->Wait();
    SetLogSink(nullptr);
  }

  // A connection that is counted, and a channel of its own that has it.
  void Connect() {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                         ends),
              0);
    connection_ = Add("fd:" + std::to_string(ends[0]),
                      Descriptor(fcntl(ends[0], F_DUPFD_CLOEXEC, 0)));
    grpc::AddInsecureChannelFromFd(server_.get(), ends[0]);
    channel_ = grpc::CreateInsecureChannelFromFd("test", ends[1]);
  }
  Connection Add(const std::string& key, Descriptor copy) {
    const ucred credentials{getpid(), getuid(), getgid()};
    auto connection = std::make_shared<ControlConnection>(
        ControlConnection::Client{key, "unix:", false, credentials},
        std::move(copy));
    table_.Add(connection);
    return connection;
  }

  std::unique_ptr<ClientCall> Start(const std::string& method) {
    return std::make_unique<ClientCall>(channel_, method);
  }
  grpc::Status Call(const std::string& method) {
    return Start(method)->Await();
  }

  // "begun in-flight cancelled"
  std::string Counts() const {
    const FloodPolicy::Totals totals = connection_->Totals();
    return std::to_string(totals.begun) + " " +
           std::to_string(totals.in_flight) + " " +
           std::to_string(totals.cancelled);
  }
  // An end counts a moment after its client knows of it.
  void ExpectCounts(const std::string& expected) const {
    const auto end = std::chrono::steady_clock::now() + kDeadline;
    while (Counts() != expected && std::chrono::steady_clock::now() < end) {
    }
    EXPECT_EQ(Counts(), expected);
  }
  std::vector<std::string> log() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return log_;
  }

  std::mutex mutex_;
  std::vector<std::string> log_;  // Under mutex_.
  ControlTable table_;
  RequestCounts requests_{{kGet, kIsClosed}};
  UnknownMethods unknown_methods_;
  SlowService service_;
  std::unique_ptr<grpc::Server> server_;
  Connection connection_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ControlCallsTest, AnswersAreCountedByMethodAndCode) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Call(kIsClosed).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  EXPECT_FALSE(Call(kUnknown).ok());
  const auto call = Start(kGet);
  ASSERT_TRUE(service_.AwaitCalls(1));
  const auto methods = requests_.Read();
  EXPECT_EQ(methods[0].by_code, decltype(methods[0].by_code){});
  EXPECT_EQ(methods[1].by_code[grpc::StatusCode::NOT_FOUND], 3);
  EXPECT_EQ(methods[1].by_code[grpc::StatusCode::OK], 0);
  EXPECT_GT(methods[1].nanoseconds, 0);
  EXPECT_LT(methods[1].nanoseconds, 30'000'000'000);
  service_.Answer();
  EXPECT_TRUE(call->Await().ok());
}

TEST_F(ControlCallsTest, ACallCountsFromItsBeginningToItsEnd) {
  EXPECT_FALSE(connection_->called());
  const auto call = Start(kGet);
  ASSERT_TRUE(service_.AwaitCalls(1));
  EXPECT_EQ(service_.connections().at(0), connection_);
  EXPECT_TRUE(connection_->called());
  ExpectCounts("1 1 0");
  service_.Answer();
  EXPECT_TRUE(call->Await().ok());
  ExpectCounts("1 0 0");
}

TEST_F(ControlCallsTest, ACallThatIsTakenBackCountsAsThat) {
  const auto kept = Start(kGet);
  const auto call = Start(kGet);
  ASSERT_TRUE(service_.AwaitCalls(2));
  call->Cancel();
  ASSERT_TRUE(service_.AwaitCancelled());
  EXPECT_EQ(call->Await().error_code(), grpc::StatusCode::CANCELLED);
  service_.Answer();
  EXPECT_TRUE(kept->Await().ok());
  ExpectCounts("2 0 1");
}

TEST_F(ControlCallsTest, CallsOfMethodsThatNobodyHasCount) {
  const grpc::Status status = Call(kUnknown);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "there is no method /x/Y");
  EXPECT_TRUE(connection_->called());
  ExpectCounts("1 0 0");
}

TEST_F(ControlCallsTest, CallsOfServicesOfGrpcItselfCount) {
  EXPECT_TRUE(Call("/grpc.health.v1.Health/Check").ok());
  ExpectCounts("1 0 0");
}

TEST_F(ControlCallsTest, OneTooManyEndsTheConnection) {
  std::vector<std::unique_ptr<ClientCall>> calls;
  for (int i = 0; i < FloodPolicy::kMostCalls; ++i) {
    calls.push_back(Start(kGet));
  }
  ASSERT_TRUE(service_.AwaitCalls(calls.size()));
  EXPECT_FALSE(connection_->is_shut_down());
  const auto one_more = Start(kGet);
  EXPECT_EQ(one_more->Await().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(connection_->is_shut_down());
  ASSERT_EQ(log().size(), 1u);
  EXPECT_NE(log()[0].find("too many calls at a time"), std::string::npos)
      << log()[0];
  for (const auto& call : calls) EXPECT_FALSE(call->Await().ok());
}

// What gRPC has read of it comes to light later.
TEST_F(ControlCallsTest, CallsOfAConnectionThatHasEndedAreItsOwn) {
  table_.OnEnded(connection_);
  connection_->Forget();
  service_.Answer();
  EXPECT_TRUE(Call(kGet).ok());
  EXPECT_EQ(service_.connections().at(0), connection_);
  ExpectCounts("1 0 0");
}

// A bystander would be ended for those that wait.
TEST_F(ControlCallsTest, CallsThatHaveBegunAreNotPending) {
  const Connection busy = Add("busy", Descriptor(open("/dev/null", O_RDWR)));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(busy->BeginCall());
  service_.Answer();
  constexpr int kMany = ControlTable::kMostPending + 200;
  for (const char* method : {kGet, kUnknown, "/grpc.health.v1.Health/Check"}) {
    table_.OnLooked();  // As the acceptor does while they come.
    for (int i = 0; i < kMany; ++i) (void)Call(method);
    EXPECT_TRUE(busy->is_open()) << method;
  }
  EXPECT_EQ(table_.num_shut_down(), 0);
}

}  // namespace
}  // namespace portreeve::server
