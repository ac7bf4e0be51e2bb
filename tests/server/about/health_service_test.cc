// HealthService: grpc.health.v1.Health over a real port, without the daemon.
#include "server/about/health_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "lib/base/loop.h"

namespace portreeve::testing {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthServiceTest : public ::testing::Test {
 protected:
  HealthServiceTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = Health::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials()));
  }
  ~HealthServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    loop_.Join();
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(30));
  }

  // The name of the status, or "CODE".
  std::string Check(const std::string& service) {
    grpc::ClientContext context;
    SetDeadline(context);
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = stub_->Check(&context, request, &response);
    return status.ok()
               ? HealthCheckResponse::ServingStatus_Name(response.status())
               : std::to_string(status.error_code());
  }

  // A call of Watch.
  class Watch {
   public:
    Watch(Health::Stub& stub, const std::string& service) {
      SetDeadline(context_);
      HealthCheckRequest request;
      request.set_service(service);
      reader_ = stub.Watch(&context_, request);
    }
    // The next status, or "CODE" at the end.
    std::string Next() {
      HealthCheckResponse response;
      if (reader_->Read(&response)) {
        return HealthCheckResponse::ServingStatus_Name(response.status());
      }
      return std::to_string(reader_->Finish().error_code());
    }
    void Cancel() { context_.TryCancel(); }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
  };

  void AnnounceShutdown() {
    loop_.Run([this] { service_.AnnounceShutdown(); }).get();
  }
  void EndStreams() { loop_.RunTask(End(service_)).get(); }
  Health::Stub& stub() { return *stub_; }

 private:
  static Task<> End(server::HealthService& service) {
    const Deferred<> ended = service.EndStreams();
    co_await ended.Wait();
  }

  Loop loop_;
  server::HealthService service_{loop_, {"a.Service", "b.Service"}};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Health::Stub> stub_;
};

// AddressSanitizer sees it where one that has ended is told all the same.
TEST_F(HealthServiceTest, WhoHasLeftIsNotTold) {
  Watch watch(stub(), "");
  EXPECT_EQ(watch.Next(), "SERVING");
  EndStreams();
  AnnounceShutdown();
  EXPECT_EQ(watch.Next(), "0");
}

TEST_F(HealthServiceTest, EachServiceServesUntilTheShutdown) {
  for (const char* name : {"", "a.Service", "b.Service"}) {
    EXPECT_EQ(Check(name), "SERVING") << name;
  }
  EXPECT_EQ(Check("c.Service"), "5");
  AnnounceShutdown();
  for (const char* name : {"", "a.Service", "b.Service"}) {
    EXPECT_EQ(Check(name), "NOT_SERVING") << name;
  }
  EXPECT_EQ(Check("c.Service"), "5");
}

TEST_F(HealthServiceTest, AWatchIsToldTheShutdownAndEndsWithOk) {
  Watch of_all(stub(), "");
  Watch of_one(stub(), "b.Service");
  Watch unknown(stub(), "c.Service");
  EXPECT_EQ(of_all.Next(), "SERVING");
  EXPECT_EQ(of_one.Next(), "SERVING");
  EXPECT_EQ(unknown.Next(), "SERVICE_UNKNOWN");
  AnnounceShutdown();
  EXPECT_EQ(of_all.Next(), "NOT_SERVING");
  EXPECT_EQ(of_one.Next(), "NOT_SERVING");
  EndStreams();
  EXPECT_EQ(of_all.Next(), "0");
  EXPECT_EQ(of_one.Next(), "0");
  EXPECT_EQ(unknown.Next(), "0");
}

TEST_F(HealthServiceTest, OneThatIsCancelledLeavesNothing) {
  for (int i = 0; i < 20; ++i) {
    Watch watch(stub(), "");
    if (i % 2 == 0) EXPECT_EQ(watch.Next(), "SERVING");
    watch.Cancel();
  }
  EndStreams();
  EXPECT_EQ(Watch(stub(), "").Next(), "0");
}

}  // namespace
}  // namespace portreeve::testing
