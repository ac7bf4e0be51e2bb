// What is thrown where a unary RPC is to be answered: the caller is answered
// all the same, and the loop goes on.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "server/calls/unary.h"
#include "tests/testing/connected_channel.h"

namespace portreeve::server {
namespace {

class ThrowingService final : public v1::ListenerService::CallbackService {
 public:
  explicit ThrowingService(Loop& loop) : loop_(loop) {}

  grpc::ServerUnaryReactor* GetListener(grpc::CallbackServerContext* context,
                                        const v1::GetListenerRequest* request,
                                        v1::Listener* response) override {
    auto work = [request]() -> absl::Status {
      if (request->name().empty()) throw std::runtime_error("thrown");
      return absl::OkStatus();
    };
    return AnswerOnLoop(loop_.context(), context, response, std::move(work));
  }

  grpc::ServerUnaryReactor* CloseListener(
      grpc::CallbackServerContext* context,
      const v1::CloseListenerRequest* request,
      v1::Listener* response) override {
    auto begin = [this, request]() -> absl::StatusOr<Awaited<v1::Listener>> {
      if (request->name().empty()) throw std::runtime_error("thrown");
      const Ivar<> now(loop_.executor());
      now.Fill();
      return Awaited<v1::Listener>{now.deferred(), []() -> v1::Listener {
                                     throw std::runtime_error("thrown");
                                   }};
    };
    return AnswerWhen(loop_.context(), context, response, response,
                      std::move(begin));
  }

 private:
  Loop& loop_;
};

class UnaryErrorsTest : public ::testing::Test {
 protected:
  UnaryErrorsTest() {
    SetLogSink([this](const LogLine& line) {
      const std::lock_guard lock(mutex_);
      log_.push_back(TextOf(line));
    });
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::ListenerService::NewStub(testing::Connected(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials())));
  }
  ~UnaryErrorsTest() override {
    server_->Shutdown();
    loop_.Join();
    SetLogSink(nullptr);
  }

  static void ExpectInternal(const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
    EXPECT_EQ(status.error_message(), "thrown");
  }
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
  }
  grpc::Status Get(const std::string& name) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::GetListenerRequest request;
    request.set_name(name);
    v1::Listener listener;
    return stub_->GetListener(&context, request, &listener);
  }
  grpc::Status Close(const std::string& name) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::CloseListenerRequest request;
    request.set_name(name);
    v1::Listener listener;
    return stub_->CloseListener(&context, request, &listener);
  }
  size_t num_logged() {
    const std::lock_guard lock(mutex_);
    return log_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> log_;  // Under mutex_.
  Loop loop_;
  ThrowingService service_{loop_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ListenerService::Stub> stub_;
};

TEST_F(UnaryErrorsTest, OfACallThatIsAnsweredAtOnce) {
  ExpectInternal(Get(""));
  EXPECT_TRUE(Get("x").ok());
  EXPECT_EQ(num_logged(), 1u);
}

TEST_F(UnaryErrorsTest, OfACallThatWaits) {
  ExpectInternal(Close(""));   // When it begins.
  ExpectInternal(Close("x"));  // When it is answered.
  EXPECT_TRUE(Get("x").ok());
  EXPECT_EQ(num_logged(), 2u);
}

}  // namespace
}  // namespace portreeve::server
