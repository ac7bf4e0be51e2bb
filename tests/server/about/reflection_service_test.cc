// ReflectionService: both versions of reflection over a real port.
#include "server/about/reflection_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "lib/base/loop.h"

namespace portreeve::testing {
namespace {

template <typename Reflection, typename Request, typename Response>
struct Version {
  using Stub = typename Reflection::Stub;
  using RequestType = Request;
  using ResponseType = Response;
  static auto NewStub(const std::shared_ptr<grpc::Channel>& channel) {
    return Reflection::NewStub(channel);
  }
};
namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;
using Versions = ::testing::Types<
    Version<v1::ServerReflection, v1::ServerReflectionRequest,
            v1::ServerReflectionResponse>,
    Version<v1alpha::ServerReflection, v1alpha::ServerReflectionRequest,
            v1alpha::ServerReflectionResponse>>;

template <typename V>
class ReflectionServiceTest : public ::testing::Test {
 protected:
  ReflectionServiceTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(service_.v1());
    builder.RegisterService(service_.v1alpha());
    server_ = builder.BuildAndStart();
    stub_ = V::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                           grpc::InsecureChannelCredentials()));
  }
  ~ReflectionServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    loop_.Join();
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(30));
  }
  void EndStreams() { loop_.RunTask(End(service_)).get(); }
  typename V::Stub& stub() { return *stub_; }

 private:
  static Task<> End(server::ReflectionService& service) {
    const Deferred<> ended = service.EndStreams();
    co_await ended.Wait();
  }

  Loop loop_;
  server::ReflectionService service_{
      loop_, {"grpc.reflection.v1.ServerReflection"}, {}};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<typename V::Stub> stub_;
};
TYPED_TEST_SUITE(ReflectionServiceTest, Versions);

TYPED_TEST(ReflectionServiceTest, AnswersEachQuestionInTurn) {
  grpc::ClientContext context;
  this->SetDeadline(context);
  const auto stream = this->stub().ServerReflectionInfo(&context);
  for (int i = 0; i < 100; ++i) {
    typename TypeParam::RequestType request;
    request.set_host(std::to_string(i));
    request.set_file_containing_symbol(
        i % 2 == 0 ? "grpc.reflection.v1.ServerReflection" : "none");
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  for (int i = 0; i < 100; ++i) {
    typename TypeParam::ResponseType response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.valid_host(), std::to_string(i));
    EXPECT_EQ(response.has_error_response(), i % 2 != 0);
  }
  typename TypeParam::ResponseType response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TYPED_TEST(ReflectionServiceTest, EndsWithOkAtTheShutdown) {
  grpc::ClientContext context;
  this->SetDeadline(context);
  const auto stream = this->stub().ServerReflectionInfo(&context);
  typename TypeParam::RequestType request;
  request.set_list_services("");
  ASSERT_TRUE(stream->Write(request));
  typename TypeParam::ResponseType response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.list_services_response().service_size(), 3);
  this->EndStreams();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace portreeve::testing
