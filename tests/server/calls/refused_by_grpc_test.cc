// What is no request, and what gRPC refuses by itself: nothing changes.
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>

#include <future>
#include <string>

#include "tests/server/service_fixture.h"

namespace portreeve::testing {
namespace {

class RefusedByGrpcTest : public ServiceFixture {
 protected:
  // Sends `bytes` as the request of a unary method.
  grpc::Status Call(const std::string& method, const std::string& bytes) {
    grpc::GenericStub stub(channel());
    grpc::ClientContext context;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                   [&](grpc::Status status) { done.set_value(status); });
    return done.get_future().get();
  }
};

constexpr char kCreate[] = "/portreeve.v1.ListenerService/CreateListener";

// A CreateListenerRequest whose listener_id is `id`.
std::string CreateBytes(const std::string& id) {
  v1::CreateListenerRequest request;
  *request.mutable_spec() = EchoSpec();
  std::string bytes = request.SerializeAsString();
  bytes += '\x0a';  // Field 1, a string.
  bytes += static_cast<char>(id.size());
  return bytes + id;
}

TEST_F(RefusedByGrpcTest, WellFormedBytesAreAccepted) {
  EXPECT_TRUE(Call(kCreate, CreateBytes("web")).ok());
  EXPECT_EQ(Get("listeners/web").name(), "listeners/web");
}

TEST_F(RefusedByGrpcTest, BytesThatAreNoRequestChangeNothing) {
  const std::string before = State();
  for (const std::string& bytes :
       {CreateBytes("\xff\xfe"), CreateBytes("\xc0\x80"),
        CreateBytes("\xed\xa0"), std::string("\x0a\x7f"),
        std::string("\xff\xff\xff\xff"), std::string("\x07")}) {
    const grpc::Status status = Call(kCreate, bytes);
    EXPECT_EQ(Shown(status), "3 / INVALID_FIELD");
    EXPECT_EQ(status.error_message(),
              "not a CreateListenerRequest, whose strings are UTF-8");
    EXPECT_EQ(State(), before);
  }
}

// Each method has the request of its own name.
TEST_F(RefusedByGrpcTest, EveryUnaryMethodSaysWhatItWanted) {
  int num_methods = 0;
  for (const auto* service :
       {v1::Listener::descriptor()->file()->service(0),
        v1::Connection::descriptor()->file()->service(0)}) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      if (method->client_streaming()) continue;
      const grpc::Status status = Call(
          "/" + service->full_name() + "/" + method->name(), "\xff\xff\xff");
      EXPECT_EQ(Shown(status), "3 / INVALID_FIELD");
      EXPECT_EQ(status.error_message(),
                "not a " + method->name() + "Request, whose strings are UTF-8");
      ++num_methods;
    }
  }
  EXPECT_EQ(num_methods, 11);
}

TEST_F(RefusedByGrpcTest, MessageOfMoreThanAMebibyteChangesNothing) {
  const std::string before = State();
  v1::CreateListenerRequest request;
  *request.mutable_spec() = EchoSpec();
  (*request.mutable_spec()->mutable_labels())["a"] = std::string(1 << 20, 'a');
  grpc::ClientContext context;
  v1::Listener listener;
  const grpc::Status status =
      listeners().CreateListener(&context, request, &listener);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(RefusalOf(status).reason, "");
  EXPECT_EQ(State(), before);
}

}  // namespace
}  // namespace portreeve::testing
